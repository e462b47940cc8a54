"""One solver's process for the tests of a file, and a small world to plan in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from regild.plan.libsolv import Libsolv, open_libsolv
from tests.plan.test_worlds import World


@pytest.fixture(scope="module")
def solve() -> Iterator[Libsolv]:
    with open_libsolv() as solver:
        yield solver


@pytest.fixture
def world(tmp_path: Path, solve: Libsolv) -> World:
    return World(tmp_path, solve)
