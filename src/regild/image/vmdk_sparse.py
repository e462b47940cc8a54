"""Writing a sparse VMDK of one file (monolithicSparse): grains as they are, none for zeros.

Virtual Disk Format 1.1 (VMware, 2007), "Hosted Sparse Extents": header, descriptor, a redundant
grain directory with its tables, the same once more, then the grains in the order of the disk. Equal
disks give equal bytes.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import IO, Final

from regild.errors import UnsupportedFormat
from regild.host.files import translated
from regild.image.disk import Disk
from regild.image.grains import GRAIN_BYTES, SECTOR_BYTES, check_capacity, touched_units
from regild.image.longer import beneath
from regild.image.vmdk import VmdkDisk
from regild.image.vmdk_grains import GRAIN_SECTORS
from regild.image.vmdk_layout import ENTRIES, HAS_NEWLINES, DiskDescriptor, Header
from regild.image.vmdk_stream import (
    DESCRIPTOR_SECTORS,
    MAX_SECTORS,
    database_of,
    plain_file_name,
)
from regild.model.progress import Progress, Silent

USES_REDUNDANT: Final = 2
TABLE_SECTORS: Final = ENTRIES * 4 // SECTOR_BYTES


def write_vmdk_sparse(
    disk: Disk, file: IO[bytes], progress: Progress | None = None, name: str = "disk.vmdk"
) -> None:
    """Write a disk into an empty file that its descriptor calls `name`; `progress` is told bytes of
    the virtual disk. Of an overlay over a VMDK the old disk's database is kept.

    Raises: Truncated, Malformed, DiskFull, UnsupportedFormat for one that is too large.
    """
    where = Path(str(file.name))
    check_capacity(where.name, disk.size)
    watched = progress or Silent()
    tables = -(-disk.size // (GRAIN_BYTES * ENTRIES))
    places = _Places(tables)
    entries = [0] * (tables * ENTRIES)
    sector, identity, done = places.overhead, 0, 0
    with translated(where):
        for number in touched_units(disk.extents(), GRAIN_BYTES):
            at = number * GRAIN_BYTES
            content = disk.read(at, min(GRAIN_BYTES, disk.size - at))
            if content.count(0) != len(content):
                file.seek(sector * SECTOR_BYTES)
                file.write(content.ljust(GRAIN_BYTES, b"\0"))
                entries[number] = sector
                identity = zlib.crc32(content, zlib.crc32(struct.pack("<Q", number), identity))
                sector += GRAIN_SECTORS
                if sector >= MAX_SECTORS:
                    why = "it would be larger than 2 TiB"
                    raise UnsupportedFormat(where=where.name, why=why)
            watched.advance(at + len(content) - done)
            done = at + len(content)
        watched.advance(disk.size - done)
        descriptor = _descriptor(disk, identity, name)
        _write_head(file, disk.size, places, entries, descriptor)
        file.truncate(sector * SECTOR_BYTES)


class _Places:
    """Where directories and tables lie, in sectors."""

    def __init__(self, tables: int) -> None:
        directory = -(-tables * 4 // SECTOR_BYTES)
        self.redundant = 1 + DESCRIPTOR_SECTORS
        self.directory = self.redundant + directory + tables * TABLE_SECTORS
        end = self.directory + directory + tables * TABLE_SECTORS
        self.overhead = -(-end // GRAIN_SECTORS) * GRAIN_SECTORS
        self.tables_behind = directory


def _descriptor(disk: Disk, identity: int, name: str) -> bytes:
    sectors = -(-disk.size // SECTOR_BYTES)
    below = beneath(disk)
    return DiskDescriptor(
        content_id=f"{identity % 0xFFFFFFFE:08x}",  # the highest ones mean something else
        create_type="monolithicSparse",
        name=plain_file_name(name),
        database=database_of(below if isinstance(below, VmdkDisk) else None, sectors),
    ).written(sectors)


def _write_head(
    file: IO[bytes], size: int, places: _Places, entries: list[int], descriptor: bytes
) -> None:
    """Header, descriptor, and both directories with their tables."""
    sectors = -(-size // SECTOR_BYTES)
    header = Header(
        version=1,
        flags=HAS_NEWLINES | USES_REDUNDANT,
        capacity=sectors,
        grain=GRAIN_SECTORS,
        descriptor_at=1,
        descriptor=DESCRIPTOR_SECTORS,
        entries=ENTRIES,
        redundant_at=places.redundant,
        directory_at=places.directory,
        overhead=places.overhead,
        compression=0,
    )
    file.seek(0)
    file.write(header.packed())
    file.write(descriptor)
    for at in (places.redundant, places.directory):
        count = len(entries) // ENTRIES
        first = at + places.tables_behind
        names = [first + TABLE_SECTORS * number for number in range(count)]
        file.seek(at * SECTOR_BYTES)
        file.write(struct.pack(f"<{count}I", *names))
        file.seek(first * SECTOR_BYTES)
        file.write(struct.pack(f"<{len(entries)}I", *entries))
