"""A pack: one file of the store with many pieces, each packed by itself, and a list of them at its
end.

    16 bytes   "regild pack 1\\n" and two zeros
    16 bytes   chance, so that no two packs are the same file
    pieces, one after the other
    the list, JSON, zstd
    8 bytes    the list's length, little-endian
    8 bytes    "dligerkp"

The catalogue's rows say the same as the lists. A pack is named by the SHA-256 of all its bytes.
"""

from __future__ import annotations

import hashlib
import secrets
import struct
import sys
from dataclasses import dataclass

import msgspec

from regild.errors import Malformed, TooLarge
from regild.model.digest import Digest, sha256_of

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PACK_BYTES = 32 << 20
"""A pack is closed when it holds so much: few files, and each in memory while it is made."""
PIECE_BYTES = 64 << 10
"""The longest piece: a grain (docs/adr/0071)."""
LONGEST_BYTES = 1 << 30
"""The longest map, which is kept as one piece too: that of a file of 1.8 TiB."""
MAGIC = b"regild pack 1\n\0\0"
END = b"dligerkp"
HEAD_BYTES = 32
LEVEL = 3
WORTH = 0.95
"""A piece is kept packed only when that saves a twentieth."""


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """Where one piece lies in its pack."""

    digest: str
    """SHA-256 of the piece, hexadecimal digits."""
    offset: int
    stored: int
    bytes: int
    method: str
    """`zstd`, or `plain` for one that is kept as it is."""


@dataclass(frozen=True, slots=True)
class Pack:
    """A finished pack, ready for the shelf."""

    content: bytes
    digest: Digest
    kept: tuple[Kept, ...]

    @property
    def name(self) -> str:
        """Its name on the shelf."""
        return name_of(self.digest)


class PackWriter:
    """A pack that is being filled."""

    def __init__(self) -> None:
        self._content = bytearray(MAGIC + secrets.token_bytes(16))
        self._kept: list[Kept] = []

    @property
    def size(self) -> int:
        """The bytes that it has so far."""
        return len(self._content)

    @property
    def is_empty(self) -> bool:
        """Whether it holds no piece yet."""
        return not self._kept

    def add(self, digest: bytes, piece: bytes | memoryview) -> None:
        """Put one piece in.

        Raises: TooLarge for one that could not be read again.
        """
        if len(piece) > LONGEST_BYTES:
            raise TooLarge(where="the store", why=f"a piece of {len(piece)} bytes is too long")
        packed, method = zstd.compress(piece, LEVEL), "zstd"
        if len(packed) > len(piece) * WORTH:
            packed, method = bytes(piece), "plain"
        place = Kept(digest.hex(), len(self._content), len(packed), len(piece), method)
        self._content += packed
        self._kept.append(place)

    def close(self) -> Pack:
        """The finished pack."""
        listed = zstd.compress(msgspec.json.encode(self._kept), LEVEL)
        content = bytes(self._content) + listed + struct.pack("<Q", len(listed)) + END
        return Pack(content, sha256_of(content), tuple(self._kept))


def name_of(digest: Digest) -> str:
    """The name of a pack on the shelf."""
    digits = digest.partition(":")[2]
    return f"packs/{digits[:2]}/{digits}.pack"


def unpacked(stored: bytes, kept: Kept, where: str) -> bytes:
    """A piece from what is stored of it, when it is the piece.

    Raises: Malformed.
    """
    if len(stored) != kept.stored:
        why = f"piece {kept.digest[:16]} has {len(stored)} of {kept.stored} bytes"
        raise Malformed(where=where, why=why)
    piece = _inflated(stored, kept, where) if kept.method == "zstd" else stored
    if len(piece) != kept.bytes or hashlib.sha256(piece).hexdigest() != kept.digest:
        why = f"piece {kept.digest[:16]} at byte {kept.offset} has another digest"
        raise Malformed(where=where, why=why)
    return piece


def read_list(content: bytes, where: str) -> tuple[Kept, ...]:
    """The list at the end of a pack.

    Raises: Malformed.
    """
    if not content.startswith(MAGIC) or not content.endswith(END) or len(content) < HEAD_BYTES + 16:
        raise Malformed(where=where, why="it does not begin and end as a pack does")
    (length,) = struct.unpack("<Q", content[-16:-8])
    if length > len(content) - HEAD_BYTES - 16:
        raise Malformed(where=where, why="its list is longer than the pack")
    try:
        reader = zstd.ZstdDecompressor()
        listed = reader.decompress(content[-16 - length : -16], max_length=PACK_BYTES)
        return msgspec.json.decode(listed, type=tuple[Kept, ...])
    except (zstd.ZstdError, ValueError, RecursionError) as error:
        raise Malformed(where=where, why=f"its list cannot be read: {error}") from error


def _inflated(stored: bytes, kept: Kept, where: str) -> bytes:
    if not 0 <= kept.bytes <= LONGEST_BYTES:
        raise Malformed(where=where, why=f"piece {kept.digest[:16]} says that it is too long")
    try:
        return zstd.ZstdDecompressor().decompress(stored, max_length=kept.bytes + 1)
    except zstd.ZstdError as error:
        why = f"piece {kept.digest[:16]} at byte {kept.offset} cannot be unpacked: {error}"
        raise Malformed(where=where, why=why) from error
