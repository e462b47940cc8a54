"""Debian's glance-api with SQLite and a folder, for as long as tests need it."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

PASTE = Path("/usr/share/glance-common/glance-api-paste.ini")
READY_SECONDS = 120
SETTINGS = """[DEFAULT]
bind_host = 127.0.0.1
bind_port = {port}
workers = 0
enabled_backends = folder:file
image_cache_dir = {place}/cache
[database]
connection = sqlite:///{place}/glance.sqlite
[glance_store]
default_backend = folder
[folder]
filesystem_store_datadir = {place}/images
[os_glance_staging_store]
filesystem_store_datadir = {place}/staging
[os_glance_tasks_store]
filesystem_store_datadir = {place}/tasks
[paste_deploy]
flavor =
config_file = {paste}
"""


@contextlib.contextmanager
def open_glance(place: Path) -> Iterator[str]:
    """A running Image service that asks nobody who he is; skipped where there is none."""
    if shutil.which("glance-api") is None or not PASTE.is_file():
        pytest.skip("glance-api is not installed: scripts/setup targets")
    place.mkdir(exist_ok=True)
    for name in ("images", "staging", "tasks", "cache"):
        (place / name).mkdir()
    with contextlib.closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = place / "glance.conf"
    settings.write_text(SETTINGS.format(port=port, place=place, paste=PASTE))
    told = f"--config-file={settings}"
    with (place / "log").open("wb") as log:
        subprocess.run(["glance-manage", told, "db_sync"], stdout=log, stderr=log, check=True)
        server = subprocess.Popen(["glance-api", told], stdout=log, stderr=log)
    try:
        _wait(f"http://127.0.0.1:{port}/v2/images", place / "log")
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def _wait(address: str, log: Path) -> None:
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(address, timeout=30).close()
            return
        time.sleep(0.2)
    raise AssertionError(log.read_text(errors="replace")[-2000:])
