"""Filesystems that only the kernel can fill: made in a file, mounted, filled, and let go."""

import contextlib
import os
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.image.disks import blank, tool


@contextlib.contextmanager
def mounted(image: Path, folder: Path, *options: str) -> Iterator[Path]:
    """Mount an image; the test is skipped where that is not allowed."""
    if os.geteuid():
        pytest.skip("mounting needs root")
    folder.mkdir(exist_ok=True)
    command = ["mount", "-o", ",".join(("loop", *options)), str(image), str(folder)]
    for _again in range(5):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if "busy" not in done.stderr:
            break
        time.sleep(0.3)  # another process took the loop device in between
    if done.returncode:
        pytest.skip(f"this machine does not mount: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        # Another process's name space, made in between, may hold the mount longer than we do.
        subprocess.run(["sync", "-f", str(folder)], check=True)
        subprocess.run(["umount", str(folder)], check=True)


@contextlib.contextmanager
def ntfs_mounted(image: Path, folder: Path, *options: str) -> Iterator[Path]:
    """Mount an NTFS through ntfs-3g; the test is skipped where that is not allowed."""
    if os.geteuid() or not os.access("/dev/fuse", os.W_OK):
        pytest.skip("mounting through FUSE needs root and /dev/fuse")
    folder.mkdir(exist_ok=True)
    tool("ntfs-3g", *(("-o", ",".join(options)) if options else ()), image, folder)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)
        # The driver writes on after umount has come back; it is done when nobody has it open.
        while subprocess.run(["pgrep", "-f", f"ntfs-3g .*{image}"], capture_output=True).stdout:
            time.sleep(0.05)


def xfs(path: Path, *options: str) -> Path:
    """An empty XFS in a sparse file; mkfs.xfs makes none under 300 MB."""
    tool("mkfs.xfs", "-q", *options, blank(path, 304 << 20))
    return path


def fragment(path: Path, count: int) -> None:
    """A file of so many separate blocks."""
    source = random.Random(4)
    with path.open("wb") as file:
        for number in range(count):
            file.seek(number * 8192)
            file.write(source.randbytes(4096))
            file.flush()
            os.fdatasync(file.fileno())
