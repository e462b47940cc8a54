"""Writing a qcow2 disk: packed clusters that did not change are moved, the others packed anew.

QEMU's docs/interop/qcow2.txt, version 3. Packed clusters lie byte by byte behind the header, then
those that do not get smaller, each at a cluster's begin, then tables and counts. Equal disks give
equal bytes.

A packed cluster says its length in sectors of 512 bytes only, so that what lies behind its end is
not known without unpacking it. Runs of them are therefore moved whole, to a place with the same
remainder by 512: each keeps its length, and nothing grows from one generation to the next.
"""

from __future__ import annotations

import os
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import IO

from regild.errors import TooLarge
from regild.host.files import translated
from regild.image.disk import Disk
from regild.image.grains import GRAIN_BYTES, touched_units
from regild.image.longer import beneath
from regild.image.overlay import Overlay
from regild.image.qcow2 import COMPRESSED, COMPRESSION, ZLIB, ZSTD, Qcow2Disk
from regild.model.progress import Progress, Silent

BITS = 16
"""Clusters of 64 KiB, QEMU's own choice, where the old disk gives no other."""
SECTOR = 512
COPIED = 1 << 63
"""Of an entry: what it points at is used once."""
COUNT_BYTES = 2
"""Of a reference count (refcount_order 4)."""
COUNT_MAX = 0xFFFF
HEADER_BYTES = 112
ZLIB_LEVEL, ZSTD_LEVEL = 6, 3
WINDOW_BITS = -12
"""Raw deflate with a window of 4 KiB: all that QEMU promises to unpack."""
AHEAD = 64
"""Clusters that are packed at the same time, 4 MiB of them."""

_HEADER = struct.Struct(">4sIQIIQIIQQIIQQQQIIB7x")
Pack = Callable[[bytes], bytes]


def write_qcow2(disk: Disk | Overlay, file: IO[bytes], progress: Progress | None = None) -> None:
    """Write a disk into an empty file; `progress` is told bytes of the virtual disk.

    Over a qcow2 disk an overlay keeps its size of clusters and its way of packing.

    Raises: Truncated, Malformed, DiskFull, TooLarge.
    """
    base = beneath(disk)
    old = base if isinstance(base, Qcow2Disk) and base.is_plain else None
    kind = (ZSTD if old.is_zstd else ZLIB) if old else ZSTD
    with translated(Path(str(file.name))):
        _Writing(disk, old, kind, file, progress or Silent()).run()


class _Writing:
    """One file on its way: places of clusters by their numbers, and how often each is used."""

    def __init__(
        self,
        disk: Disk | Overlay,
        old: Qcow2Disk | None,
        kind: int,
        file: IO[bytes],
        progress: Progress,
    ) -> None:
        self.disk, self.old, self.kind = disk, old, kind
        self.file, self.progress = file, progress
        self.bits = old.cluster_bits if old else BITS
        self.bytes = 1 << self.bits
        self.end = self.bytes  # the header's cluster
        self.entries: dict[int, int] = {}
        self.counts: dict[int, int] = {0: 1}

    def run(self) -> None:
        """Everything, the header last: before it stands there, the file is no disk."""
        numbers = list(touched_units(self.disk.extents(), self.bytes))
        kept = self._kept(numbers)
        self._move(kept)
        plain = self._pack([number for number in numbers if number not in kept])
        self._align()
        for number in plain:
            self.entries[number] = self._put(self._content(number)) | COPIED
        self._finish()

    def _kept(self, numbers: list[int]) -> dict[int, tuple[int, int]]:
        """The packed clusters of the old disk that did not change: (place, bytes) by number."""
        if self.old is None:
            return {}
        changed = set(self.disk.changed()) if isinstance(self.disk, Overlay) else set()
        found = {}
        for number in numbers:
            first = number * self.bytes // GRAIN_BYTES
            last = ((number + 1) * self.bytes - 1) // GRAIN_BYTES
            if changed.isdisjoint(range(first, last + 1)):
                place = self.old.packed_at(number)
                if place is not None:
                    found[number] = place
        return found

    def _move(self, kept: dict[int, tuple[int, int]]) -> None:
        """Copy runs of packed clusters, in the order in which they lay."""
        for run in _runs(sorted(kept.items(), key=lambda row: row[1])):
            begin = run[0][1][0]
            stop = max(at + length for _, (at, length) in run)
            self.end += (begin - self.end) % SECTOR
            shift = self.end - begin
            self.file.seek(self.end)
            for start in range(begin, stop, 1 << 20):
                self.file.write(self._old_bytes(start, min(1 << 20, stop - start)))
            for number, (at, length) in run:
                self._note_packed(number, at + shift, length)
                self.progress.advance(self.bytes)
            self.end = stop + shift

    def _old_bytes(self, at: int, length: int) -> bytes:
        """Bytes of the old file; the last sector of all may reach over its end."""
        return self.old.read_packed(at, length) if self.old else b""

    def _pack(self, numbers: list[int]) -> list[int]:
        """Pack clusters, several at a time; the numbers of those that do not get smaller."""
        pack = _packer(self.kind)
        left = []
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            waiting = iter(numbers)
            while group := list(islice(waiting, AHEAD)):
                contents = [self._content(number) for number in group]
                for number, content, packed in zip(
                    group, contents, pool.map(pack, contents), strict=True
                ):
                    self.progress.advance(self.bytes)
                    if content.count(0) == len(content):
                        continue
                    if len(packed) >= self.bytes:
                        left.append(number)
                        continue
                    self.file.seek(self.end)
                    self.file.write(packed)
                    self._note_packed(number, self.end, len(packed))
                    self.end += len(packed)
        return left

    def _content(self, number: int) -> bytes:
        start = number * self.bytes
        return self.disk.read(start, min(self.bytes, self.disk.size - start)).ljust(
            self.bytes, b"\0"
        )

    def _note_packed(self, number: int, at: int, length: int) -> None:
        """Enter a packed cluster, and count every cluster of the file that its sectors touch."""
        sectors = (at % SECTOR + length - 1) // SECTOR
        self.entries[number] = COMPRESSED | sectors << (62 - (self.bits - 8)) | at
        last = (at - at % SECTOR + (sectors + 1) * SECTOR - 1) >> self.bits
        for cluster in range(at >> self.bits, last + 1):
            self.counts[cluster] = self.counts.get(cluster, 0) + 1

    def _align(self) -> None:
        self.end += -self.end % self.bytes
        while self.counts.get(self.end >> self.bits):  # the last sectors may reach over
            self.end += self.bytes

    def _put(self, content: bytes) -> int:
        """Write whole clusters at the end; returns where they begin."""
        at = self.end
        self.file.seek(at)
        self.file.write(content.ljust(-(-len(content) // self.bytes) * self.bytes, b"\0"))
        self.end = self.file.tell()
        for cluster in range(at >> self.bits, self.end >> self.bits):
            self.counts[cluster] = 1
        return at

    def _finish(self) -> None:
        """Tables, counts, header."""
        per_table = self.bytes // 8
        l1 = [0] * max(1, -(-self.disk.size // (self.bytes * per_table)))
        tables: dict[int, dict[int, int]] = {}
        for number, entry in self.entries.items():
            tables.setdefault(number // per_table, {})[number % per_table] = entry
        for index in sorted(tables):
            words = [tables[index].get(place, 0) for place in range(per_table)]
            l1[index] = self._put(struct.pack(f">{per_table}Q", *words)) | COPIED
        l1_at = self._put(struct.pack(f">{len(l1)}Q", *l1))
        counts_at, counts_clusters = self._put_counts()
        self.file.seek(0)
        features = COMPRESSION if self.kind == ZSTD else 0
        where = l1_at, counts_at, counts_clusters, 0, 0, features, 0, 0, 4, HEADER_BYTES, self.kind
        facts = b"QFI\xfb", 3, 0, 0, self.bits, self.disk.size, 0, len(l1), *where
        self.file.write(_HEADER.pack(*facts))
        self.file.truncate(self.end)

    def _put_counts(self) -> tuple[int, int]:
        """The counts' blocks and the table of their places, which are counted too."""
        per_block = self.bytes // COUNT_BYTES
        used, blocks, table = self.end >> self.bits, 0, 0
        while True:
            needed = -(-(used + blocks + table) // per_block)
            wide = -(-needed * 8 // self.bytes)
            if (needed, wide) == (blocks, table):
                break
            blocks, table = needed, wide
        if max(self.counts.values()) > COUNT_MAX:
            raise TooLarge(where="a qcow2 disk", why="too many packed clusters share one")
        for cluster in range(used, used + blocks + table):
            self.counts[cluster] = 1
        total = blocks * per_block
        words = struct.pack(f">{total}H", *(self.counts.get(n, 0) for n in range(total)))
        first = self._put(words)
        places = [first + number * self.bytes for number in range(blocks)]
        return self._put(struct.pack(f">{blocks}Q", *places)), table


Row = tuple[int, tuple[int, int]]


def _runs(rows: list[Row]) -> Iterator[list[Row]]:
    """Packed clusters whose sectors meet, in the order of their places."""
    run: list[Row] = []
    stop = 0
    for row in rows:
        at, length = row[1]
        if run and at > stop:
            yield run
            run, stop = [], 0
        run.append(row)
        stop = max(stop, at + length)
    if run:
        yield run


def _packer(kind: int) -> Pack:
    if kind == ZSTD:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
        return lambda content: bytes(zstd.compress(content, level=ZSTD_LEVEL))
    return _deflated


def _deflated(content: bytes) -> bytes:
    machine = zlib.compressobj(ZLIB_LEVEL, zlib.DEFLATED, WINDOW_BITS, 9)
    return machine.compress(content) + machine.flush()
