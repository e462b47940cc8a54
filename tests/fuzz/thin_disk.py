"""A large disk in a few bytes: blocks of 4 KiB with their numbers, zeros everywhere else."""

from __future__ import annotations

from collections.abc import Iterator

from regild.image.disk import Disk
from regild.image.grains import check_range

BLOCK = 4096
RECORD = 4 + BLOCK
NUMBERS = 1 << 18
"""1 GiB: a number beyond is taken modulo it, so that every input is a disk."""


class ThinDisk:
    """The disk that an input describes; a later block of the same number wins."""

    format = "raw"
    bytes_read = 0

    def __init__(self, content: bytes) -> None:
        self.blocks = {
            int.from_bytes(content[at : at + 4], "little") % NUMBERS: content[at + 4 : at + RECORD]
            for at in range(0, len(content), RECORD)
        }
        self.size = (max(self.blocks, default=0) + 1) * BLOCK

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes."""
        check_range("the disk", self.size, offset, length)
        first, last = offset // BLOCK, -(-(offset + length) // BLOCK)
        whole = b"".join(
            self.blocks.get(number, b"").ljust(BLOCK, b"\0") for number in range(first, last)
        )
        begin = offset - first * BLOCK
        return whole[begin : begin + length]

    def extents(self) -> Iterator[tuple[int, int]]:
        """Every block that is held."""
        return ((number * BLOCK, BLOCK) for number in sorted(self.blocks))


class Watched:
    """A disk that remembers which blocks were read and held something."""

    format = "raw"
    bytes_read = 0

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.size = disk.size
        self.read_blocks: set[int] = {disk.size // BLOCK - 1}

    def read(self, offset: int, length: int) -> bytes:
        """What the disk holds there."""
        if length <= 64 * BLOCK:
            self.read_blocks |= set(range(offset // BLOCK, -(-(offset + length) // BLOCK)))
        return self.disk.read(offset, length)

    def extents(self) -> Iterator[tuple[int, int]]:
        """Those of the disk."""
        return self.disk.extents()

    def content(self) -> bytes:
        """The blocks that were read and are not zero, and the last one."""
        out = b""
        for number in sorted(self.read_blocks):
            offset = number * BLOCK
            block = self.disk.read(offset, max(0, min(BLOCK, self.size - offset)))
            if block.strip(b"\0") or number == self.size // BLOCK - 1:
                out += number.to_bytes(4, "little") + block.ljust(BLOCK, b"\0")
        return out
