"""Compressed indexes and archive members, unpacked as a stream with bounded output and memory."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sys
import zlib
from collections.abc import Callable
from typing import IO, Protocol, cast

from regild.errors import Malformed, TooLarge, Truncated

PIECE_BYTES = 1 << 18
MEMORY_LIMIT = 256 << 20
"""What a decompressor may ask for; `xz -9` needs 65 MiB, `zstd --long` 128 MiB."""


class Reader(Protocol):
    """A stream that is read piece by piece."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; nothing at the end."""


def open_unpacked(kind: str, file: IO[bytes], where: str, limit: int) -> Reader:
    """A file's unpacked bytes; `kind` is a suffix of `UNPACKERS`, empty for a plain file.

    Reading raises: Malformed, Truncated, TooLarge after `limit` bytes.
    """
    return _Bounded(UNPACKERS[kind](file), where, limit)


class _Bounded:
    """A reader that stops at a limit and speaks regild's errors."""

    def __init__(self, inner: Reader, where: str, limit: int) -> None:
        self._inner, self._where, self._left, self._limit = inner, where, limit, limit

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes.

        Raises: Malformed, Truncated, TooLarge.
        """
        try:
            piece = self._inner.read(min(size, PIECE_BYTES))
        except EOFError as error:
            raise Truncated(where=self._where, why="the compressed data ends early") from error
        except MemoryError as error:
            raise TooLarge(where=self._where, why="unpacking needs too much memory") from error
        except (lzma.LZMAError, zlib.error, OSError, ValueError) as error:
            raise _translated(error, self._where) from error
        except Exception as error:
            if type(error).__name__ != "ZstdError":
                raise
            raise _translated(error, self._where) from error
        self._left -= len(piece)
        if self._left < 0:
            raise TooLarge(where=self._where, why=f"it unpacks to more than {self._limit} bytes")
        return piece


def _translated(error: Exception, where: str) -> Exception:
    if "memory usage limit" in str(error).lower():
        return TooLarge(where=where, why="unpacking needs too much memory")
    return Malformed(where=where, why=f"it cannot be unpacked: {error}")


class _Xz(io.RawIOBase):
    """xz streams one after the other, with a bound on memory that `lzma.LZMAFile` lacks."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._machine = lzma.LZMADecompressor(memlimit=MEMORY_LIMIT)
        self._rest = b""

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes; nothing at the end."""
        while True:
            if self._machine.eof:
                self._rest = self._machine.unused_data.lstrip(b"\0") or self._file.read(PIECE_BYTES)
                if not self._rest.strip(b"\0"):
                    return b""
                self._machine = lzma.LZMADecompressor(memlimit=MEMORY_LIMIT)
            if self._machine.needs_input and not self._rest:
                self._rest = self._file.read(PIECE_BYTES)
                if not self._rest:
                    raise EOFError
            piece = self._machine.decompress(self._rest, size)
            self._rest = b""
            if piece:
                return piece


def _open_zstd(file: IO[bytes]) -> Reader:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd

    longest = {int(zstd.DecompressionParameter.window_log_max): MEMORY_LIMIT.bit_length() - 1}
    return cast(Reader, zstd.ZstdFile(file, options=longest))


def _open_gzip(file: IO[bytes]) -> Reader:
    return cast(Reader, gzip.GzipFile(fileobj=file))


def _open_bzip2(file: IO[bytes]) -> Reader:
    return cast(Reader, bz2.BZ2File(file))


def _open_xz(file: IO[bytes]) -> Reader:
    return cast(Reader, _Xz(file))


UNPACKERS: dict[str, Callable[[IO[bytes]], Reader]] = {
    ".xz": _open_xz,
    ".zst": _open_zstd,
    ".gz": _open_gzip,
    ".bz2": _open_bzip2,
    "": lambda file: file,
}
"""How each suffix of an index is unpacked."""
