"""Partition tables: GPT with its backup, and MBR with logical partitions.

UEFI Specification 2.10, 5.2 (legacy MBR) and 5.3 (GPT); both checksums of a GPT are verified, and
the backup is taken when the first header or its entries are damaged. Sectors of 512 and 4096 bytes.
"""

from __future__ import annotations

import struct
import uuid
import zlib
from collections.abc import Iterator

import msgspec

from regild.errors import Malformed, TooLarge, Truncated
from regild.image.disk import Disk
from regild.image.spans import Places, Span, joined, outside

SECTOR_SIZES = (512, 4096)

_GPT = struct.Struct("<8sIIIIQQQQ16sQIII")
_GPT_ENTRY = struct.Struct("<16s16sQQQ72s")
_GPT_MAGIC = b"EFI PART"
MAX_GPT_ENTRIES_BYTES = 1 << 20
"""128 entries of 128 bytes are usual; this is room for 8192."""

_MBR_ENTRY = struct.Struct("<B3sB3sII")
_MBR_SIGNATURE = b"\x55\xaa"
_PROTECTIVE = 0xEE
CODE_BYTES = 440
"""What of the first sector is a boot loader's: the disk's signature and the table follow."""
_EXTENDED = frozenset({0x05, 0x0F, 0x85})
FIRST_LOGICAL = 5
MAX_LOGICAL = 128
RECORDS_MAX = 2 * MAX_LOGICAL
"""Extended boot records of one chain, those that name no partition too."""
MAX_PARTITIONS = 256
"""Twice the 128 that a GPT usually has room for."""

UNUSED = uuid.UUID(int=0)


class Partition(msgspec.Struct, frozen=True):
    """One entry of a partition table; `offset` and `bytes` on the disk."""

    number: int
    offset: int
    bytes: int
    type: str
    """A GPT type as an upper-case GUID, or an MBR type as two hexadecimal digits."""
    uuid: str = ""
    """As PARTUUID stands in fstab(5)."""
    label: str = ""


def read_partitions(disk: Disk, where: str = "the disk") -> tuple[Partition, ...] | None:
    """The partitions of a disk in order of their number; None when there is no table.

    Raises: Malformed when there is a table that cannot be right, TooLarge, Truncated.
    """
    if disk.size < 2 * SECTOR_SIZES[0]:
        return None
    boot = disk.read(0, 512)
    entries = _mbr_entries(boot)
    protected = any(kind == _PROTECTIVE for _active, kind, _start, _count in entries)
    if protected or not entries:
        found = _gpt(disk, where)
        if found is not None:
            return _apart(found, where)
        if protected:
            raise Malformed(where=where, why="its GPT is announced, and both copies are damaged")
        return None
    if not _plausible(entries, disk.size):
        return None
    return _apart(tuple(_mbr(disk, boot, where)), where)


def read_partitions_of_4096(disk: Disk, where: str = "the disk") -> tuple[Partition, ...]:
    """The partitions of an MBR whose sectors hold 4096 bytes; none where it cannot be read so.

    Raises: nothing of the disk's making.
    """
    boot = disk.read(0, 512) if disk.size >= 512 else b""
    entries = _mbr_entries(boot) if boot else []
    protected = any(kind == _PROTECTIVE for _active, kind, _start, _count in entries)
    if not entries or protected or not _plausible(entries, disk.size, 4096):
        return ()
    try:
        return _apart(tuple(_mbr(disk, boot, where, 4096)), where)
    except (Malformed, TooLarge, Truncated):
        return ()


def read_gap(disk: Disk, first: int) -> Places:
    """What of a disk lies before its first partition, at `first`, and names none: where boot
    loaders for a BIOS lie.

    Raises: whatever the disk raises.
    """
    entries = _mbr_entries(disk.read(0, 512)) if disk.size >= 512 else []
    for _active, kind, start, _count in entries:
        if kind in _EXTENDED:
            first = min(first, start * 512)
    return tuple(outside([(0, first)], read_tables(disk)))


def read_tables(disk: Disk) -> Places:
    """Where a disk names its partitions: the MBR from its signature on, extended boot records, and
    both copies of a GPT, whole or not; ascending.

    Raises: whatever the disk raises.
    """
    entries = _mbr_entries(disk.read(0, 512)) if disk.size >= 512 else []
    tables = [(CODE_BYTES, 512 - CODE_BYTES)]
    if any(kind == _PROTECTIVE for _active, kind, _start, _count in entries):
        tables.append((512, 33 * 512))
    for sector in SECTOR_SIZES:
        tables += _gpt_places(disk, sector)
        for _active, kind, start, _count in entries:
            if kind in _EXTENDED:
                tables += _record_places(disk, start, sector)
    return tuple(joined(sorted(tables)))


def _gpt_places(disk: Disk, sector: int) -> Iterator[Span]:
    """Where the copies of a GPT lie, whether they are whole or not."""
    if disk.size < 3 * sector:
        return
    for at in (sector, disk.size // sector * sector - sector):
        magic, *_, entries_at, count, each, _check = _GPT.unpack_from(disk.read(at, _GPT.size))
        if magic == _GPT_MAGIC:
            yield at, sector
            yield entries_at * sector, min(count * each, MAX_GPT_ENTRIES_BYTES)


def _record_places(disk: Disk, extended: int, sector: int) -> Iterator[Span]:
    """Where the chain of extended boot records lies, as far as it leads."""
    here, seen = extended, set[int]()
    while here not in seen and len(seen) < RECORDS_MAX and here * sector + 512 <= disk.size:
        boot = disk.read(here * sector, 512)
        if boot[510:512] != _MBR_SIGNATURE:
            return
        yield here * sector + CODE_BYTES, 512 - CODE_BYTES
        seen.add(here)
        _active, _chs, kind, _end, start, count = _MBR_ENTRY.unpack_from(boot, 462)
        if kind not in _EXTENDED or not count:
            return
        here = extended + start


def _apart(partitions: tuple[Partition, ...], where: str) -> tuple[Partition, ...]:
    """Refuse partitions that overlap: nobody could say whose bytes those are."""
    if len(partitions) > MAX_PARTITIONS:
        raise TooLarge(where=where, why=f"it has {len(partitions)} partitions")
    end = 0
    for partition in sorted(partitions, key=lambda partition: partition.offset):
        if partition.offset < end:
            raise Malformed(where=where, why=f"partition {partition.number} overlaps another")
        end = partition.offset + partition.bytes
    return tuple(sorted(partitions, key=lambda partition: partition.number))


def _gpt(disk: Disk, where: str) -> tuple[Partition, ...] | None:
    """The GPT of the first sector size at which a whole copy is found."""
    for sector in SECTOR_SIZES:
        if disk.size < 3 * sector:
            continue
        for at in (sector, disk.size // sector * sector - sector):
            found = _gpt_at(disk, at, sector, where)
            if found is not None:
                return found
    return None


def _gpt_at(disk: Disk, at: int, sector: int, where: str) -> tuple[Partition, ...] | None:
    """A GPT whose header stands at `at`; None when it or its entries are damaged."""
    content = disk.read(at, sector)
    fields = _GPT.unpack_from(content)
    magic, _revision, length, check, _zero, own, *_rest, entries_at, count, each, all_check = fields
    if magic != _GPT_MAGIC or not _GPT.size <= length <= sector or own * sector != at:
        return None
    if zlib.crc32(content[:16] + bytes(4) + content[20:length]) != check:
        return None
    if each < _GPT_ENTRY.size or each % 8:
        return None
    if count * each > MAX_GPT_ENTRIES_BYTES:
        raise TooLarge(where=where, why=f"its GPT has {count} entries of {each} bytes")
    try:
        table = disk.read(entries_at * sector, count * each)
    except Truncated:
        return None
    if zlib.crc32(table) != all_check:
        return None
    return tuple(_gpt_entries(table, each, sector, where))


def _gpt_entries(table: bytes, each: int, sector: int, where: str) -> Iterator[Partition]:
    for index in range(len(table) // each):
        kind, own, first, last, _flags, name = _GPT_ENTRY.unpack_from(table, index * each)
        kind_id = uuid.UUID(bytes_le=kind)
        if kind_id == UNUSED:
            continue
        if last < first:
            raise Malformed(where=where, why=f"partition {index + 1} ends before it begins")
        yield Partition(
            number=index + 1,
            offset=first * sector,
            bytes=(last - first + 1) * sector,
            type=str(kind_id).upper(),
            uuid=str(uuid.UUID(bytes_le=own)),
            label=printable(name.decode("utf-16-le", "replace")),
        )


def _mbr_entries(boot: bytes) -> list[tuple[int, int, int, int]]:
    """The used entries of a boot sector as (active, type, first sector, sectors)."""
    if boot[510:512] != _MBR_SIGNATURE:
        return []
    found = []
    for index in range(4):
        active, _chs, kind, _end, start, count = _MBR_ENTRY.unpack_from(boot, 446 + 16 * index)
        if kind:
            found.append((active, kind, start, count))
    return found


def _plausible(entries: list[tuple[int, int, int, int]], size: int, sector: int = 512) -> bool:
    """Whether it is a table and not the code of a filesystem's boot sector."""
    return all(
        active in (0, 0x80) and start > 0 and count > 0 and start * sector < size
        for active, _kind, start, count in entries
    )


def _mbr(disk: Disk, boot: bytes, where: str, sector: int = 512) -> Iterator[Partition]:
    # A table of 4096-byte sectors cannot be told from one of 512; the standard's 512 is taken
    # first, as Linux does for a disk image.
    signature = struct.unpack_from("<I", boot, 440)[0]
    number = FIRST_LOGICAL
    for index in range(4):
        _active, _chs, kind, _end, start, count = _MBR_ENTRY.unpack_from(boot, 446 + 16 * index)
        if kind in _EXTENDED:
            for one in _logical(disk, start, number, signature, where, sector):
                yield one
                number = one.number + 1
        elif kind:
            yield _mbr_partition(index + 1, start, count, kind, signature, sector)


def _mbr_partition(
    number: int, start: int, count: int, kind: int, signature: int, sector: int
) -> Partition:
    return Partition(
        number=number,
        offset=start * sector,
        bytes=count * sector,
        type=f"{kind:02X}",
        uuid=f"{signature:08x}-{number:02x}",
    )


def _logical(
    disk: Disk, extended: int, number: int, signature: int, where: str, sector: int
) -> Iterator[Partition]:
    """Follow the chain of extended boot records, each of which names one partition, or none, and
    the next record; the first partition gets `number`, as Linux counts through all chains."""
    seen: set[int] = set()
    here = extended
    while here not in seen:
        seen.add(here)
        if number >= FIRST_LOGICAL + MAX_LOGICAL or len(seen) > RECORDS_MAX:
            raise TooLarge(where=where, why=f"more than {MAX_LOGICAL} logical partitions")
        try:
            boot = disk.read(here * sector, 512)
        except Truncated as error:
            raise Malformed(where=where, why="a logical partition lies outside") from error
        if boot[510:512] != _MBR_SIGNATURE:
            raise Malformed(where=where, why="the chain of logical partitions is broken")
        _a, _chs, kind, _end, start, count = _MBR_ENTRY.unpack_from(boot, 446)
        if kind and count:
            yield _mbr_partition(number, here + start, count, kind, signature, sector)
            number += 1
        _a, _chs, kind, _end, start, count = _MBR_ENTRY.unpack_from(boot, 462)
        if kind not in _EXTENDED or not count:
            return
        here = extended + start
    raise Malformed(where=where, why="the chain of logical partitions is a loop")


def printable(text: str) -> str:
    """A name from the disk up to its first zero, without what would disturb a terminal."""
    return "".join(sign for sign in text.partition("\0")[0] if sign.isprintable()).strip()
