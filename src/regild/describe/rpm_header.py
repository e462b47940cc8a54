"""One package as an rpm database keeps it: the header (RPM Package Manager documentation, "RPM V4
package format", header structure), of which only a package's identity is taken out.

Numbers are big-endian. A header in a database lacks the eight bytes of magic that a file's has.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from regild.errors import Malformed

TAGS_LIMIT = 0xFFFF
"""The most entries of an index that rpm itself accepts (HEADER_TAGS_MAX)."""
HEADER_LIMIT = 256 << 20
"""The longest store that rpm itself accepts (HEADER_DATA_MAX)."""
TEXT_LIMIT = 4096

NAME, VERSION, RELEASE, EPOCH, ARCH, SOURCE_RPM = 1000, 1001, 1002, 1003, 1022, 1044
_STRINGS = {NAME: "name", VERSION: "version", RELEASE: "release", ARCH: "arch", SOURCE_RPM: "file"}
_INT32, _STRING = 4, 6
_ENTRY = struct.Struct(">IIiI")


class Header(NamedTuple):
    """Who a package is; texts are empty and the epoch 0 where the header does not say."""

    name: str
    version: str
    release: str
    epoch: int
    arch: str
    source_rpm: str
    """The source package's file name, such as `bash-5.2-1.src.rpm`."""


def read_header(blob: bytes, where: str) -> Header:
    """The identity that a header states.

    Raises: Malformed when an index or a text lies outside of the header, or the name is missing.
    """
    if len(blob) < 8:
        raise Malformed(where=where, why="its header is cut off")
    entries, stored = struct.unpack_from(">II", blob)
    if not 0 < entries <= TAGS_LIMIT or stored > HEADER_LIMIT:
        raise Malformed(where=where, why="its header states an impossible size")
    begin = 8 + 16 * entries
    if len(blob) < begin + stored:
        raise Malformed(where=where, why="its header is shorter than it says")
    store = memoryview(blob)[begin : begin + stored]
    texts: dict[int, str] = {}
    epoch = 0
    for tag, kind, offset, count in _ENTRY.iter_unpack(blob[8:begin]):
        if tag in _STRINGS and tag not in texts:
            texts[tag] = _text(store, kind, offset, f"{where}, {_STRINGS[tag]}")
        elif tag == EPOCH:
            epoch = _number(store, kind, offset, count, where)
    for tag in (NAME, VERSION, RELEASE):
        if not texts.get(tag):
            raise Malformed(where=where, why=f"its header has no {_STRINGS[tag]}")
    return Header(
        name=texts[NAME],
        version=texts[VERSION],
        release=texts[RELEASE],
        epoch=epoch,
        arch=texts.get(ARCH, ""),
        source_rpm=texts.get(SOURCE_RPM, ""),
    )


def _text(store: memoryview, kind: int, offset: int, where: str) -> str:
    if kind != _STRING or not 0 <= offset < len(store):
        raise Malformed(where=where, why="it is no text inside of the header")
    found, end, _ = bytes(store[offset : offset + TEXT_LIMIT]).partition(b"\0")
    text = found.decode(errors="replace")
    if not end or not text.isprintable() or " " in text or "\ufffd" in text:
        raise Malformed(where=where, why="it is not one printable word")
    return text


def _number(store: memoryview, kind: int, offset: int, count: int, where: str) -> int:
    if kind != _INT32 or count != 1 or not 0 <= offset <= len(store) - 4:
        raise Malformed(where=where, why="its epoch is no number inside of the header")
    return int.from_bytes(store[offset : offset + 4], "big")
