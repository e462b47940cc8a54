"""What an initial RAM disk holds, by name: archives one behind another, the last ones compressed.

Source: Documentation/driver-api/early-userspace/buffer-format.rst of Linux (the format `newc`).
Contents are skipped, never kept.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

from regild.errors import Malformed, TooLarge, UnsupportedFormat
from regild.host.decompress import Reader, open_unpacked

UNPACKED_MAX = 1 << 30
NAMES_MAX = 200_000
NAME_BYTES_MAX = 4096
STEP = 1 << 18

_HEADER = 110
_NO_ZERO = re.compile(rb"[^\0]")
_MAGICS = (b"070701", b"070702")
_LAST = "TRAILER!!!"
_PACKED = {b"\x1f\x8b": ".gz", b"\xfd7zXZ\0": ".xz", b"\x28\xb5\x2f\xfd": ".zst", b"BZh": ".bz2"}


def read_names(content: bytes, where: str) -> frozenset[str]:
    """The paths in all archives of an initial RAM disk, without a slash in front.

    Raises: Malformed, Truncated, TooLarge, UnsupportedFormat for a compression that is not read
    here.
    """
    found: set[str] = set()
    plain = _Source(io.BytesIO(content), where)
    for begin in plain.beginnings():
        if not begin.startswith(_MAGICS):
            kind = _kind(begin, where)
            rest = io.BytesIO(content[plain.at :])
            packed = _Source(open_unpacked(kind, rest, where, UNPACKED_MAX), where)
            for _ in packed.beginnings():
                _read_archive(packed, found)
            break
        _read_archive(plain, found)
    return frozenset(found)


class _Source:
    """Bytes that are read once, from front to back."""

    def __init__(self, reader: Reader, where: str) -> None:
        self._reader = reader
        self._held, self._begin = b"", 0
        self.where = where
        self.at = 0

    def beginnings(self) -> Iterator[bytes]:
        """The first bytes of what stands next, as often as something does; zeros in between are
        skipped."""
        while True:
            while self._look(1) == b"\0":
                found = _NO_ZERO.search(self._held, self._begin)
                self._pass_over((found.start() if found else len(self._held)) - self._begin)
            if not self._look(1):
                return
            yield self._look(6)

    def take(self, count: int) -> bytes:
        """The next bytes; fewer only at the end."""
        piece = self._look(count)
        self._pass_over(len(piece))
        return piece

    def skip(self, count: int) -> None:
        """Go on behind the next bytes, holding only a step of them."""
        while count > 0 and (piece := self.take(min(count, STEP))):
            count -= len(piece)

    def _pass_over(self, count: int) -> None:
        self._begin += count
        self.at += count

    def _look(self, count: int) -> bytes:
        while len(self._held) - self._begin < count and (more := self._reader.read(STEP)):
            # What was passed over is let go of once a step: archives have very many short pieces.
            self._held, self._begin = self._held[self._begin :] + more, 0
        return self._held[self._begin : self._begin + count]


def _read_archive(source: _Source, found: set[str]) -> None:
    """Read one archive to its trailer."""
    while True:
        header = source.take(_HEADER)
        if len(header) < _HEADER or not header.startswith(_MAGICS):
            raise Malformed(where=source.where, why="an archive in it is cut off or damaged")
        try:
            size, length = int(header[54:62], 16), int(header[94:102], 16)
        except ValueError as error:
            raise Malformed(where=source.where, why="a header in it holds no numbers") from error
        if not 0 < length <= NAME_BYTES_MAX:
            raise Malformed(where=source.where, why=f"a name in it takes {length} bytes")
        name = source.take(length).rstrip(b"\0").decode(errors="replace")
        source.skip(-(_HEADER + length) % 4)
        if name == _LAST:
            return
        source.skip(size + -size % 4)
        found.add(name.removeprefix("./").strip("/"))
        if len(found) > NAMES_MAX:
            raise TooLarge(where=source.where, why=f"it holds over {NAMES_MAX} names")


def _kind(begin: bytes, where: str) -> str:
    """The suffix of the compression that begins so."""
    for magic, kind in _PACKED.items():
        if begin.startswith(magic):
            return kind
    raise UnsupportedFormat(where=where, why="how it is compressed is not known here")
