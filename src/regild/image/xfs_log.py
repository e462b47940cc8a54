"""Whether the log of an XFS filesystem was written out: the last record says that it was unmounted.

Linux fs/xfs/libxfs/xfs_log_format.h; the head is found as xfs_log_recover.c finds it, by the
numbers of the rounds that stand at the begin of each sector.
"""

from __future__ import annotations

from collections.abc import Callable

SECTOR_BYTES = 512
_MAGIC = b"\xfe\xed\xba\xbe"
_UNMOUNT = 0x20
_FURTHEST = 1024
"""A record takes up to 256 KiB and its headers; the last one begins within so many sectors."""


def is_clean(read: Callable[[int, int], bytes]) -> bool:
    """Whether all changes of the volume that `read(offset, length)` gives stand in their places.

    A log that is not understood is not clean.
    """
    head = read(0, SECTOR_BYTES)
    start, block = int.from_bytes(head[48:56], "big"), int.from_bytes(head[4:8], "big")
    group = int.from_bytes(head[84:88], "big")
    sectors = int.from_bytes(head[96:100], "big") * block // SECTOR_BYTES
    log = head[124]
    if not start or sectors < 2:
        return False
    begin = ((start >> log) * group + (start & (1 << log) - 1)) * block

    def sector(number: int) -> bytes:
        return read(begin + number % sectors * SECTOR_BYTES, SECTOR_BYTES)

    return _ends_with_unmount(sector, _head(sector, sectors), sectors)


def _round(content: bytes) -> int:
    return int.from_bytes(content[4:8] if content.startswith(_MAGIC) else content[:4], "big")


def _head(sector: Callable[[int], bytes], sectors: int) -> int:
    """The first sector that still holds the round before, or none."""
    newest = _round(sector(0))
    low, high = 0, sectors
    while high - low > 1:
        middle = (low + high) // 2
        if _round(sector(middle)) == newest:
            low = middle
        else:
            high = middle
    return high


def _ends_with_unmount(sector: Callable[[int], bytes], head: int, sectors: int) -> bool:
    for back in range(1, min(_FURTHEST, sectors)):
        content = sector(head - back)
        if content.startswith(_MAGIC):
            operations = int.from_bytes(content[40:44], "big")
            # A record of one operation, and its headers and data in what follows.
            return operations == 1 and back > 1 and bool(sector(head - back + 1)[9] & _UNMOUNT)
    return False
