"""Changes to a disk kept beside it: copy on write, so that the disk itself is never written.

An overlay is a sparse file as large as the disk, and a map of which 4 KiB blocks it holds. Blocks
that were discarded read as zeros and take no room. Whole blocks are written without reading the
disk below; that is what makes many small writes cheap on a compressed disk.

Durable is what `flush` has written: content first, then the map, atomically. After a crash `open`
gives the blocks of the last flush; those that were written again since may hold either content. An
overlay whose writer died is thrown away by the trip that made it, so no journal is kept.
"""

from __future__ import annotations

import errno
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from regild.errors import Busy, DiskFull, Malformed, TooLarge
from regild.host.files import read_limited, translated, write_whole
from regild.image.disk import Disk
from regild.image.grains import GRAIN_BYTES, check_range, read_by_grain
from regild.image.spans import joined, outside

BLOCK_BYTES = 4096
BLOCKS = GRAIN_BYTES // BLOCK_BYTES
ALL = (1 << BLOCKS) - 1

_HEAD = struct.Struct("<8sQQI")
_ENTRY = struct.Struct("<QHH")
_MAGIC = b"rgover1\n"
MAX_MAP_BYTES = 1 << 30


class Overlay:
    """A disk whose changed 64 KiB grains lie in a file of their own."""

    format = "overlay"

    def __init__(self, path: Path, base: Disk, handle: int, held: dict[int, int]) -> None:
        self.path = path
        self.base = base
        self.size = base.size
        self._handle = handle
        self._held = held
        """By grain: a bit for each block that the file holds, and above them (from bit 16) one
        for each block that was discarded; a block has at most one of the two."""

    @classmethod
    def create(cls, path: Path, base: Disk) -> Overlay:
        """A new overlay without changes; the map goes to `path` with `.map` added.

        Raises: Busy when there is one already, TooLarge when no file here can be as large as the
        disk, DiskFull, NotPermitted.
        """
        with translated(path):
            try:
                handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            except FileExistsError as error:
                raise Busy(where=str(path), why="there is an overlay already") from error
            try:
                os.ftruncate(handle, base.size)
            except OSError as error:
                os.close(handle)
                path.unlink()
                if error.errno == errno.EFBIG:
                    raise TooLarge(where=str(path), why="its filesystem has a limit") from error
                raise
        overlay = cls(path, base, handle, {})
        overlay.flush()
        return overlay

    @classmethod
    def open(cls, path: Path, base: Disk) -> Overlay:
        """The overlay as it was at its last flush.

        Raises: MissingFile, Malformed when it is not whole or belongs to a disk of another size.
        """
        held = _read_map(_map_of(path), base.size)
        with translated(path):
            handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        if os.fstat(handle).st_size != base.size:
            os.close(handle)
            raise Malformed(where=str(path), why="its size is not the disk's")
        return cls(path, base, handle, held)

    @property
    def bytes_read(self) -> int:
        """Bytes read from the file of the disk below so far."""
        return self.base.bytes_read

    def close(self) -> None:
        """Let go of the file, without a flush."""
        os.close(self._handle)

    def __enter__(self) -> Overlay:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes as they are with all changes.

        Raises: Truncated, Malformed.
        """
        check_range(str(self.path), self.size, offset, length)
        if self._unchanged(offset, length):
            return self.base.read(offset, length)
        return read_by_grain(offset, length, GRAIN_BYTES, self._piece)

    def write(self, offset: int, content: bytes | memoryview) -> None:
        """Change the disk's bytes from `offset` on.

        Raises: Truncated outside of the disk, DiskFull.
        """
        length = len(content)
        check_range(str(self.path), self.size, offset, length)
        view = memoryview(content)
        done = 0
        while done < length:
            number, start = divmod(offset + done, GRAIN_BYTES)
            count = min(length - done, GRAIN_BYTES - start)
            self._write_piece(number, start, view[done : done + count])
            done += count

    def discard(self, offset: int, length: int) -> None:
        """Let a range read as zeros; it takes no room.

        Raises: Truncated outside of the disk, DiskFull.
        """
        check_range(str(self.path), self.size, offset, length)
        end = offset + length
        while offset < end:
            number, start = divmod(offset, GRAIN_BYTES)
            count = min(end - offset, GRAIN_BYTES - start)
            first, last = self._whole_blocks(number, start, count)
            edges = [(start, start + count)]
            if first < last:
                self._mark(number, _bits(first, last), 0)
                edges = [(start, first * BLOCK_BYTES), (last * BLOCK_BYTES, start + count)]
            for edge, edge_end in edges:
                if edge < edge_end:
                    self._write_piece(number, edge, memoryview(bytes(edge_end - edge)))
            offset += count

    @property
    def handle(self) -> int:
        """The file that holds what was changed, where the disk has it."""
        return self._handle

    def holds(self, offset: int, length: int) -> bool | None:
        """Whether the overlay's file holds these bytes, all of them or none; None: some."""
        if self._unchanged(offset, length):
            return False
        numbers = range(offset // GRAIN_BYTES, (offset + length - 1) // GRAIN_BYTES + 1)
        whole = all(self._held.get(number, 0) & ALL == self._all(number) for number in numbers)
        return True if whole else None

    def changed(self) -> list[int]:
        """The numbers of the grains that were written or discarded, ascending."""
        return sorted(self._held)

    def touches(self, offset: int, length: int) -> bool:
        """Whether any block of a range was written or discarded; all others are the disk's below.

        Raises: Truncated outside of the disk.
        """
        check_range(str(self.path), self.size, offset, length)
        end = offset + length
        while offset < end:
            number, start = divmod(offset, GRAIN_BYTES)
            count = min(end - offset, GRAIN_BYTES - start)
            held = self._held.get(number, 0)
            bits = _bits(start // BLOCK_BYTES, -(-(start + count) // BLOCK_BYTES))
            if (held | held >> BLOCKS) & bits:
                return True
            offset += count
        return False

    def extents(self) -> Iterator[tuple[int, int]]:
        """The allocated (offset, length) with all changes, ascending and apart.

        Raises: Truncated, Malformed.
        """
        changed = self.changed()
        ours = ((n * GRAIN_BYTES, self._length(n)) for n in changed)
        kept = ((n * GRAIN_BYTES, self._length(n)) for n in changed if self._held[n] & ALL)
        # A grain with discarded blocks alone may still show blocks of the disk below.
        mixed = (
            (n * GRAIN_BYTES, self._length(n))
            for n in changed
            if not self._held[n] & ALL and self._held[n] >> BLOCKS != self._all(n)
        )
        return joined(joined(outside(self.base.extents(), ours), kept), mixed)

    def flush(self) -> None:
        """Make all changes durable: content, then map (fsync, atomic rename).

        Raises: DiskFull.
        """
        with translated(self.path):
            os.fsync(self._handle)
            body = b"".join(
                _ENTRY.pack(number, held & ALL, held >> BLOCKS)
                for number, held in sorted(self._held.items())
            )
            head = _HEAD.pack(_MAGIC, self.size, len(self._held), zlib.crc32(body))
            write_whole(_map_of(self.path), head + body)

    def _unchanged(self, offset: int, length: int) -> bool:
        first, last = offset // GRAIN_BYTES, (offset + length - 1) // GRAIN_BYTES
        if first >= last:
            return first not in self._held
        if last - first < len(self._held):
            return not any(number in self._held for number in range(first, last + 1))
        return not any(first <= number <= last for number in self._held)

    def _piece(self, number: int, start: int, count: int) -> bytes:
        """A part of one grain, from the file, from the disk below, or zeros."""
        held = self._held.get(number, 0)
        at = number * GRAIN_BYTES + start
        if not held:
            return self.base.read(at, count)
        touched = _bits(start // BLOCK_BYTES, -(-(start + count) // BLOCK_BYTES))
        if held & touched == touched:
            return self._own(at, count)
        if (held >> BLOCKS) & touched == touched:
            return bytes(count)
        return read_by_grain(start, count, BLOCK_BYTES, lambda *block: self._block(number, *block))

    def _block(self, number: int, block: int, start: int, count: int) -> bytes:
        """A part of one block."""
        held = self._held.get(number, 0)
        at = number * GRAIN_BYTES + block * BLOCK_BYTES + start
        if held >> block & 1:
            return self._own(at, count)
        if held >> (BLOCKS + block) & 1:
            return bytes(count)
        return self.base.read(at, count)

    def _own(self, at: int, count: int) -> bytes:
        content = os.pread(self._handle, count, at)
        if len(content) != count:
            raise Malformed(where=str(self.path), why="it became shorter")
        return content

    def _write_piece(self, number: int, start: int, content: memoryview) -> None:
        """Write within one grain; blocks that are touched in part are read first."""
        count = len(content)
        first, last = start // BLOCK_BYTES, -(-(start + count) // BLOCK_BYTES)
        begin, end = first * BLOCK_BYTES, min(last * BLOCK_BYTES, self._length(number))
        if (begin, end) != (start, start + count):
            held = self._held.get(number, 0) & ALL
            if held & _bits(first, last) != _bits(first, last):
                before = self._piece(number, begin, start - begin)
                after = self._piece(number, start + count, end - start - count)
                content = memoryview(before + bytes(content) + after)
                start = begin
        self._put(number * GRAIN_BYTES + start, content)
        self._mark(number, 0, _bits(first, last))

    def _put(self, at: int, content: memoryview) -> None:
        done = 0
        try:
            while done < len(content):
                done += os.pwrite(self._handle, content[done:], at + done)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DiskFull(where=str(self.path.parent), why="the overlay grows") from error
            raise

    def _mark(self, number: int, discarded: int, written: int) -> None:
        held = self._held.get(number, 0)
        ours, gone = held & ALL, held >> BLOCKS
        ours = (ours | written) & ~discarded
        gone = (gone | discarded) & ~written
        self._held[number] = ours | gone << BLOCKS

    def _length(self, number: int) -> int:
        return min(GRAIN_BYTES, self.size - number * GRAIN_BYTES)

    def _all(self, number: int) -> int:
        return _bits(0, -(-self._length(number) // BLOCK_BYTES))

    def _whole_blocks(self, number: int, start: int, count: int) -> tuple[int, int]:
        """The blocks that lie wholly in a part of a grain; the disk's last may be short."""
        end = start + count
        whole_end = -(-end // BLOCK_BYTES) if end == self._length(number) else end // BLOCK_BYTES
        return -(-start // BLOCK_BYTES), whole_end


def _bits(first: int, last: int) -> int:
    return (1 << last) - (1 << first)


def _map_of(path: Path) -> Path:
    return path.with_name(path.name + ".map")


def _read_map(path: Path, size: int) -> dict[int, int]:
    """The map that `flush` wrote, checked."""
    content = read_limited(path, MAX_MAP_BYTES)
    if len(content) < _HEAD.size:
        raise Malformed(where=str(path), why="the overlay's map is cut off")
    magic, mapped, count, check = _HEAD.unpack_from(content)
    body = content[_HEAD.size :]
    if magic != _MAGIC or len(body) != count * _ENTRY.size or zlib.crc32(body) != check:
        raise Malformed(where=str(path), why="the overlay's map is damaged")
    if mapped != size:
        raise Malformed(where=str(path), why=f"it belongs to a disk of {mapped} bytes")
    return {number: ours | gone << BLOCKS for number, ours, gone in _ENTRY.iter_unpack(body)}
