"""The structures of a VMDK sparse extent and of its descriptor, both ways.

Virtual Disk Format 1.1 (VMware, 2007), "Hosted Sparse Extents", "Stream-Optimized Compressed
Sparse Extents" and "The Descriptor File". All numbers are little-endian, all offsets in sectors.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from regild.errors import ExternalFile, Malformed, UnsupportedFormat

MAGIC = b"KDMV"
HEADER = struct.Struct("<4sIIQQQQIQQQBccccH")
MARKER = struct.Struct("<QII")
"""A marker: a value, the number of bytes of compressed data that follow, and a type."""
GRAIN_MARKER = struct.Struct("<QI")
"""A marker before a compressed grain: its first sector on the disk and the bytes that follow."""

AT_END = 0xFFFFFFFFFFFFFFFF
"""The header's place of the grain directory when only the footer knows it."""
END_CHECK = (b"\n", b" ", b"\r", b"\n")
"""Bytes that a transfer as text would have damaged."""

HAS_NEWLINES = 1
ZEROED_GRAINS = 1 << 2
COMPRESSED = 1 << 16
MARKERS = 1 << 17
STREAM_FLAGS = HAS_NEWLINES | COMPRESSED | MARKERS
DEFLATE = 1

END_OF_STREAM, GRAIN_TABLE, GRAIN_DIRECTORY, FOOTER = range(4)
"""Types of markers."""

ENTRIES = 512
"""Entries of a grain table; the format knows no other number."""

NO_PARENT = "ffffffff"
CREATE_TYPES = ("monolithicSparse", "streamOptimized")

_EXTENT = re.compile(
    r'(?:RW|RDONLY|NOACCESS)\s+(\d{1,18})\s+(\w+)(?:\s+"([^"]*)")?(?:\s+(\d{1,18}))?\s*'
)


@dataclass(frozen=True, slots=True)
class Extent:
    """A line of a descriptor that names a file with data; `sectors` and `begin` in sectors."""

    sectors: int
    kind: str
    name: str
    begin: int


@dataclass(frozen=True, slots=True)
class Header:
    """The header of a sparse extent, or its footer; `capacity`, `grain` and all places in
    sectors."""

    version: int
    flags: int
    capacity: int
    grain: int
    descriptor_at: int
    descriptor: int
    entries: int
    redundant_at: int
    directory_at: int
    overhead: int
    compression: int

    def packed(self) -> bytes:
        """The header's sector."""
        return HEADER.pack(
            MAGIC,
            self.version,
            self.flags,
            self.capacity,
            self.grain,
            self.descriptor_at,
            self.descriptor,
            self.entries,
            self.redundant_at,
            self.directory_at,
            self.overhead,
            0,
            *END_CHECK,
            self.compression,
        ).ljust(512, b"\0")


def read_header(sector: bytes, where: str) -> Header:
    """Read the header of a sparse extent and check what needs no other bytes.

    Raises: Malformed, UnsupportedFormat.
    """
    if len(sector) < HEADER.size:
        raise Malformed(where=where, why="the VMDK header is cut off")
    magic, version, flags, *places, _unclean, a, b, c, d, compression = HEADER.unpack_from(sector)
    if magic != MAGIC:
        raise Malformed(where=where, why="the VMDK header lacks its magic number")
    if not 1 <= version <= 3:
        raise UnsupportedFormat(where=where, why=f"VMDK version {version}")
    if flags & HAS_NEWLINES and (a, b, c, d) != END_CHECK:
        raise Malformed(where=where, why="it was damaged by a transfer as text")
    if flags & COMPRESSED and (compression != DEFLATE or not flags & MARKERS):
        raise UnsupportedFormat(where=where, why=f"VMDK compression {compression} without markers")
    capacity, grain, descriptor_at, descriptor, entries, redundant_at, directory_at, over = places
    return Header(
        version=version,
        flags=flags,
        capacity=capacity,
        grain=grain,
        descriptor_at=descriptor_at,
        descriptor=descriptor,
        entries=entries,
        redundant_at=redundant_at,
        directory_at=directory_at,
        overhead=over,
        compression=compression,
    )


@dataclass(frozen=True, slots=True)
class DiskDescriptor:
    """The embedded text that tells what a VMDK is: its content id and the disk database."""

    content_id: str
    create_type: str
    name: str
    database: tuple[str, ...]
    """The lines that begin with `ddb.`, as they stand."""
    parent_id: str = ""
    """The content id that its parent must have; empty for a whole disk."""

    def written(self, sectors: int) -> bytes:
        """The text of a streamOptimized disk of that many sectors."""
        lines = [
            "# Disk DescriptorFile",
            "version=1",
            f"CID={self.content_id}",
            f"parentCID={NO_PARENT}",
            f'createType="{self.create_type}"',
            "",
            "# Extent description",
            f'RW {sectors} SPARSE "{self.name}"',
            "",
            "# The Disk Data Base",
            "#DDB",
            "",
            *self.database,
            "",
        ]
        return "\n".join(lines).encode("ascii")


def read_descriptor(text: bytes, where: str) -> DiskDescriptor:
    """Read an embedded descriptor, an empty one where there is none, and refuse one that keeps its
    data elsewhere.

    Raises: ExternalFile for more than one extent and for an extent that is another file's or names
    a path; Malformed.
    """
    settings, extents, database = read_settings(text)
    _check_alone(settings, extents, where)
    return DiskDescriptor(
        content_id=settings.get("cid", "").lower(),
        create_type=settings.get("createtype", ""),
        name=extents[0].name if extents else "",
        database=tuple(line for line in database if line.isascii() and line.isprintable()),
        parent_id=settings.get("parentcid", "").lower().replace(NO_PARENT, ""),
    )


def read_settings(text: bytes) -> tuple[dict[str, str], list[Extent], list[str]]:
    """The settings of a descriptor by lower-case name, its extents, and its database's lines."""
    settings: dict[str, str] = {}
    extents: list[Extent] = []
    database: list[str] = []
    for line in text.partition(b"\0")[0].decode("latin-1").splitlines():
        line = line.strip()
        found = _EXTENT.fullmatch(line)
        if found:
            sectors, kind, name, begin = found.groups()
            extents.append(Extent(int(sectors), kind, name or "", int(begin or 0)))
        elif line.startswith("ddb."):
            database.append(line)
        elif "=" in line and not line.startswith("#"):
            key, _, setting = line.partition("=")
            settings[key.strip().lower()] = setting.strip().strip('"')
    return settings, extents, database


def check_no_parent(settings: dict[str, str], where: str) -> None:
    """Refuse a disk that is the difference to another one.

    Raises: ExternalFile.
    """
    parent = settings.get("parentcid", NO_PARENT).lower()
    if parent != NO_PARENT or "parentfilenamehint" in settings:
        hint = settings.get("parentfilenamehint", parent)
        raise ExternalFile(where=where, why=f"it depends on the parent disk {hint!r}")


def _check_alone(settings: dict[str, str], extents: list[Extent], where: str) -> None:
    """Refuse what keeps its data in another file."""
    create_type = settings.get("createtype", "")
    if create_type and create_type not in CREATE_TYPES:
        raise ExternalFile(where=where, why=f"a {create_type!r} disk keeps its data elsewhere")
    if len(extents) > 1:
        raise ExternalFile(where=where, why=f"it consists of {len(extents)} extents")
    for extent in extents:
        kind, name = extent.kind, extent.name
        if kind != "SPARSE":
            raise ExternalFile(where=where, why=f"its extent {name!r} is of type {kind}")
        if not name or "/" in name or "\\" in name or name in (".", ".."):
            raise ExternalFile(where=where, why=f"its extent names the path {name!r}")
