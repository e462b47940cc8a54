"""What is taken of this machine's disks: below a folder, and by files that have lost their name."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

SECTOR_BYTES = 512
"""The unit of st_blocks (inode(7)), whatever the filesystem's blocks are."""


def used_below(folder: Path) -> int:
    """Bytes that all files below a folder take, each counted once however many names it has.

    What goes away meanwhile counts nothing.
    """
    seen: set[tuple[int, int]] = set()
    return sum(_taken(status, seen) for status in _walk(folder))


def used_unnamed(apart_from: Collection[int] = ()) -> int:
    """Bytes of files that processes seen from here hold open though their last name is gone.

    `apart_from` are devices (st_dev) whose files are bounded otherwise.
    """
    seen: set[tuple[int, int]] = set()
    taken = 0
    for status in _open_files():
        if status.st_nlink == 0 and status.st_dev not in apart_from:
            taken += _taken(status, seen)
    return taken


def _taken(status: os.stat_result, seen: set[tuple[int, int]]) -> int:
    key = (status.st_dev, status.st_ino)
    if key in seen or not stat.S_ISREG(status.st_mode):
        return 0
    seen.add(key)
    return status.st_blocks * SECTOR_BYTES


def _walk(folder: Path) -> Iterator[os.stat_result]:
    waiting = [str(folder)]
    while waiting:
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as found:
            for entry in found:
                with contextlib.suppress(OSError):
                    yield entry.stat(follow_symlinks=False)
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)


def _open_files() -> Iterator[os.stat_result]:
    """What every process has open (proc_pid_fd(5))."""
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError):
                for handle in (process / "fd").iterdir():
                    with contextlib.suppress(OSError):
                        yield handle.stat()
