"""A map: of which pieces a stored file is made, in their order; itself kept as a piece.

8 bytes    "regmap 1"
then, for each piece, 32 bytes of SHA-256 and 4 bytes of length, little-endian
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import IO

from regild.errors import Malformed

MAGIC = b"regmap 1"
ENTRY = struct.Struct("<32sI")

Entry = tuple[bytes, int]
"""Digest and length of a piece."""


def write_map(entries: Sequence[Entry]) -> bytes:
    """The bytes of a map."""
    return MAGIC + b"".join(ENTRY.pack(*entry) for entry in entries)


def read_map(content: bytes, where: str) -> tuple[Entry, ...]:
    """The pieces that a map names.

    Raises: Malformed.
    """
    if not content.startswith(MAGIC) or (len(content) - len(MAGIC)) % ENTRY.size:
        raise Malformed(where=where, why="its map is not one")
    return tuple(ENTRY.iter_unpack(memoryview(content)[len(MAGIC) :]))


def cut(file: IO[bytes], seams: Sequence[int], piece_bytes: int) -> Iterator[bytes]:
    """A file from begin to end in pieces: cut at every seam, and between them at every
    `piece_bytes` counted from the seam before.

    Seams are offsets at which what follows is likely to stand in other files too, such as the
    grains of a compressed disk; they may be any, in any order.
    """
    here = 0
    for seam in [*sorted({one for one in seams if one > 0}), None]:
        while seam is None or here < seam:
            wanted = piece_bytes if seam is None else min(piece_bytes, seam - here)
            piece = file.read(wanted)
            if not piece:
                return
            here += len(piece)
            yield piece
