"""VMDK disks in one file: streamOptimized and monolithicSparse, read grain by grain.

Virtual Disk Format 1.1 (VMware, 2007), "Hosted Sparse Extents" and "Stream-Optimized Compressed
Sparse Extents". Every place and length in the file is hostile: each is checked against the file's
size, and tables that overlap are refused, so that a small file cannot pretend to hold a large one.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from regild.errors import Malformed, TooLarge, Truncated, UnsupportedFormat
from regild.image.grains import (
    SECTOR_BYTES,
    RecentGrains,
    check_capacity,
    check_range,
    read_by_grain,
    runs_of,
)
from regild.image.joined import Below
from regild.image.spans import joined
from regild.image.vmdk_layout import (
    AT_END,
    COMPRESSED,
    END_OF_STREAM,
    ENTRIES,
    FOOTER,
    GRAIN_MARKER,
    MARKER,
    ZEROED_GRAINS,
    DiskDescriptor,
    Header,
    read_descriptor,
    read_header,
    read_settings,
)
from regild.image.window import Window

if TYPE_CHECKING:
    from regild.image.disk import Disk
    from regild.image.neighbours import Neighbours

MAX_GRAIN_SECTORS = 2048
MIN_GRAIN_SECTORS = 8
MAX_DIRECTORY_BYTES = 16 << 20
MAX_DESCRIPTOR_BYTES = 1 << 20
HELD_TABLES = 1024


def open_vmdk(
    window: Window, parent: Disk | None = None, neighbours: Neighbours | None = None
) -> VmdkDisk:
    """Open a VMDK that lies in a window, and check its header, descriptor and directory.

    With a `parent` it is a delta disk: grains that it does not keep are the parent's. One that its
    own descriptor names is looked for among the `neighbours`.

    Raises: Malformed, Truncated, TooLarge, UnsupportedFormat, ExternalFile.
    """
    header = read_header(window.read(0, min(SECTOR_BYTES, window.size)), window.where)
    text = _embedded(window, header)
    descriptor = read_descriptor(text, window.where)
    if isinstance(parent, VmdkDisk) or (text and parent is None):
        from regild.image.vmdk_parent import check_same, open_parent

        if isinstance(parent, VmdkDisk):
            check_same(window.where, descriptor.parent_id, parent.descriptor.content_id)
        else:
            parent = open_parent(read_settings(text)[0], neighbours, window.where)
    if header.directory_at == AT_END:
        header = _footer(window)
    _check_geometry(window.where, header)
    return VmdkDisk(window, header, descriptor, parent)


def _embedded(window: Window, header: Header) -> bytes:
    """The text of the descriptor inside of the extent; empty where there is none."""
    if header.capacity == 0:
        # qemu and VMware take this as a descriptor that leads to the real extents.
        raise Malformed(where=window.where, why="the virtual disk holds no bytes")
    length = header.descriptor * SECTOR_BYTES
    if length > MAX_DESCRIPTOR_BYTES:
        raise TooLarge(where=window.where, why=f"its descriptor takes {length} bytes")
    if header.descriptor_at == 0 or length == 0:
        return b""
    return window.read(header.descriptor_at * SECTOR_BYTES, length)


def _footer(window: Window) -> Header:
    """The header's copy at the end of a stream: marker, footer, end-of-stream marker."""
    tail = window.read(window.size - 3 * SECTOR_BYTES, 3 * SECTOR_BYTES)
    _sectors, size, kind = MARKER.unpack_from(tail)
    _last, last_size, last_kind = MARKER.unpack_from(tail, 2 * SECTOR_BYTES)
    if (size, kind, last_size, last_kind) != (0, FOOTER, 0, END_OF_STREAM):
        raise Malformed(
            where=window.where, why="the stream does not end with a footer; it may be cut off"
        )
    header = read_header(tail[SECTOR_BYTES : 2 * SECTOR_BYTES], window.where)
    if header.directory_at == AT_END:
        raise Malformed(where=window.where, why="no footer tells where the grain directory is")
    return header


def _check_geometry(where: str, header: Header) -> None:
    grain = header.grain
    if not MIN_GRAIN_SECTORS <= grain <= MAX_GRAIN_SECTORS or grain & (grain - 1):
        raise UnsupportedFormat(where=where, why=f"VMDK grains of {grain} sectors")
    if header.entries != ENTRIES:
        raise UnsupportedFormat(where=where, why=f"grain tables of {header.entries} entries")
    if header.directory_at == 0:
        raise Malformed(where=where, why="its header does not tell where the grain directory is")
    check_capacity(where, header.capacity * SECTOR_BYTES)


class VmdkDisk:
    """A disk that is kept as grains, each found through a directory and a table."""

    def __init__(
        self,
        window: Window,
        header: Header,
        descriptor: DiskDescriptor,
        parent: Disk | None = None,
    ) -> None:
        self.window = window
        self.parent = parent
        self.descriptor = descriptor
        self.compressed = bool(header.flags & COMPRESSED)
        self.format = "vmdk-stream" if self.compressed else "vmdk-sparse"
        self.size = header.capacity * SECTOR_BYTES
        self.grain_bytes = header.grain * SECTOR_BYTES
        self._zeroed = 1 if header.flags & ZEROED_GRAINS else 0
        self._sectors = -(-window.size // SECTOR_BYTES)
        self._directory = self._read_directory(header)
        self._tables: dict[int, tuple[int, ...]] = {}
        self._recent = RecentGrains()

    @property
    def bytes_read(self) -> int:
        """Bytes read from the file so far."""
        return self.window.bytes_read + (self.parent.bytes_read if self.parent else 0)

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes; grains that are not kept read as zeros.

        Raises: Truncated, Malformed.
        """
        check_range(self.window.where, self.size, offset, length)
        piece = self._inflated_piece if self.compressed else self._plain_piece
        return read_by_grain(offset, length, self.grain_bytes, piece)

    def extents(self) -> Iterator[tuple[int, int]]:
        """The (offset, length) of all grains that are kept, neighbours as one.

        Raises: Truncated, Malformed.
        """
        own = runs_of((number for number, _at in self.grains()), self.grain_bytes, self.size)
        if self.parent is None:
            return own
        # What the delta zeroes may be told as allocated; it reads as zeros all the same.
        return joined(own, Below(self.parent, 0, self.size).extents())

    def grains(self) -> Iterator[tuple[int, int]]:
        """Number and place (in bytes of the window) of every grain that is kept, ascending.

        Raises: Truncated, Malformed when there are more than the file can hold.
        """
        most = self._sectors if self.compressed else self.window.size // self.grain_bytes + 1
        total = -(-self.size // self.grain_bytes)
        for index, table_at in enumerate(self._directory):
            if table_at <= self._zeroed:
                continue
            base = index * ENTRIES
            for place, sector in enumerate(self._table(index)[: total - base]):
                if sector > self._zeroed:
                    most -= 1
                    if most < 0:
                        raise Malformed(where=self.window.where, why="its grains overlap")
                    yield base + place, sector * SECTOR_BYTES

    def record(self, number: int, at: int) -> int:
        """The bytes that the compressed grain `number` takes at `at`, marker included.

        Raises: Malformed when another grain stands there, Truncated.
        """
        sector, length = GRAIN_MARKER.unpack(self.window.read(at, GRAIN_MARKER.size))
        if sector != number * (self.grain_bytes // SECTOR_BYTES):
            raise Malformed(where=self.window.where, why=f"grain {number} is not where it should")
        # Deflate never grows its input by more than five bytes in 16 KiB; twice is generous.
        if not 0 < length <= 2 * self.grain_bytes:
            raise Malformed(where=self.window.where, why=f"grain {number} takes {length} bytes")
        return GRAIN_MARKER.size + int(length)

    def place(self, number: int) -> int:
        """Where a grain lies in the window, in bytes; 0 when it is not kept.

        Raises: Truncated, Malformed.
        """
        index, entry = divmod(number, ENTRIES)
        sector = self._table(index)[entry]
        return 0 if sector <= self._zeroed else sector * SECTOR_BYTES

    def grain(self, number: int) -> bytes | None:
        """A whole compressed grain, inflated and not remembered; None when it is not kept.

        Raises: Truncated, Malformed.
        """
        at = self.place(number)
        if at == 0:
            return None
        length = self.record(number, at) - GRAIN_MARKER.size
        packed = self.window.read(at + GRAIN_MARKER.size, length)
        return inflated(packed, self.grain_bytes, self._needed(number), self.window.where)

    def _needed(self, number: int) -> int:
        """Bytes of the virtual disk that lie in a grain; the last one may hold less."""
        return min(self.grain_bytes, self.size - number * self.grain_bytes)

    def _inflated_piece(self, number: int, start: int, count: int) -> bytes:
        content = self._recent.find(number)
        if content is None:
            content = self.grain(number)
            if content is None:
                return self._below(number, start, count)
            self._recent.keep(number, content)
        return content if count == len(content) else content[start : start + count]

    def _plain_piece(self, number: int, start: int, count: int) -> bytes:
        at = self.place(number)
        return self.window.read(at + start, count) if at else self._below(number, start, count)

    def _below(self, number: int, start: int, count: int) -> bytes:
        """What a grain that is not kept reads as: the parent's bytes, else zeros."""
        index, entry = divmod(number, ENTRIES)
        if self.parent is None or (self._zeroed and self._table(index)[entry] == self._zeroed):
            return bytes(count)
        return Below(self.parent, 0, self.size).read(number * self.grain_bytes + start, count)

    def _read_directory(self, header: Header) -> tuple[int, ...]:
        """The places of the grain tables; no two may be the same."""
        where = self.window.where
        count = -(-self.size // (self.grain_bytes * ENTRIES))
        if count * 4 > MAX_DIRECTORY_BYTES:
            raise TooLarge(where=where, why=f"its grain directory takes {count * 4} bytes")
        content = self.window.read(header.directory_at * SECTOR_BYTES, count * 4)
        directory = struct.unpack(f"<{count}I", content)
        kept = [place for place in directory if place]
        if len(set(kept)) != len(kept):
            raise Malformed(where=where, why="its grain tables overlap")
        return directory

    def _table(self, index: int) -> tuple[int, ...]:
        """The places of the grains of one table, in sectors."""
        table = self._tables.get(index)
        if table is None:
            place = self._directory[index]
            if place == 0:
                table = _EMPTY
            else:
                content = self.window.read(place * SECTOR_BYTES, ENTRIES * 4)
                table = _TABLE.unpack(content)
                if max(table) >= self._sectors:
                    why = "a grain lies behind the end of the file"
                    raise Truncated(where=self.window.where, why=why)
            if len(self._tables) >= HELD_TABLES:
                self._tables.clear()
            self._tables[index] = table
        return table


_TABLE = struct.Struct(f"<{ENTRIES}I")
_EMPTY = (0,) * ENTRIES


def inflated(packed: bytes, most: int, needed: int, where: str) -> bytes:
    """Inflate a zlib stream (RFC 1950) into `needed` to `most` bytes.

    Raises: Malformed.
    """
    import deflate

    try:
        content = bytes(deflate.zlib_decompress(packed, most))
    except deflate.DeflateError:
        # libdeflate wants a whole stream; some producers leave out the end.
        content = _inflated_slowly(packed, most, where)
    if len(content) < needed:
        why = f"a grain inflates to {len(content)} bytes where {needed} are needed"
        raise Malformed(where=where, why=why)
    return content


def _inflated_slowly(packed: bytes, most: int, where: str) -> bytes:
    machine = zlib.decompressobj()
    try:
        content = machine.decompress(packed, most)
        if machine.decompress(machine.unconsumed_tail, 1):
            raise Malformed(where=where, why=f"a grain inflates to more than {most} bytes")
    except zlib.error as error:
        raise Malformed(where=where, why=f"a grain does not inflate: {error}") from error
    return content
