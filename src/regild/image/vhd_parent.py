"""Differencing VHDs: what stands in no sector of theirs is their parent's (Microsoft, Virtual Hard
Disk Image Format Specification, 2006, "Dynamic Disk Header Format" and "Differencing Hard Disk").

The parent is followed by a bare name only, and has to carry the unique id that the child states.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from itertools import groupby

from regild.errors import ExternalFile, Malformed
from regild.image.blocks import BlockDisk
from regild.image.disk import HEAD_BYTES, Disk
from regild.image.grains import SECTOR_BYTES
from regild.image.joined import Below
from regild.image.neighbours import MAX_CHAIN, Neighbours
from regild.image.spans import joined
from regild.image.window import Window

_PARENT_AT = 40
_NAME_AT, _NAME_BYTES = 64, 512
_LOCATORS_AT = 576
_LOCATORS = 8
_LOCATOR = struct.Struct(">4sIIIQ")
RELATIVE = b"W2ru"
"""A path of Windows from the child's folder, in UTF-16 with the low byte first."""
MAX_NAME_BYTES = 2048
HELD_BITMAPS_BYTES = 4 << 20


def open_parent(header: bytes, window: Window, neighbours: Neighbours) -> Disk:
    """The parent that the header of a differencing VHD names.

    Raises: ExternalFile for a name that is a path, Malformed for another disk than the child was
    made on and for a cycle, TooLarge; whatever opening it raises.
    """
    from regild.image.vhd import COOKIE, find_fixed_vhd, identity_of, open_vhd

    where = window.where
    wanted = header[_PARENT_AT : _PARENT_AT + 16]
    name = _name(header, window)
    found = neighbours.deeper(where, MAX_CHAIN).open(name, where)
    if identity_of(found) != wanted:
        why = f"{name[:80]!r} is not the disk that it differs from: its unique id is another"
        raise Malformed(where=where, why=why)
    if found.read(0, min(HEAD_BYTES, found.size)).startswith(COOKIE):
        return open_vhd(found, neighbours)
    fixed = find_fixed_vhd(found)
    if fixed is None:
        raise Malformed(where=found.where, why="it is the parent of a VHD, and is none")
    return fixed


def _name(header: bytes, window: Window) -> str:
    """The parent's name: of the locators the one from the child's own folder, else the name that
    the header states."""
    for index in range(_LOCATORS):
        code, _room, length, _unused, at = _LOCATOR.unpack_from(
            header, _LOCATORS_AT + _LOCATOR.size * index
        )
        if code == RELATIVE:
            if not 0 < length <= MAX_NAME_BYTES:
                raise ExternalFile(
                    where=window.where, why=f"the name of its parent takes {length} bytes"
                )
            path = window.read(at, length).decode("utf-16-le", "replace").rstrip("\0")
            return path.removeprefix(".\\")
    stated = header[_NAME_AT : _NAME_AT + _NAME_BYTES]
    return stated.decode("utf-16-be", "replace").partition("\0")[0]


class DifferencingVhd(BlockDisk):
    """A VHD of which some sectors are its own, and the others its parent's."""

    def __init__(
        self,
        window: Window,
        size: int,
        block_bytes: int,
        place_of: Callable[[int], int],
        parent: Disk,
    ) -> None:
        super().__init__(window, "vhd", size, block_bytes, place_of)
        self._below = Below(parent, 0, size)
        self._bitmap_bytes = -(-block_bytes // SECTOR_BYTES // 8 // SECTOR_BYTES) * SECTOR_BYTES
        self._bitmaps: dict[int, bytes] = {}

    @property
    def bytes_read(self) -> int:
        """Bytes read from all files so far."""
        return self._window.bytes_read + self._below.bytes_read

    def extents(self) -> Iterator[tuple[int, int]]:
        """What either of them keeps.

        Raises: Truncated, Malformed.
        """
        return joined(super().extents(), self._below.extents())

    def _piece(self, number: int, start: int, count: int) -> bytes:
        at = self._place_of(number)
        begin = number * self._block
        if not at:
            return self._below.read(begin + start, count)
        bitmap = self._bitmap(number, at)
        first, last = start // SECTOR_BYTES, -(-(start + count) // SECTOR_BYTES)
        parts = []
        for own, run in groupby(range(first, last), lambda one: _is_set(bitmap, one)):
            sectors = list(run)
            low = max(start, sectors[0] * SECTOR_BYTES)
            high = min(start + count, (sectors[-1] + 1) * SECTOR_BYTES)
            source, place = (self._window, at) if own else (self._below, begin)
            parts.append(source.read(place + low, high - low))
        return b"".join(parts)

    def _bitmap(self, number: int, at: int) -> bytes:
        """Which sectors of a block are its own; it stands before the block."""
        bitmap = self._bitmaps.get(number)
        if bitmap is None:
            if len(self._bitmaps) * self._bitmap_bytes >= HELD_BITMAPS_BYTES:
                self._bitmaps.clear()
            bitmap = self._window.read(at - self._bitmap_bytes, self._bitmap_bytes)
            self._bitmaps[number] = bitmap
        return bitmap


def _is_set(bitmap: bytes, sector: int) -> bool:
    """Bits count from the highest of each byte."""
    return bool(bitmap[sector >> 3] & (0x80 >> (sector & 7)))
