"""Which grains go into a new streamOptimized VMDK: copied, deflated anew, or left out.

A grain that is free or all zeros is left out. One that was not touched, or was written with the
content that it had, is the old one's bytes. All others are deflated in threads (libdeflate lets go
of Python's lock) and kept in a scratch file, in order.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO

from regild.errors import Malformed, Truncated
from regild.image.disk import Disk
from regild.image.grains import GRAIN_BYTES, SECTOR_BYTES
from regild.image.overlay import Overlay
from regild.image.vmdk import VmdkDisk
from regild.image.vmdk_layout import GRAIN_MARKER
from regild.model.progress import Progress

LEVEL = 5
"""libdeflate's level: a fifth less work than its 6 for 0.4 % more bytes (500 changed grains of the
demo appliance), smaller still than zlib's 6, and the same bytes in every run."""
GRAIN_SECTORS = GRAIN_BYTES // SECTOR_BYTES
AHEAD = 64
"""Grains that are decided before the first of them is settled."""
TOGETHER = 16
"""Grains that a thread deflates in one go; to wake one for each costs a tenth of the work."""

_ZEROS = bytes(GRAIN_BYTES)
_ADLER_BYTES = 4


@dataclass(frozen=True, slots=True)
class Record:
    """A compressed grain with its marker: `length` bytes, whole sectors, at `at` of the old file
    or of the scratch file."""

    number: int
    old: bool
    at: int
    length: int


@dataclass(slots=True)
class Tally:
    """How many grains went which way."""

    copied: int = 0
    """Not touched: the old bytes."""
    same: int = 0
    """Written with the content that it had: the old bytes too."""
    deflated: int = 0
    left_out: int = 0
    """Zeros or free."""


class GrainPlanner:
    """Decides for every grain of a disk, in ascending order."""

    def __init__(
        self,
        disk: Disk,
        source: VmdkDisk | None,
        free: Iterator[range],
        spool: IO[bytes],
        progress: Progress,
    ) -> None:
        self.tally = Tally()
        self._disk = disk
        self._source = source
        self._free = free
        self._next_free = next(free, range(0))
        self._spool = spool
        self._spooled = 0
        self._progress = progress
        self._old_left = source.window.size if source else 0
        self._identity = hashlib.sha256(disk.size.to_bytes(8, "big"))
        if source is not None:
            self._identity.update(source.descriptor.content_id.encode())

    def content_id(self) -> str:
        """The new content id (CID): eight hexadecimal digits that follow from what changed."""
        number = int.from_bytes(self._identity.digest()[:4], "big")
        # The two highest are kept for "no parent" and "just made".
        return f"{number % 0xFFFFFFFE:08x}"

    def records(self) -> Iterator[Record]:
        """The grains that go into the file, ascending.

        Raises: Malformed, Truncated, and OSError when the scratch file cannot grow.
        """
        waiting: deque[Record | _Deflating] = deque()
        with ThreadPoolExecutor(max_workers=len(os.sched_getaffinity(0))) as pool:
            for decision in self._decisions(pool):
                waiting.append(decision)
                if len(waiting) > AHEAD:
                    yield self._settled(waiting.popleft())
            while waiting:
                yield self._settled(waiting.popleft())

    def _decisions(self, pool: ThreadPoolExecutor) -> Iterator[Record | _Deflating]:
        here, lot = 0, _Lot(pool)
        for number, at, changed in self._candidates():
            self._progress.advance((number - here) * GRAIN_BYTES)
            here = number
            if self._is_free(number):
                self._leave_out(number)
            elif not changed:
                self.tally.copied += 1
                yield self._old(number, at)
            else:
                content = self._content(number)
                if content == _ZEROS:
                    self._leave_out(number)
                elif at and self._is_same(number, at, content):
                    self.tally.same += 1
                    yield self._old(number, at)
                else:
                    self.tally.deflated += 1
                    if lot.is_begun:
                        lot = _Lot(pool)
                    yield lot.add(number, content)
        self._progress.advance(self._disk.size - here * GRAIN_BYTES)

    def _candidates(self) -> Iterator[tuple[int, int, bool]]:
        """Number, place in the old file (0: none), and whether it may have changed; ascending."""
        if self._source is None:
            for number in self._allocated():
                yield number, 0, True
            return
        changed = self._disk.changed() if isinstance(self._disk, Overlay) else []
        old = ((number, at, False) for number, at in self._source.grains())
        merged = heapq.merge(old, ((number, 0, True) for number in changed))
        for number, both in itertools.groupby(merged, key=lambda candidate: candidate[0]):
            candidates = list(both)
            at = max(candidate[1] for candidate in candidates)
            yield number, at, any(candidate[2] for candidate in candidates)

    def _allocated(self) -> Iterator[int]:
        following = 0
        for offset, length in self._disk.extents():
            first = max(following, offset // GRAIN_BYTES)
            following = max(following, -(-(offset + length) // GRAIN_BYTES))
            yield from range(first, following)

    def _is_free(self, number: int) -> bool:
        """Whether a grain lies wholly in free space; asked in ascending order."""
        while self._next_free and self._next_free.stop <= number:
            self._next_free = next(self._free, range(0))
        return number in self._next_free

    def _leave_out(self, number: int) -> None:
        self.tally.left_out += 1
        self._identity.update(b"-" + number.to_bytes(8, "big"))

    def _content(self, number: int) -> bytes:
        """A grain of the disk; the last one is filled up with zeros."""
        offset = number * GRAIN_BYTES
        content = self._disk.read(offset, min(GRAIN_BYTES, self._disk.size - offset))
        return content.ljust(GRAIN_BYTES, b"\0")

    def _old(self, number: int, at: int) -> Record:
        """The old file's record of a grain."""
        assert self._source is not None  # noqa: S101 only a source has places
        length = _padded(self._source.record(number, at))
        self._old_left -= length
        if self._old_left < 0:
            raise Malformed(where=self._source.window.where, why="its grains overlap")
        if at + length > self._source.window.size:
            why = f"grain {number} ends behind the end of the file"
            raise Truncated(where=self._source.window.where, why=why)
        return Record(number, True, at, length)

    def _is_same(self, number: int, at: int, content: bytes) -> bool:
        """Whether the old grain has this content; its checksum (RFC 1950, ADLER32) tells most."""
        import deflate

        assert self._source is not None  # noqa: S101 only a source has places
        end = at + self._source.record(number, at)
        check = self._source.window.read(end - _ADLER_BYTES, _ADLER_BYTES)
        if deflate.adler32(content) != int.from_bytes(check, "big"):
            return False
        return self._source.grain(number) == content

    def _settled(self, decision: Record | _Deflating) -> Record:
        """A record; one that was deflated goes to the scratch file now, in order."""
        if isinstance(decision, Record):
            return decision
        packed = decision.result()
        self._identity.update(packed)
        record = Record(decision.number, False, self._spooled, len(packed))
        self._spool.write(packed)
        self._spooled += len(packed)
        return record


class _Lot:
    """Some grains that one thread deflates, begun when they are enough or the first is asked
    for."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self._grains: list[tuple[int, bytes]] = []
        self._packed: Future[list[bytes]] | None = None

    @property
    def is_begun(self) -> bool:
        """No more can be added."""
        return self._packed is not None

    def add(self, number: int, content: bytes) -> _Deflating:
        """One more grain."""
        self._grains.append((number, content))
        if len(self._grains) == TOGETHER:
            self._begin()
        return _Deflating(number, self, len(self._grains) - 1)

    def result(self, place: int) -> bytes:
        """One of them, deflated."""
        return self._begin().result()[place]

    def _begin(self) -> Future[list[bytes]]:
        if self._packed is None:
            self._packed = self._pool.submit(_all_deflated, self._grains)
            self._grains = []
        return self._packed


@dataclass(frozen=True, slots=True)
class _Deflating:
    """A grain that is being deflated in its place of a lot."""

    number: int
    lot: _Lot
    place: int

    def result(self) -> bytes:
        """Its record's bytes."""
        return self.lot.result(self.place)


def _all_deflated(grains: list[tuple[int, bytes]]) -> list[bytes]:
    return [_deflated(number, content) for number, content in grains]


def _deflated(number: int, content: bytes) -> bytes:
    """A grain's record: marker, zlib stream, zeros up to the sector's end."""
    import deflate

    packed = deflate.zlib_compress(content, LEVEL)
    marker = GRAIN_MARKER.pack(number * GRAIN_SECTORS, len(packed))
    return (marker + packed).ljust(_padded(len(marker) + len(packed)), b"\0")


def _padded(length: int) -> int:
    return -(-length // SECTOR_BYTES) * SECTOR_BYTES
