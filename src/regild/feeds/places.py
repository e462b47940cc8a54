"""Where each name's entries lie in an index, kept beside it in parts: a lookup reads the part that
the name is in, a few names of sixty thousand (all of Debian at once takes 50 ms)."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from regild.feeds.kept import keep_made

PARTS = 4096

Place = TypeVar("Place")


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    checksum: int
    """CRC-32 of the parts: against decay, not against malice; the folder is the user's own."""
    parts: bytes


class Places(Generic[Place]):
    """By name, where its entries lie; made by `keep_places`."""

    def __init__(self, kept: bytes, decoder: msgspec.msgpack.Decoder[dict[str, list[Place]]]):
        self._parts = _PARTS.decode(kept)
        self._decoder = decoder

    def __iter__(self) -> Iterator[str]:
        """Every name, in no order."""
        for part in self._parts:
            yield from self._decoder.decode(part)

    def find(self, name: str) -> list[Place]:
        """Where a name's entries lie."""
        return self._decoder.decode(self._parts[_part_of(name)]).get(name, [])


def keep_places(
    kept: Path,
    decoder: msgspec.msgpack.Decoder[dict[str, list[Place]]],
    make: Callable[[], dict[str, list[Place]]],
) -> Places[Place]:
    """The places that were kept under a path; made anew where they are not there, or not whole.

    Raises: whatever `make` raises; NotPermitted, DiskFull.
    """
    return Places(keep_made(kept, _read, lambda: _packed(make())).parts, decoder)


def _read(content: bytes) -> _Kept:
    kept = msgspec.msgpack.decode(content, type=_Kept)
    if zlib.crc32(kept.parts) != kept.checksum:
        raise msgspec.DecodeError("another checksum")
    return kept


def _packed(table: dict[str, list[Place]]) -> _Kept:
    parts: list[dict[str, list[Place]]] = [{} for _ in range(PARTS)]
    for name, places in table.items():
        parts[_part_of(name)][name] = places
    content = msgspec.msgpack.encode([msgspec.msgpack.encode(part) for part in parts])
    return _Kept(zlib.crc32(content), content)


def _part_of(name: str) -> int:
    return zlib.crc32(name.encode(errors="surrogatepass")) % PARTS


_PARTS = msgspec.msgpack.Decoder(list[bytes])
