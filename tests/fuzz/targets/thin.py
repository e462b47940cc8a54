"""A large disk in a few bytes: (number of a 4 KiB block, the block), as often as there is one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from regild.image.disk import Disk

BLOCK = 4096
RECORD = 4 + BLOCK
FILE_BLOCKS = 1 << 13
"""32 MiB: a number beyond is taken modulo it, so that every input is a file."""


def sparse_disk(content: bytes) -> Disk:
    from tests.fuzz.thin_disk import ThinDisk

    return ThinDisk(content)


def thin(path: Path, keep: Callable[[Disk], object]) -> bytes:
    """The blocks of a disk that reading it needs, as an input of `ThinDisk`."""
    from regild.image.formats import open_disk
    from tests.fuzz.thin_disk import Watched

    with open_disk(path) as disk:
        watched = Watched(disk)
        keep(watched)
        return watched.content()


def laid_out(content: bytes, handle: int) -> int:
    """Write a thin file out, with holes; its length."""
    length = 0
    for at in range(0, len(content), RECORD):
        number = int.from_bytes(content[at : at + 4], "little") % FILE_BLOCKS
        block = content[at + 4 : at + RECORD]
        os.pwrite(handle, block, number * BLOCK)
        length = max(length, number * BLOCK + len(block))
    return length


def thin_file(content: bytes) -> bytes:
    """What of a file is not zeros, and its last block, as an input of `laid_out`."""
    return b"".join(_records(content))


def _records(content: bytes) -> Iterator[bytes]:
    last = (len(content) - 1) // BLOCK
    for number in range(last + 1):
        block = content[number * BLOCK : (number + 1) * BLOCK]
        if number == last or any(block):
            yield number.to_bytes(4, "little") + block
