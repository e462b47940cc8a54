"""A large disk in a few bytes: (number of a 4 KiB block, the block), as often as there is one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from regild.image.disk import Disk

BLOCK = 4096
RECORD = 4 + BLOCK


def sparse_disk(content: bytes) -> Disk:
    from tests.fuzz.thin_disk import ThinDisk

    return ThinDisk(content)


def thin(path: Path, keep: Callable[[Disk], object]) -> bytes:
    """The blocks of a disk that reading it needs, as an input of `ThinDisk`."""
    from regild.image.disk import open_disk
    from tests.fuzz.thin_disk import Watched

    with open_disk(path) as disk:
        watched = Watched(disk)
        keep(watched)
        return watched.content()
