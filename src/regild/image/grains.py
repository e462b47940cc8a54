"""Grains: the fixed pieces in which disk formats and the overlay keep a virtual disk.

Reading by piece, a bounded memory of the pieces read last, and runs of neighbouring pieces.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator

from regild.errors import Malformed, TooLarge, Truncated

GRAIN_BYTES = 65536
"""The grain of streamOptimized VMDK as every producer writes it, qcow2's usual cluster, and the
overlay's unit."""

SECTOR_BYTES = 512

MAX_DISK_BYTES = 64 << 40
"""The largest virtual disk that is read: 64 TiB, the limit of VMFS and of qcow2 at 64 KiB."""

CACHE_BYTES = 16 << 20


class RecentGrains:
    """The grains that were read last, up to a number of bytes."""

    def __init__(self, limit_bytes: int = CACHE_BYTES) -> None:
        self._limit = limit_bytes
        self._held = 0
        self._grains: OrderedDict[int, bytes] = OrderedDict()

    def find(self, number: int) -> bytes | None:
        """The grain of that number, when it is still held."""
        content = self._grains.get(number)
        if content is not None:
            self._grains.move_to_end(number)
        return content

    def keep(self, number: int, content: bytes) -> None:
        """Hold a grain, and let go of the oldest ones over the limit."""
        self._grains[number] = content
        self._held += len(content)
        while self._held > self._limit:
            self._held -= len(self._grains.popitem(last=False)[1])


def read_by_grain(
    offset: int, length: int, grain_bytes: int, piece: Callable[[int, int, int], bytes]
) -> bytes:
    """The bytes from `offset`, put together of `piece(number, start, count)` for every grain."""
    number, start = divmod(offset, grain_bytes)
    if start + length <= grain_bytes:
        return piece(number, start, length)
    parts = []
    while length:
        count = min(length, grain_bytes - start)
        parts.append(piece(number, start, count))
        number, start, length = number + 1, 0, length - count
    return b"".join(parts)


def runs_of(numbers: Iterable[int], unit: int, end: int) -> Iterator[tuple[int, int]]:
    """Ascending piece numbers as (offset, length) of neighbouring pieces, cut off at `end`."""
    first = last = -2
    for number in numbers:
        if number != last + 1:
            if first >= 0:
                yield first * unit, (last + 1 - first) * unit
            first = number
        last = number
    if first >= 0:
        yield first * unit, min((last + 1) * unit, end) - first * unit


def check_range(where: str, size: int, offset: int, length: int) -> None:
    """Refuse a read outside of the virtual disk.

    Raises: Truncated.
    """
    if offset < 0 or length < 0 or offset + length > size:
        why = f"{length} bytes at {offset} are needed, and the virtual disk holds {size}"
        raise Truncated(where=where, why=why)


def check_capacity(where: str, size: int) -> None:
    """Refuse a virtual disk of no bytes or of more than `MAX_DISK_BYTES`.

    Raises: Malformed, TooLarge.
    """
    if size <= 0:
        raise Malformed(where=where, why="the virtual disk holds no bytes")
    if size > MAX_DISK_BYTES:
        raise TooLarge(where=where, why=f"the virtual disk holds {size} bytes")


def touched_units(extents: Iterable[tuple[int, int]], unit_bytes: int) -> Iterator[int]:
    """The numbers of the units that some ascending (offset, length) touch, ascending and once."""
    done = 0
    for offset, length in extents:
        first = max(offset // unit_bytes, done)
        done = max(done, -(-(offset + length) // unit_bytes))
        yield from range(first, done)
