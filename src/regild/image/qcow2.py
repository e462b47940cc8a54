"""qcow2 disks, versions 2 and 3, with zlib and zstd clusters and extended L2 entries.

QEMU's docs/interop/qcow2.txt. A backing file is followed by a bare name and a stated format; an
external data file, encryption and unknown incompatible features are refused; every place in the
file is checked against its size.
"""

from __future__ import annotations

import struct
import sys
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from regild.errors import Encrypted, ExternalFile, Malformed, TooLarge, Truncated, UnsupportedFormat
from regild.image.disk import Disk
from regild.image.grains import (
    RecentGrains,
    check_capacity,
    check_range,
    read_by_grain,
    runs_of,
)
from regild.image.qcow2_backing import open_backing
from regild.image.spans import joined
from regild.image.window import Window

if TYPE_CHECKING:
    from regild.image.neighbours import Neighbours

_HEADER = struct.Struct(">4sIQIIQIIQQIIQ")
_FEATURES = struct.Struct(">QQQII")

DIRTY, CORRUPT, DATA_FILE, COMPRESSION, EXTENDED = (1 << bit for bit in range(5))
"""Incompatible features."""
ZLIB, ZSTD = 0, 1

OFFSET_MASK = 0x00FFFFFFFFFFFE00
COMPRESSED = 1 << 62
ZERO = 1

MIN_CLUSTER_BITS = 9
MAX_CLUSTER_BITS = 21
MAX_L1_BYTES = 8 << 20
"""QEMU sets itself 32 MiB; 64 TiB at the usual 64 KiB clusters take 1 MiB."""
HELD_TABLES_BYTES = 8 << 20
SUBCLUSTERS = 32


def open_qcow2(window: Window, neighbours: Neighbours | None = None) -> Qcow2Disk:
    """Open a qcow2 image that lies in a window, with its backing files from the same folder.

    Raises: Malformed, Truncated, TooLarge, UnsupportedFormat, ExternalFile, Encrypted.
    """
    where = window.where
    fields = _HEADER.unpack(window.read(0, _HEADER.size))
    _magic, version, backing_at, _backing, cluster_bits, size, crypt, l1_entries, l1_at, *_ = fields
    if version not in (2, 3):
        raise UnsupportedFormat(where=where, why=f"qcow2 version {version}")
    if crypt:
        raise Encrypted(where=where, why="its clusters are encrypted")
    if not MIN_CLUSTER_BITS <= cluster_bits <= MAX_CLUSTER_BITS:
        raise Malformed(where=where, why=f"clusters of 2^{cluster_bits} bytes")
    check_capacity(where, size)
    features, compression = _features(window, version)
    backing = open_backing(window, version, neighbours) if backing_at else None
    return Qcow2Disk(window, size, cluster_bits, l1_at, l1_entries, features, compression, backing)


def _features(window: Window, version: int) -> tuple[int, int]:
    """The incompatible features and the compression type of a version 3 header."""
    where = window.where
    if version == 2:
        return 0, ZLIB
    incompatible, _compatible, _clear, _order, length = _FEATURES.unpack(
        window.read(_HEADER.size, _FEATURES.size)
    )
    if incompatible & DATA_FILE:
        raise ExternalFile(where=where, why="it keeps its data in an external file")
    if incompatible & CORRUPT:
        raise Malformed(where=where, why="it is marked as corrupt")
    unknown = incompatible & ~(DIRTY | COMPRESSION | EXTENDED)
    if unknown:
        raise UnsupportedFormat(where=where, why=f"incompatible features {unknown:#x}")
    compression = ZLIB
    if incompatible & COMPRESSION:
        if length < _HEADER.size + _FEATURES.size + 1:
            raise Malformed(where=where, why="its header is too short for its features")
        compression = window.read(_HEADER.size + _FEATURES.size, 1)[0]
    if compression not in (ZLIB, ZSTD):
        raise UnsupportedFormat(where=where, why=f"compression type {compression}")
    return incompatible, compression


class Qcow2Disk:
    """A disk that is kept as clusters, each found through two levels of tables."""

    format = "qcow2"

    def __init__(
        self,
        window: Window,
        size: int,
        cluster_bits: int,
        l1_at: int,
        l1_entries: int,
        features: int,
        compression: int,
        backing: Disk | None = None,
    ) -> None:
        self.size = size
        self._backing = backing
        self._window = window
        self._bits = cluster_bits
        self._cluster = 1 << cluster_bits
        self._words = 2 if features & EXTENDED else 1
        self._entries = self._cluster // (8 * self._words)
        self._zstd = compression == ZSTD
        if features & EXTENDED and cluster_bits < 14:
            raise Malformed(where=window.where, why="its clusters are too small for subclusters")
        self._l1 = self._read_l1(l1_at, l1_entries)
        self._tables: dict[int, tuple[int, ...]] = {}
        self._held_tables = max(4, HELD_TABLES_BYTES // self._cluster)
        self._recent = RecentGrains()

    @property
    def cluster_bits(self) -> int:
        """Clusters have 2 to this power bytes."""
        return self._bits

    @property
    def is_zstd(self) -> bool:
        """Clusters are packed by Zstandard, not by deflate."""
        return self._zstd

    @property
    def is_plain(self) -> bool:
        """It stands alone, without a backing file and without subclusters."""
        return self._backing is None and self._words == 1

    def packed_at(self, number: int) -> tuple[int, int] | None:
        """Where a packed cluster lies in the file, and its length up to its last sector's end;
        None for other clusters.

        Raises: Truncated.
        """
        index, entry = divmod(number, self._entries)
        word = self._table(index)[entry * self._words] if self._l1[index] else 0
        return self._packed_place(number, word) if word & COMPRESSED else None

    def read_packed(self, at: int, length: int) -> bytes:
        """Bytes of the file.

        Raises: Truncated.
        """
        return self._window.read(at, length)

    @property
    def bytes_read(self) -> int:
        """Bytes read from the file so far."""
        below = self._backing.bytes_read if self._backing else 0
        return self._window.bytes_read + below

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes; clusters that are not kept read as zeros.

        Raises: Truncated, Malformed.
        """
        check_range(self._window.where, self.size, offset, length)
        return read_by_grain(offset, length, self._cluster, self._piece)

    def extents(self) -> Iterator[tuple[int, int]]:
        """The (offset, length) of all clusters that are kept, neighbours as one.

        Raises: Truncated, Malformed.
        """
        own = runs_of(self._kept(), self._cluster, self.size)
        if self._backing is None:
            return own
        # Clusters that this file makes zeros are among them too, which costs reading and no more.
        end = self.size
        below = ((at, min(length, end - at)) for at, length in self._backing.extents() if at < end)
        return joined(own, below)

    def _kept(self) -> Iterator[int]:
        """The numbers of the clusters that hold something, ascending."""
        # What each must take of the file: a plain one a cluster, of which the last may be cut off;
        # packed ones share sectors, but deflate reaches 1,032 to 1 at most, zstd some 30,000.
        room = self._window.size + self._cluster
        packed = max(2, self._cluster >> (16 if self._zstd else 11))
        total = -(-self.size // self._cluster)
        for index, table_at in enumerate(self._l1):
            if not table_at:
                continue
            table = self._table(index)
            for entry in range(min(self._entries, total - index * self._entries)):
                if self._holds(table, entry):
                    word = table[entry * self._words]
                    room -= packed if word & COMPRESSED else self._cluster
                    if room < 0:
                        raise Malformed(where=self._window.where, why="its clusters overlap")
                    yield index * self._entries + entry

    def _holds(self, table: tuple[int, ...], entry: int) -> bool:
        word = table[entry * self._words]
        if word & COMPRESSED:
            return True
        if self._words == 2:
            return bool(table[entry * 2 + 1] & 0xFFFFFFFF)
        return bool(word & OFFSET_MASK) and not word & ZERO

    def _piece(self, number: int, start: int, count: int) -> bytes:
        index, entry = divmod(number, self._entries)
        if not self._l1[index]:
            return self._below(number * self._cluster + start, count)
        table = self._table(index)
        word = table[entry * self._words]
        if word & COMPRESSED:
            content = self._recent.find(number)
            if content is None:
                content = self._unpacked(number, word)
                self._recent.keep(number, content)
            return content[start : start + count]
        at = word & OFFSET_MASK
        if self._words == 2:
            return self._subclusters(number, at, table[entry * 2 + 1], start, count)
        if word & ZERO:
            return bytes(count)
        if not at:
            return self._below(number * self._cluster + start, count)
        return self._window.read(at + start, count)

    def _below(self, offset: int, count: int) -> bytes:
        """What the backing file holds where this one holds nothing; zeros behind its end."""
        if self._backing is None or offset >= self._backing.size:
            return bytes(count)
        return self._backing.read(offset, min(count, self._backing.size - offset)).ljust(
            count, b"\0"
        )

    def _subclusters(self, cluster: int, at: int, bitmap: int, start: int, count: int) -> bytes:
        """A part of a cluster whose 32 subclusters are kept, zero or absent one by one."""
        if bitmap & (bitmap >> 32) & 0xFFFFFFFF:
            raise Malformed(where=self._window.where, why="a subcluster is both data and zero")

        unit = self._cluster // SUBCLUSTERS

        def piece(number: int, within: int, length: int) -> bytes:
            """Bytes of one subcluster: allocated, zeroes, or the backing file's."""
            if bitmap >> number & 1 and at:
                return self._window.read(at + number * unit + within, length)
            if bitmap >> (number + 32) & 1:
                return bytes(length)
            return self._below(cluster * self._cluster + number * unit + within, length)

        return read_by_grain(start, count, unit, piece)

    def _packed_place(self, number: int, word: int) -> tuple[int, int]:
        """Of a compressed cluster: the place is in the low bits, above them the further sectors."""
        split = 62 - (self._bits - 8)
        at = word & ((1 << split) - 1)
        sectors = (word & (COMPRESSED - 1)) >> split
        length = (sectors + 1) * 512 - (at & 511)
        # The last cluster's sectors may reach over the end of the file.
        length = min(length, self._window.size - at)
        if length <= 0:
            raise Truncated(where=self._window.where, why=f"cluster {number} lies behind its end")
        return at, length

    def _unpacked(self, number: int, word: int) -> bytes:
        at, length = self._packed_place(number, word)
        packed = self._window.read(at, length)
        unpack = _from_zstd if self._zstd else _from_deflate
        content = unpack(packed, self._cluster, self._window.where)
        if len(content) != self._cluster:
            why = f"cluster {number} inflates to {len(content)} bytes"
            raise Malformed(where=self._window.where, why=why)
        return content

    def _read_l1(self, at: int, entries: int) -> tuple[int, ...]:
        where = self._window.where
        needed = -(-self.size // (self._entries * self._cluster))
        if entries < needed:
            raise Malformed(where=where, why="its L1 table is too short for the disk's size")
        if needed * 8 > MAX_L1_BYTES:
            raise TooLarge(where=where, why=f"its L1 table takes {needed * 8} bytes")
        if at % self._cluster:
            raise Malformed(where=where, why="its L1 table is not aligned")
        words = struct.unpack(f">{needed}Q", self._window.read(at, needed * 8))
        places = tuple(word & OFFSET_MASK for word in words)
        kept = [place for place in places if place]
        if len(set(kept)) != len(kept):
            raise Malformed(where=where, why="its L2 tables overlap")
        return places

    def _table(self, index: int) -> tuple[int, ...]:
        table = self._tables.get(index)
        if table is None:
            content = self._window.read(self._l1[index], self._cluster)
            table = struct.unpack(f">{self._cluster // 8}Q", content)
            if len(self._tables) >= self._held_tables:
                self._tables.clear()
            self._tables[index] = table
        return table


def _from_deflate(packed: bytes, length: int, where: str) -> bytes:
    """Inflate a raw deflate stream (RFC 1951); what follows it in its sector is ignored."""
    import deflate

    try:
        return bytes(deflate.deflate_decompress(packed, length))
    except deflate.DeflateError:
        machine = zlib.decompressobj(wbits=-15)
    try:
        return machine.decompress(packed, length)
    except zlib.error as error:
        raise Malformed(where=where, why=f"a cluster does not inflate: {error}") from error


def _from_zstd(packed: bytes, length: int, where: str) -> bytes:
    """Unpack a Zstandard frame (RFC 8878); what follows it in its sector is ignored."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd

    machine = zstd.ZstdDecompressor()
    try:
        return machine.decompress(packed, length)
    except zstd.ZstdError as error:
        raise Malformed(where=where, why=f"a cluster does not unpack: {error}") from error
