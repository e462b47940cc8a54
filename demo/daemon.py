"""A real libvirtd for demo and tests: the one that runs, else one of our own, ended afterwards."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from regild.errors import HostError, ToolMissing

URI = "qemu:///system"
IMAGES = Path("/var/lib/libvirt/images")
"""Where libvirt's own user may read."""
READY_SECONDS = 60


def answers() -> bool:
    line = ["virsh", "-q", "-c", URI, "version"]
    return subprocess.run(line, capture_output=True, timeout=30).returncode == 0


@contextlib.contextmanager
def running_daemon() -> Iterator[None]:
    """libvirtd and its log daemon, without systemd."""
    if shutil.which("libvirtd") is None:
        package = "libvirt-daemon-system"
        raise ToolMissing(where="libvirtd", why="to run instances", package=package)
    if answers():
        yield
        return
    with tempfile.TemporaryDirectory() as folder:
        started = []
        try:
            for name in ("virtlogd", "libvirtd"):
                started.append(Path(folder) / f"{name}.pid")
                subprocess.run([name, "-d", "-p", started[-1]], check=True, capture_output=True)
            until = time.monotonic() + READY_SECONDS
            while not answers():
                if time.monotonic() >= until:
                    raise HostError(where="libvirtd", why="it does not answer")
                time.sleep(0.5)
            yield
        finally:
            for path in reversed(started):
                with contextlib.suppress(OSError, ValueError):
                    os.kill(int(path.read_text()), signal.SIGTERM)


@contextlib.contextmanager
def readable_folder(prefix: str) -> Iterator[Path]:
    """A folder that QEMU, as libvirt's own user, can reach."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=IMAGES))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_domains(prefix: str) -> None:
    """Whatever was left behind."""
    listed = subprocess.run(
        ["virsh", "-q", "-c", URI, "list", "--all", "--name"], capture_output=True, text=True
    )
    for name in listed.stdout.split():
        if name.startswith(prefix):
            for verb in ("destroy", "undefine"):
                subprocess.run(["virsh", "-q", "-c", URI, verb, name], capture_output=True)
