"""The headers in rpm's own database format ndb (`Packages.db`, as SUSE uses it; rpm's
lib/backend/ndb/rpmpkg.c says how it is laid out).

All numbers are little-endian. Pages of 4,096 bytes hold slots of 16 bytes, which point at blobs;
each blob is closed by its Adler-32, which is checked.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from regild.errors import Malformed

MAGIC = b"RpmP"
PAGE_BYTES = 4096
BLOCK_BYTES = 16
"""The unit in which a slot says where a blob is."""
SLOT_PAGES_LIMIT = 4096
"""A million packages; a slot page holds 256."""

_HEADER_SLOTS = 2
"""The file's header takes the room of two slots."""
_SLOT, _HEAD, _TAIL = struct.Struct("<4s3I"), struct.Struct("<4s3I"), struct.Struct("<2I4s")


def read_headers(content: bytes, where: str) -> Iterator[tuple[str, bytes]]:
    """Each header with its place.

    Raises: Malformed when a slot or a blob is not whole.
    """
    if len(content) < PAGE_BYTES or content[:4] != MAGIC:
        raise Malformed(where=where, why="it is no ndb database")
    version, _generation, pages = struct.unpack_from("<3I", content, 4)
    if version != 0:
        raise Malformed(where=where, why=f"its version is {version}, not 0")
    if not 0 < pages <= SLOT_PAGES_LIMIT or pages * PAGE_BYTES > len(content):
        raise Malformed(where=where, why="its slots are not all there")
    begin, end = _HEADER_SLOTS * _SLOT.size, pages * PAGE_BYTES
    room = len(content)
    for magic, package, block, blocks in _SLOT.iter_unpack(memoryview(content)[begin:end]):
        if magic != b"Slot":
            raise Malformed(where=where, why="a slot is damaged")
        if not package:
            continue
        room -= blocks * BLOCK_BYTES
        if room < 0:
            raise Malformed(where=where, why="its packages are together larger than it")
        place = f"{where}, package {package}"
        yield place, _blob(content, package, block * BLOCK_BYTES, blocks * BLOCK_BYTES, place)


def _blob(content: bytes, package: int, begin: int, length: int, where: str) -> bytes:
    end = begin + length
    if length < _HEAD.size + _TAIL.size or end > len(content):
        raise Malformed(where=where, why="it lies outside of the database")
    magic, owner, _generation, stored = _HEAD.unpack_from(content, begin)
    checksum, stored_again, closing = _TAIL.unpack_from(content, end - _TAIL.size)
    if magic != b"BlbS" or closing != b"BlbE" or owner != package or stored != stored_again:
        raise Malformed(where=where, why="its slot and its blob do not agree")
    if stored > length - _HEAD.size - _TAIL.size:
        raise Malformed(where=where, why="it is longer than its room")
    if zlib.adler32(memoryview(content)[begin : end - _TAIL.size]) != checksum:
        raise Malformed(where=where, why="its bytes do not match their checksum")
    return content[begin + _HEAD.size : begin + _HEAD.size + stored]
