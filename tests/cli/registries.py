"""Debian's docker-registry, running in a folder for as long as a test needs it."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

READY_SECONDS = 120


def require_registry() -> None:
    """Skips the test where there is no registry."""
    if shutil.which("docker-registry") is None:
        pytest.skip("docker-registry is not installed: scripts/setup slow")


@contextlib.contextmanager
def open_registry(folder: Path) -> Iterator[str]:
    """A running docker-registry; the test is skipped where there is none."""
    require_registry()
    folder.mkdir(exist_ok=True)
    storage = {"filesystem": {"rootdirectory": str(folder / "data")}}
    told = {"version": "0.1", "storage": storage, "http": {"addr": "127.0.0.1:0"}}
    (folder / "config.yml").write_text(json.dumps(told))
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            ["docker-registry", "serve", str(folder / "config.yml")], stdout=log, stderr=log
        )
    try:
        yield _address(server, folder / "log")
    finally:
        server.terminate()
        server.wait()


def _address(server: subprocess.Popen[bytes], log: Path) -> str:
    """Where it listens: which port was free, it says in its log."""
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end and server.poll() is None:
        if found := re.search(r"listening on (127\.0\.0\.1:[1-9][0-9]*)", log.read_text()):
            return found[1]
        time.sleep(0.1)
    raise AssertionError(f"the registry is not ready: {log.read_text()[-2000:]}")
