"""A part of a disk for a filesystem to live in: nothing outside of it is ever read or written.

A hostile superblock may claim more blocks than its partition has; what lies behind belongs to
another filesystem of the same guest.
"""

from __future__ import annotations

from regild.errors import Malformed
from regild.image.disk import Disk
from regild.image.overlay import Overlay


class Region:
    """`size` bytes of a disk from `offset` on; writing needs an overlay below."""

    def __init__(self, disk: Disk | Overlay, offset: int, size: int, where: str) -> None:
        self.size = size
        self._disk, self._offset, self._where = disk, offset, where

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes.

        Raises: Malformed outside of the region; whatever the disk raises.
        """
        self._check(offset, length)
        return self._disk.read(self._offset + offset, length)

    def write(self, offset: int, content: bytes) -> None:
        """Put some bytes.

        Raises: Malformed outside of the region or where the disk cannot be written.
        """
        self._check(offset, len(content))
        if not isinstance(self._disk, Overlay):
            raise Malformed(where=self._where, why="it was opened for reading only")
        self._disk.write(self._offset + offset, content)

    def _check(self, offset: int, length: int) -> None:
        if offset < 0 or length < 0 or offset + length > self.size:
            why = f"{length} bytes at {offset} lie beyond its end at {self.size}"
            raise Malformed(where=self._where, why=why)
