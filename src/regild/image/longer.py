"""A disk that goes on with zeros behind its end, and the part of a disk that a volume has."""

from __future__ import annotations

from collections.abc import Iterator

from regild.image.disk import Disk
from regild.image.grains import check_range
from regild.image.overlay import Overlay


class Longer:
    """A disk that seems to be larger than it is; nothing behind its end is allocated."""

    def __init__(self, base: Disk, size: int) -> None:
        self.base, self.size = base, size
        self.format = base.format

    @property
    def bytes_read(self) -> int:
        """Bytes read from the file of the disk so far."""
        return self.base.bytes_read

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes.

        Raises: Truncated, Malformed.
        """
        check_range("the longer disk", self.size, offset, length)
        held = min(max(self.base.size - offset, 0), length)
        return (self.base.read(offset, held) if held else b"") + bytes(length - held)

    def extents(self) -> Iterator[tuple[int, int]]:
        """Those of the disk."""
        return self.base.extents()


class Stretch:
    """Some bytes of a disk as a disk of their own."""

    format = "raw"

    def __init__(self, disk: Disk | Overlay, offset: int, size: int) -> None:
        self._disk, self._offset, self.size = disk, offset, size

    @property
    def bytes_read(self) -> int:
        """Bytes read from the whole disk's file so far."""
        return self._disk.bytes_read

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes.

        Raises: Truncated, Malformed.
        """
        check_range("a part of a disk", self.size, offset, length)
        return self._disk.read(self._offset + offset, length)

    def extents(self) -> Iterator[tuple[int, int]]:
        """Those of the disk, as far as they lie in the stretch."""
        for offset, length in self._disk.extents():
            begin = max(offset - self._offset, 0)
            end = min(offset + length - self._offset, self.size)
            if begin < end:
                yield begin, end - begin


def beneath(disk: Disk | Overlay) -> Disk:
    """The disk whose own file an overlay, or a longer disk, lies over."""
    below = disk.base if isinstance(disk, Overlay) else disk
    return below.base if isinstance(below, Longer) else below
