"""A partition table for a disk that became larger: the last partition reaches to its new end.

UEFI Specification 2.10, 5.2 (legacy MBR) and 5.3 (GPT: the backup header and its entries stand in
the disk's last sectors). An MBR counts sectors in 32 bits, so that it ends at 2 TiB.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

from regild.errors import Malformed, UnsupportedFormat
from regild.image.overlay import Overlay
from regild.image.partitions import Partition, read_partitions

_GPT_MAGIC: Final = b"EFI PART"
_LBA_ALTERNATE, _LBA_LAST, _LBA_ENTRIES = 32, 48, 72
_ENTRY_LAST: Final = 40
_ALIGNMENT: Final = 1 << 20
_MOST: Final = 0xFFFFFFFF
_ANYWHERE: Final = b"\xfe\xff\xff"
"""The last address that cylinder, head and sector can name: then LBA counts."""


def grow_partition(disk: Overlay, old_bytes: int, offset: int, where: str) -> int:
    """Let the partition at `offset` reach to the end of a disk that had `old_bytes`; its new length
    in bytes. On a disk without a table the filesystem has the whole of it.

    Raises: UnsupportedFormat where another one stands behind it, Malformed.
    """
    partitions = _partitions(disk, old_bytes, where)
    if not partitions:
        return disk.size
    last = max(partitions, key=lambda one: one.offset)
    if last.offset != offset:
        why = f"partition {last.number} stands behind it, and only the last one can grow"
        raise UnsupportedFormat(where=where, why=why)
    for sector in (512, 4096):
        if disk.read(sector, 8) == _GPT_MAGIC:
            return _grow_gpt(disk, old_bytes, last, sector, where)
    return _grow_mbr(disk, last, where)


def _partitions(disk: Overlay, old_bytes: int, where: str) -> tuple[Partition, ...]:
    """The partitions as they were; the backup of a GPT stands where the disk ended."""
    from regild.image.longer import Stretch

    return read_partitions(Stretch(disk, 0, old_bytes), where) or ()


def _grow_gpt(disk: Overlay, old_bytes: int, last: Partition, sector: int, where: str) -> int:
    header = bytearray(disk.read(sector, sector))
    count, each = struct.unpack_from("<II", header, 80)
    length, check = struct.unpack_from("<II", header, 12)
    blank = bytes(header[:16]) + bytes(4) + bytes(header[20:length])
    if length > sector or zlib.crc32(blank) != check:
        raise Malformed(where=where, why="its first GPT is damaged, and would be taken for good")
    (entries_at,) = struct.unpack_from("<Q", header, _LBA_ENTRIES)
    table = bytearray(disk.read(entries_at * sector, count * each))
    if zlib.crc32(table) != struct.unpack_from("<I", header, 88)[0]:
        raise Malformed(where=where, why="its first GPT is damaged, and would be taken for good")
    sectors = -(-len(table) // sector)
    end = disk.size // sector - 1
    usable = end - sectors - 1
    last_lba = (usable + 1) * sector // _ALIGNMENT * _ALIGNMENT // sector - 1
    struct.pack_into("<Q", table, (last.number - 1) * each + _ENTRY_LAST, last_lba)
    if last_lba * sector < last.offset + last.bytes:
        raise UnsupportedFormat(where=where, why="there is no room behind its last partition")
    _forget_backup(disk, old_bytes, sector, sectors)
    struct.pack_into("<I", header, 88, zlib.crc32(table))
    struct.pack_into("<Q", header, _LBA_LAST, usable)
    disk.write(entries_at * sector, bytes(table))
    disk.write((end - sectors) * sector, bytes(table))
    _put_header(disk, header, length, 1, end, entries_at, sector)
    _put_header(disk, header, length, end, 1, end - sectors, sector)
    _protect(disk, sector)
    return (last_lba + 1) * sector - last.offset


def _forget_backup(disk: Overlay, old_bytes: int, sector: int, sectors: int) -> None:
    """What told of the table at the old end lies inside of the partition now."""
    at = (old_bytes // sector - 1) * sector
    if disk.read(at, 8) == _GPT_MAGIC:
        disk.write(at - sectors * sector, bytes((sectors + 1) * sector))


def _put_header(
    disk: Overlay,
    header: bytearray,
    length: int,
    own: int,
    other: int,
    entries: int,
    sector: int,
) -> None:
    struct.pack_into("<QQ", header, 24, own, other)
    struct.pack_into("<Q", header, _LBA_ENTRIES, entries)
    header[16:20] = bytes(4)
    struct.pack_into("<I", header, 16, zlib.crc32(bytes(header[:length])))
    disk.write(own * sector, bytes(header))


def _protect(disk: Overlay, sector: int) -> None:
    """The MBR's one partition covers the disk, as far as it can count."""
    boot = bytearray(disk.read(0, 512))
    for at in range(446, 510, 16):
        if boot[at + 4] == 0xEE:
            struct.pack_into("<I", boot, at + 12, min(disk.size // sector - 1, _MOST))
    disk.write(0, bytes(boot))


def _grow_mbr(disk: Overlay, last: Partition, where: str) -> int:
    boot = bytearray(disk.read(0, 512))
    if last.number > 4:
        raise UnsupportedFormat(where=where, why="its last partition is a logical one")
    at = 446 + 16 * (last.number - 1)
    (first,) = struct.unpack_from("<I", boot, at + 8)
    count: int = min(disk.size // _ALIGNMENT * _ALIGNMENT // 512 - first, _MOST)
    if count * 512 < last.bytes:
        raise UnsupportedFormat(where=where, why="there is no room behind its last partition")
    if first * 512 != last.offset:
        raise UnsupportedFormat(where=where, why="an MBR with sectors of 4096 bytes")
    struct.pack_into("<I", boot, at + 12, count)
    boot[at + 5 : at + 8] = _ANYWHERE
    disk.write(0, bytes(boot))
    return count * 512
