"""Disks one behind another, and a disk in front of the one that it is based on."""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from regild.errors import Malformed
from regild.image.disk import Disk
from regild.image.grains import check_capacity, check_range


@dataclass(frozen=True, slots=True)
class Piece:
    """`bytes` of a disk from `begin` on; without a disk, zeros."""

    disk: Disk | None
    begin: int
    bytes: int


class JoinedDisk:
    """Pieces of other disks, one behind another."""

    def __init__(self, form: str, pieces: Sequence[Piece], where: str) -> None:
        self.format = form
        self._where = where
        self._pieces = [piece for piece in pieces if piece.bytes]
        self._starts: list[int] = []
        self.size = 0
        for piece in self._pieces:
            if piece.disk is not None and piece.begin + piece.bytes > piece.disk.size:
                raise Malformed(where=where, why="an extent is shorter than its descriptor says")
            self._starts.append(self.size)
            self.size += piece.bytes
        check_capacity(where, self.size)

    @property
    def bytes_read(self) -> int:
        """Bytes read from all files so far."""
        return sum(piece.disk.bytes_read for piece in self._pieces if piece.disk is not None)

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes.

        Raises: Truncated, Malformed.
        """
        check_range(self._where, self.size, offset, length)
        parts = []
        index = max(0, bisect.bisect_right(self._starts, offset) - 1)
        while length:
            piece = self._pieces[index]
            within = offset - self._starts[index]
            count = min(length, piece.bytes - within)
            at = piece.begin + within
            parts.append(piece.disk.read(at, count) if piece.disk else bytes(count))
            offset, length, index = offset + count, length - count, index + 1
        return b"".join(parts)

    def extents(self) -> Iterator[tuple[int, int]]:
        """The allocated (offset, length) of all pieces.

        Raises: Truncated, Malformed.
        """
        for start, piece in zip(self._starts, self._pieces, strict=True):
            if piece.disk is None:
                continue
            for offset, length in piece.disk.extents():
                first = max(offset, piece.begin)
                last = min(offset + length, piece.begin + piece.bytes)
                if first < last:
                    yield start + first - piece.begin, last - first


class Below:
    """What lies below a disk, or one part of it, in the disk that it is the difference to; behind
    that one's end are zeros."""

    def __init__(self, parent: Disk, begin: int, size: int) -> None:
        self._parent, self._begin, self.size = parent, begin, size
        self.format = parent.format

    @property
    def bytes_read(self) -> int:
        """Bytes read from the parent's files so far, told by its first part alone."""
        return 0 if self._begin else self._parent.bytes_read

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes.

        Raises: Truncated, Malformed.
        """
        at = self._begin + offset
        there = max(0, min(length, self._parent.size - at))
        return (self._parent.read(at, there) if there else b"").ljust(length, b"\0")

    def extents(self) -> Iterator[tuple[int, int]]:
        """What the parent keeps of this part.

        Raises: Truncated, Malformed.
        """
        for offset, length in self._parent.extents():
            first = max(offset, self._begin)
            last = min(offset + length, self._begin + self.size)
            if first < last:
                yield first - self._begin, last - first
