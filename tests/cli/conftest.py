"""A golden disk and its package, made once."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from regild.cli.front import run
from tests.cli import golden


@dataclass
class Said:
    """What a command line came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def regild(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Run a command line in this process."""

    def say(*argv: str | Path) -> Said:
        code = run([str(one) for one in argv])
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return say


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A raw disk of one ext4 filesystem."""
    return golden.filesystem(tmp_path_factory.mktemp("raw"))


@pytest.fixture(scope="session")
def vmdk(raw: Path) -> Path:
    """The same as a streamOptimized VMDK."""
    return golden.streamed(raw)


@pytest.fixture(scope="session")
def ova(vmdk: Path) -> Path:
    """The same in an OVA; read only."""
    return golden.ova(vmdk.parent, vmdk)
