"""Raw disks: the file's bytes are the disk's bytes; holes of a sparse file are not allocated."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

from regild.image.grains import check_capacity, check_range
from regild.image.window import NO_HANDLE, Window


class RawDisk:
    """A disk whose bytes stand in a file as they are."""

    format = "raw"

    def __init__(self, window: Window) -> None:
        check_capacity(window.where, window.size)
        self.window = window
        self.size = window.size

    @property
    def bytes_read(self) -> int:
        """Bytes read from the file so far."""
        return self.window.bytes_read

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`.

        Raises: Truncated.
        """
        check_range(self.window.where, self.size, offset, length)
        return self.window.read(offset, length)

    def extents(self) -> Iterator[tuple[int, int]]:
        """The parts of the file that the filesystem keeps blocks for (lseek(2), SEEK_DATA)."""
        if self.window.handle == NO_HANDLE:
            yield 0, self.size
            return
        begin, end = self.window.offset, self.window.offset + self.size
        here = begin
        while here < end:
            try:
                data = os.lseek(self.window.handle, here, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:
                    return
                raise
            if data >= end:
                return
            here = min(os.lseek(self.window.handle, data, os.SEEK_HOLE), end)
            yield data - begin, here - data
