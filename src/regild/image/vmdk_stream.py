"""Writing a streamOptimized VMDK in which every unchanged compressed grain is the old one's bytes.

Virtual Disk Format 1.1 (VMware, 2007), "Stream-Optimized Compressed Sparse Extents": header, one
descriptor, grains in ascending order each behind a marker, a grain table after the grains it names,
the grain directory, a footer, the end-of-stream marker. Grains of zeros are left out.

Two phases: `plan_stream` deflates what changed into a scratch file and so knows the exact size;
`StreamImage.write_to` then writes the file from begin to end, once. Equal input gives equal bytes.
"""

from __future__ import annotations

import os
import re
import struct
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

from regild.errors import Truncated, UnsupportedFormat
from regild.host.files import translated
from regild.image.disk import Disk
from regild.image.grains import GRAIN_BYTES, SECTOR_BYTES, check_capacity
from regild.image.longer import beneath
from regild.image.spans import Span, whole_units
from regild.image.vmdk import VmdkDisk
from regild.image.vmdk_grains import GRAIN_SECTORS, GrainPlanner, Record, Tally
from regild.image.vmdk_layout import (
    AT_END,
    DEFLATE,
    END_OF_STREAM,
    ENTRIES,
    FOOTER,
    GRAIN_DIRECTORY,
    GRAIN_TABLE,
    MARKER,
    STREAM_FLAGS,
    DiskDescriptor,
    Header,
)
from regild.image.window import NO_HANDLE
from regild.model.progress import Progress, Silent

HEAD_SECTORS = 128
"""Header and descriptor up to the first grain, as VMware and QEMU lay it out."""
DESCRIPTOR_SECTORS = 20
DATABASE_BYTES = 8192
"""So much of the old disk database is kept."""
VERSION = 3
"""What VMware and QEMU write for streams."""
MAX_SECTORS = 1 << 32
"""Grain tables hold 32-bit sector numbers."""
COPY_BYTES = 1 << 20


class StreamImage:
    """A streamOptimized VMDK that is ready to be written; a context manager."""

    def __init__(self, pieces: list[Piece], tally: Tally, spool: IO[bytes]) -> None:
        self.bytes = sum(piece.length for piece in pieces)
        """The exact size of the file."""
        self.tally = tally
        self._pieces = pieces
        self._spool = spool

    def __enter__(self) -> StreamImage:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the scratch file."""
        self._spool.close()

    def write_to(
        self,
        file: IO[bytes],
        hash_update: Callable[[memoryview], object] | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Write the whole file from the current position on; `progress` is told bytes of it.

        Every byte passes once through one buffer, from which it is hashed and written.

        Raises: Truncated when the old file became shorter.
        """
        watched = progress or Silent()
        buffer = memoryview(bytearray(COPY_BYTES))
        for piece in self._pieces:
            for part in piece.parts(buffer):
                if hash_update is not None:
                    hash_update(part)
                file.write(part)
                watched.advance(len(part))


class Piece:
    """A part of the new file: some bytes at hand, or a span of an open file."""

    __slots__ = ("at", "content", "handle", "length")

    def __init__(self, handle: int, at: int, length: int, content: bytes = b"") -> None:
        self.handle = handle
        self.at = at
        self.length = length
        self.content = content

    def parts(self, buffer: memoryview) -> Iterator[memoryview]:
        """The bytes in order; each part is good until the next one is asked for."""
        if self.content:
            yield memoryview(self.content)
            return
        done = 0
        while done < self.length:
            want = buffer[: min(len(buffer), self.length - done)]
            got = os.preadv(self.handle, [want], self.at + done)
            if got == 0:
                raise Truncated(where="the disk", why="it became shorter while it was read")
            yield want[:got]
            done += got


def plan_stream(
    base: Disk | None,
    disk: Disk,
    dropped: Iterable[Span] = (),
    progress: Progress | None = None,
    *,
    scratch: Path | None = None,
    name: str = "disk.vmdk",
) -> StreamImage:
    """Work out the streamOptimized VMDK of `disk`, and deflate what has to be.

    Where `disk` is an `Overlay` over a streamOptimized VMDK of 64 KiB grains (`base`), unchanged
    grains are copied; otherwise everything is deflated. `dropped` are the byte ranges whose content
    does not matter (free blocks): a grain that lies wholly inside of them is left out. `scratch` is
    the folder for the deflated grains, `name` what the descriptor calls the file. `progress` is
    told bytes of the virtual disk.

    Raises: Malformed, Truncated, DiskFull, UnsupportedFormat when the file would be too large.
    """
    check_capacity(name, disk.size)
    source = _source(base, disk)
    with translated(scratch or Path(tempfile.gettempdir())):
        spool = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115 the image keeps it
        try:
            free = whole_units(sorted(dropped), GRAIN_BYTES, disk.size)
            planner = GrainPlanner(disk, source, free, spool, progress or Silent())
            records = list(planner.records())
            spool.flush()
            descriptor = _descriptor(source, disk.size, planner.content_id(), name)
            handles = (spool.fileno(), source.window.handle if source else -1)
            offset = source.window.offset if source else 0
            pieces = _laid_out(records, disk.size, descriptor, handles, offset)
            return StreamImage(pieces, planner.tally, spool)
        except BaseException:
            spool.close()
            raise


def _source(base: Disk | None, disk: Disk) -> VmdkDisk | None:
    """The disk whose compressed grains can be copied, if there is one."""
    below = beneath(disk)
    if not isinstance(below, VmdkDisk) or (base is not None and base is not below):
        return None
    own = below.compressed and below.grain_bytes == GRAIN_BYTES and below.parent is None
    # Copied is from one open file, which a disk in chunks or on a server is not.
    return below if own and below.window.handle != NO_HANDLE else None


def _laid_out(
    records: Sequence[Record],
    size: int,
    descriptor: bytes,
    handles: tuple[int, int],
    offset: int,
) -> list[Piece]:
    """The file as pieces: head, grains with their tables, directory, footer, end."""
    layout = _Layout(handles, offset)
    header = _header(size)
    head = header.packed() + descriptor.ljust(DESCRIPTOR_SECTORS * SECTOR_BYTES, b"\0")
    layout.put(head.ljust(HEAD_SECTORS * SECTOR_BYTES, b"\0"))
    tables = -(-size // (GRAIN_BYTES * ENTRIES))
    directory = [0] * tables
    table: list[int] = []
    for index, record in enumerate(records):
        table = table or [0] * ENTRIES
        table[record.number % ENTRIES] = layout.copy(record)
        group = record.number // ENTRIES
        following = records[index + 1].number // ENTRIES if index + 1 < len(records) else -1
        if following != group:
            directory[group] = layout.put_marked(GRAIN_TABLE, struct.pack(f"<{ENTRIES}I", *table))
            table = []
    at = layout.put_marked(GRAIN_DIRECTORY, struct.pack(f"<{tables}I", *directory))
    layout.put_marked(FOOTER, _header(size, at).packed())
    layout.put(MARKER.pack(0, 0, END_OF_STREAM).ljust(SECTOR_BYTES, b"\0"))
    return layout.pieces


class _Layout:
    """Pieces one behind the other; neighbours of one file become one piece."""

    def __init__(self, handles: tuple[int, int], offset: int) -> None:
        self.pieces: list[Piece] = []
        self._sector = 0
        self._handles = handles
        self._offset = offset

    def put(self, content: bytes) -> int:
        """Add bytes of whole sectors; returns their first sector."""
        return self._advance(Piece(-1, 0, len(content), content))

    def put_marked(self, kind: int, content: bytes) -> int:
        """Add a marker and its metadata; returns the metadata's first sector."""
        sectors = -(-len(content) // SECTOR_BYTES)
        self.put(MARKER.pack(sectors, 0, kind).ljust(SECTOR_BYTES, b"\0"))
        return self.put(content.ljust(sectors * SECTOR_BYTES, b"\0"))

    def copy(self, record: Record) -> int:
        """Add a grain of the old or the scratch file; returns its first sector."""
        handle = self._handles[record.old]
        at = record.at + (self._offset if record.old else 0)
        last = self.pieces[-1]
        if not last.content and last.handle == handle and last.at + last.length == at:
            last.length += record.length
            return self._moved(record.length)
        return self._advance(Piece(handle, at, record.length))

    def _advance(self, piece: Piece) -> int:
        self.pieces.append(piece)
        return self._moved(piece.length)

    def _moved(self, length: int) -> int:
        first = self._sector
        self._sector += length // SECTOR_BYTES
        if self._sector >= MAX_SECTORS:
            raise UnsupportedFormat(where="the new VMDK", why="it would be larger than 2 TiB")
        return first


def _header(size: int, directory_at: int = AT_END) -> Header:
    return Header(
        version=VERSION,
        flags=STREAM_FLAGS,
        capacity=-(-size // SECTOR_BYTES),
        grain=GRAIN_SECTORS,
        descriptor_at=1,
        descriptor=DESCRIPTOR_SECTORS,
        entries=ENTRIES,
        redundant_at=0,
        directory_at=directory_at,
        overhead=HEAD_SECTORS,
        compression=DEFLATE,
    )


def _descriptor(source: VmdkDisk | None, size: int, content_id: str, name: str) -> bytes:
    """The embedded descriptor; the old disk's database (adapter, geometry, uuid) is kept."""
    sectors = -(-size // SECTOR_BYTES)
    return DiskDescriptor(
        content_id=content_id,
        create_type="streamOptimized",
        name=plain_file_name(name),
        database=database_of(source, sectors),
    ).written(sectors)


def plain_file_name(name: str) -> str:
    """A file's name in letters that a descriptor can hold."""
    return re.sub(r"[^A-Za-z0-9._ -]", "_", name)


def database_of(source: VmdkDisk | None, sectors: int) -> tuple[str, ...]:
    """The disk database of a VMDK: the old one's, or a new one."""
    database = _fitting(source.descriptor.database) if source else ()
    return database or _database(sectors)


def _fitting(database: Sequence[str]) -> tuple[str, ...]:
    """The lines of a disk database up to `DATABASE_BYTES`."""
    kept: list[str] = []
    total = 0
    for line in database:
        total += len(line) + 1
        if total > DATABASE_BYTES:
            break
        kept.append(line)
    return tuple(kept)


def _database(sectors: int) -> tuple[str, ...]:
    """The database of a new disk: an LSI Logic adapter with the geometry that QEMU gives it."""
    heads, per_track = 255, 63
    return (
        'ddb.adapterType = "lsilogic"',
        f'ddb.geometry.cylinders = "{min(sectors // (heads * per_track), 65535)}"',
        f'ddb.geometry.heads = "{heads}"',
        f'ddb.geometry.sectors = "{per_track}"',
        'ddb.virtualHWVersion = "4"',
    )
