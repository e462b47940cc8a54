"""Small real ext2/3/4 filesystems, made by mke2fs from a folder and judged by the kernel."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from regild.image.ext import ExtVolume
from regild.image.formats import open_disk
from regild.image.overlay import Overlay
from regild.image.region import Region
from tests.image.disks import tool

KINDS = {
    "ext4": ("-t", "ext4"),
    "ext4 inline": ("-t", "ext4", "-O", "inline_data", "-I", "256"),
    "ext4 1k, no checksums": ("-t", "ext4", "-b", "1024", "-O", "^metadata_csum,^64bit"),
    "ext4 small inodes": ("-t", "ext4", "-I", "128"),
    "ext3 1k": ("-t", "ext3", "-b", "1024"),
    "ext3": ("-t", "ext3", "-b", "4096"),
    "ext2 1k": ("-t", "ext2", "-b", "1024", "-I", "128"),
}

Fact = tuple[object, ...]


def make_image(path: Path, kind: str, source: Path | None = None, size: int = 16 << 20) -> Path:
    """A filesystem of a kind, filled from a folder with owners, times and attributes."""
    with path.open("wb") as file:
        file.truncate(size)
    filled = ["-d", source] if source else []
    tool("mke2fs", "-q", "-F", "-N", 2500, *KINDS[kind], *filled, path)
    return path


@dataclass
class Changing:
    """An image opened through an overlay; `volume` sees it with all changes."""

    volume: ExtVolume
    overlay: Overlay


@contextmanager
def opened(image: Path, writable: bool = False) -> Iterator[Changing]:
    """Open an image; changes go to `image` with `.overlay` added."""
    place = image.with_suffix(".overlay")
    with open_disk(image) as disk:
        is_old = place.exists()
        with Overlay.open(place, disk) if is_old else Overlay.create(place, disk) as overlay:
            volume = ExtVolume(Region(overlay, ((0, disk.size),), "test"), "test", writable)
            try:
                yield Changing(volume, overlay)
            finally:
                volume.close()
                overlay.flush()


def flattened(image: Path) -> Path:
    """The image with its overlay's changes, as a file of its own."""
    # A file of its own each time: the kernel may still hold the last one's pages.
    target = image.with_suffix(f".flat{len(list(image.parent.glob('*.flat*')))}")
    with opened(image) as changing, target.open("wb") as file:
        overlay = changing.overlay
        file.truncate(overlay.size)
        for offset, length in overlay.extents():
            file.seek(offset)
            file.write(overlay.read(offset, length))
    return target


def check(path: Path) -> None:
    """e2fsck finds nothing, also with the kernel's own strictness about folders' hashes."""
    done = subprocess.run(["e2fsck", "-fn", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@contextmanager
def mounted(path: Path, folder: Path) -> Iterator[Path]:
    """The image as the kernel sees it; skipped where there is no loop device or no root."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    folder.mkdir(exist_ok=True)
    line = ["mount", "-o", "loop,ro", path, folder]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no loop mount here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def facts_of_folder(root: Path) -> dict[str, Fact]:
    """What the kernel says of every path below a folder."""
    found = {}
    # Not by rglob: until Python 3.11.3 it follows links, and one here is too long to be followed.
    walked = os.walk(root)
    inside = (Path(top, name) for top, folders, files in walked for name in (*folders, *files))
    for path in sorted(inside):
        if path == root / "lost+found":
            continue
        status = path.lstat()
        content: object = None
        if stat.S_ISLNK(status.st_mode):
            content = str(path.readlink())
        elif stat.S_ISREG(status.st_mode):
            content = path.read_bytes()
        elif stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
            content = (os.major(status.st_rdev), os.minor(status.st_rdev))
        names = os.listxattr(path, follow_symlinks=False)
        found[f"/{path.relative_to(root)}"] = (
            status.st_mode,
            status.st_uid,
            status.st_gid,
            status.st_mtime_ns,
            1 if stat.S_ISDIR(status.st_mode) else status.st_nlink,
            content,
            {name: os.getxattr(path, name, follow_symlinks=False) for name in names},
        )
    return found


def facts_of_volume(volume: ExtVolume) -> dict[str, Fact]:
    """The same, as regild reads it."""
    found = {}
    for path, inode in volume.walk():
        if path == "/lost+found":
            continue
        content: object = None
        if stat.S_ISREG(inode.mode):
            content = b""
            for offset, piece in volume.read_content(inode):
                content = content.ljust(offset, b"\0") + piece
            content = content.ljust(inode.size, b"\0")
        elif stat.S_ISLNK(inode.mode):
            content = volume.read_target(inode)
        elif stat.S_ISCHR(inode.mode) or stat.S_ISBLK(inode.mode):
            content = inode.device
        found[path] = (
            inode.mode,
            inode.uid,
            inode.gid,
            inode.mtime_ns,
            1 if stat.S_ISDIR(inode.mode) else inode.links,
            content,
            volume.read_attributes(inode),
        )
    return found
