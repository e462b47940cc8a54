"""Disks that are kept as large blocks with one flat table of places: VHD, VHDX and VDI."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Self

from regild.errors import Malformed, TooLarge, Truncated
from regild.image.grains import check_capacity, check_range, read_by_grain, runs_of
from regild.image.window import Window

MAX_TABLE_BYTES = 16 << 20
"""64 TiB of VHDX at blocks of 32 MiB; 4 TiB of VDI at blocks of 1 MiB."""
CHECKED_BLOCKS = 1 << 16
"""More are not looked at before they are read: 64 GiB at blocks of 1 MiB take 0.1 s of CPU."""
HELD_PIECES = 256
PIECE_BYTES = 4096


class BlockTable:
    """A table of equal entries in the file, read a page at a time."""

    def __init__(self, window: Window, at: int, count: int, entry_bytes: int) -> None:
        length = count * entry_bytes
        if length > MAX_TABLE_BYTES:
            raise TooLarge(where=window.where, why=f"its table of blocks takes {length} bytes")
        if at <= 0 or at + length > window.size:
            raise Malformed(where=window.where, why="its table of blocks reaches over its end")
        self._window, self._at, self._length, self._each = window, at, length, entry_bytes
        self._pieces: dict[int, bytes] = {}

    def entry(self, index: int) -> bytes:
        """The bytes of one entry."""
        number, start = divmod(index * self._each, PIECE_BYTES)
        piece = self._pieces.get(number)
        if piece is None:
            if len(self._pieces) >= HELD_PIECES:
                self._pieces.clear()
            begin = number * PIECE_BYTES
            count = min(PIECE_BYTES, self._length - begin)
            piece = self._pieces[number] = self._window.read(self._at + begin, count)
        return piece[start : start + self._each]


class BlockDisk:
    """A disk of blocks; `place_of` tells where block `number` lies in the file, 0 for zeros."""

    def __init__(
        self,
        window: Window,
        form: str,
        size: int,
        block_bytes: int,
        place_of: Callable[[int], int],
    ) -> None:
        check_capacity(window.where, size)
        self.size = size
        self.format = form
        self._window = window
        self._block = block_bytes
        self._place_of = place_of

    def checked(self) -> Self:
        """This disk, after a look whether all blocks lie inside of the file: one that was cut off
        is told at once, whatever of it is read later.

        Raises: Truncated, Malformed.
        """
        count = -(-self.size // self._block)
        for number in range(count if count <= CHECKED_BLOCKS else 0):
            at = self._place_of(number)
            needed = min(self._block, self.size - number * self._block)
            if at and at + needed > self._window.size:
                why = f"block {number} does not lie inside of it"
                raise Truncated(where=self._window.where, why=why)
        return self

    @property
    def bytes_read(self) -> int:
        """Bytes read from the file so far."""
        return self._window.bytes_read

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes; blocks that are not kept read as zeros.

        Raises: Truncated, Malformed.
        """
        check_range(self._window.where, self.size, offset, length)
        return read_by_grain(offset, length, self._block, self._piece)

    def extents(self) -> Iterator[tuple[int, int]]:
        """The (offset, length) of all blocks that are kept, neighbours as one.

        Raises: Truncated, Malformed.
        """
        return runs_of(self._kept(), self._block, self.size)

    def _kept(self) -> Iterator[int]:
        most = self._window.size // self._block + 1
        for number in range(-(-self.size // self._block)):
            if self._place_of(number):
                most -= 1
                if most < 0:
                    raise Malformed(where=self._window.where, why="its blocks overlap")
                yield number

    def _piece(self, number: int, start: int, count: int) -> bytes:
        at = self._place_of(number)
        return self._window.read(at + start, count) if at else bytes(count)
