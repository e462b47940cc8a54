"""The planning state of a content descriptor: what a solver needs, packed into one element.

The content descriptor, clause 9: canonical JSON, gzip (RFC 1952, one member), base64 (RFC 4648).
The bytes are bounded before they are unpacked and checked against their digest before they are
read.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from typing import Final

from regild.errors import DigestMismatch, Malformed, TooLarge
from regild.model.content import Planning
from regild.model.digest import Digest, canonical, sha256_of
from regild.model.json import from_json

ENCODING: Final = "gzip+base64"
MAX_BYTES: Final = 64 << 20
"""Unpacked; the reduced status of 3,000 packages is under 3 MB."""

_GZIP = 16 + zlib.MAX_WBITS
_LINE_LETTERS = 100


def pack_planning(planning: Planning) -> tuple[str, Digest, int]:
    """The text of the element, the digest of the JSON inside it, and its length in bytes.

    Raises: Malformed when a string of the guest is not Unicode text.
    """
    try:
        plain = canonical(planning)
    except UnicodeEncodeError as error:
        raise Malformed(where="the planning state", why="a string is not Unicode text") from error
    # Without a name and a time in its head, gzip gives equal bytes for equal input.
    packer = zlib.compressobj(9, zlib.DEFLATED, _GZIP)
    packed = packer.compress(plain) + packer.flush()
    letters = base64.b64encode(packed).decode()
    lines = (letters[at : at + _LINE_LETTERS] for at in range(0, len(letters), _LINE_LETTERS))
    return "\n".join(lines), sha256_of(plain), len(plain)


def unpack_planning(text: str, encoding: str, digest: Digest, where: str) -> Planning:
    """Read the element's text.

    Raises: Malformed, TooLarge, DigestMismatch.
    """
    if encoding != ENCODING:
        raise Malformed(where=where, why=f"its planning state is encoded as {encoding[:40]!r}")
    try:
        packed = base64.b64decode("".join(text.split()), validate=True)
        plain = _unpack(packed, where)
    except (binascii.Error, ValueError, zlib.error) as error:
        raise Malformed(where=where, why=f"its planning state is damaged: {error}") from error
    if sha256_of(plain) != digest:
        raise DigestMismatch(where=f"the planning state of {where}", why=f"it should be {digest}")
    try:
        return from_json(Planning, plain, f"the planning state of {where}")
    except RecursionError as error:
        raise Malformed(where=where, why="its planning state nests too deep") from error


def _unpack(packed: bytes, where: str) -> bytes:
    unpacker = zlib.decompressobj(_GZIP)
    plain = unpacker.decompress(packed, MAX_BYTES + 1)
    if len(plain) > MAX_BYTES:
        raise TooLarge(where=where, why=f"its planning state unpacks to over {MAX_BYTES} bytes")
    if not unpacker.eof or unpacker.unused_data:
        raise Malformed(where=where, why="its planning state is not one gzip member")
    return plain
