"""Debian's docker-registry, running in a folder for as long as a test needs it."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest


def require_registry() -> None:
    """Skips the test where there is no registry."""
    if shutil.which("docker-registry") is None:
        pytest.skip("docker-registry is not installed: scripts/setup slow")


@contextlib.contextmanager
def open_registry(folder: Path) -> Iterator[str]:
    """A running docker-registry; the test is skipped where there is none."""
    require_registry()
    folder.mkdir(exist_ok=True)
    with contextlib.closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    storage = {"filesystem": {"rootdirectory": str(folder / "data")}}
    told = {"version": "0.1", "storage": storage, "http": {"addr": f"127.0.0.1:{port}"}}
    (folder / "config.yml").write_text(json.dumps(told))
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            ["docker-registry", "serve", str(folder / "config.yml")], stdout=log, stderr=log
        )
    try:
        for _ in range(100):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/", timeout=5).close()
                break
            time.sleep(0.1)
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()
