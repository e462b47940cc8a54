"""A part of a disk for a filesystem to live in: nothing outside of it is ever read or written.

A hostile superblock may claim more blocks than its partition has; what lies behind belongs to
another filesystem of the same guest.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterator

from regild.errors import Malformed
from regild.image.disk import Disk
from regild.image.overlay import Overlay
from regild.image.spans import Places


class Region:
    """The bytes of a disk at some places, as one; writing needs an overlay below."""

    def __init__(self, disk: Disk | Overlay, places: Places, where: str) -> None:
        self._starts = [0, *itertools.accumulate(length for _, length in places)]
        self.size = self._starts.pop()
        self._disk, self._places, self._where = disk, places, where

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes.

        Raises: Malformed outside of the region; whatever the disk raises.
        """
        pieces = list(self.on_disk(offset, length))
        if len(pieces) == 1:
            return self._disk.read(*pieces[0])
        return b"".join(self._disk.read(at, count) for at, count in pieces)

    def write(self, offset: int, content: bytes) -> None:
        """Put some bytes.

        Raises: Malformed outside of the region or where the disk cannot be written.
        """
        if not isinstance(self._disk, Overlay):
            raise Malformed(where=self._where, why="it was opened for reading only")
        rest = memoryview(content)
        for at, count in self.on_disk(offset, len(content)):
            self._disk.write(at, rest[:count])
            rest = rest[count:]

    def on_disk(self, offset: int, length: int) -> Iterator[tuple[int, int]]:
        """Where a part of the region lies on the disk: (offset, length), in order.

        Raises: Malformed outside of the region.
        """
        if offset < 0 or length < 0 or offset + length > self.size:
            why = f"{length} bytes at {offset} lie beyond its end at {self.size}"
            raise Malformed(where=self._where, why=why)
        number = bisect.bisect_right(self._starts, offset) - 1
        while length:
            at, held = self._places[number]
            start = offset - self._starts[number]
            count = min(length, held - start)
            yield at + start, count
            offset, length, number = offset + count, length - count, number + 1
