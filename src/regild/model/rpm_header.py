"""One package as rpm describes it: the header (RPM Package Manager documentation, "RPM V4 package
format", header structure), in a database or in a package file.

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
VALUES_LIMIT = 1_000_000
"""Texts or numbers under one tag; the largest package of a distribution has 100,000 files."""

NAME, VERSION, RELEASE, EPOCH, ARCH, SOURCE_RPM = 1000, 1001, 1002, 1003, 1022, 1044
_STRINGS = {NAME: "name", VERSION: "version", RELEASE: "release", ARCH: "arch", SOURCE_RPM: "file"}
_CHAR, _INT8, _INT16 = 1, 2, 3
_INT32, _INT64, _STRING, _BINARY, _STRINGS_TYPE, _TRANSLATED = 4, 5, 6, 7, 8, 9
_WIDTHS = {_CHAR: (1, "B"), _INT8: (1, "B"), _INT16: (2, "H"), _INT32: (4, "I"), _INT64: (8, "Q")}
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

    @property
    def evr(self) -> str:
        """Epoch, version and release as one text; an epoch of 0 is left out."""
        release = f"{self.version}-{self.release}"
        return f"{self.epoch}:{release}" if self.epoch else release


class Tags:
    """Everything that a header holds, by tag; a value is taken out when it is asked for."""

    def __init__(self, blob: bytes, where: str) -> None:
        if len(blob) < 8:
            raise Malformed(where=where, why="its header is cut off")
        entries, stored = struct.unpack_from(">II", blob)
        if not 0 < entries <= TAGS_LIMIT or stored > HEADER_LIMIT:
            raise Malformed(where=where, why="its header states an impossible size")
        begin = 8 + 16 * entries
        if len(blob) < begin + stored:
            raise Malformed(where=where, why="its header is shorter than it says")
        self._where = where
        self._store = bytes(blob[begin : begin + stored])
        self._entries: dict[int, tuple[int, int, int]] = {}
        for tag, kind, offset, count in _ENTRY.iter_unpack(blob[8:begin]):
            self._entries.setdefault(tag, (kind, offset, count))

    def __contains__(self, tag: int) -> bool:
        return tag in self._entries

    def word(self, tag: int, name: str) -> str:
        """One printable word without blanks; empty where the header does not have it.

        Raises: Malformed.
        """
        if tag not in self._entries:
            return ""
        kind, offset, _ = self._entries[tag]
        where = f"{self._where}, {name}"
        if kind != _STRING or not 0 <= offset < len(self._store):
            raise Malformed(where=where, why="it is no text inside of the header")
        found, end, _ = self._store[offset : offset + TEXT_LIMIT].partition(b"\0")
        text = found.decode(errors="replace")
        if not end or not text.isprintable() or " " in text or "\ufffd" in text:
            raise Malformed(where=where, why="it is not one printable word")
        return text

    def texts(self, tag: int) -> list[str]:
        """The texts under a tag, whether it holds one or many; bytes that are not UTF-8 stand as
        surrogate escapes.

        Raises: Malformed.
        """
        if tag not in self._entries:
            return []
        kind, offset, count = self._entries[tag]
        if kind not in (_STRING, _STRINGS_TYPE, _TRANSLATED) or not (
            0 <= offset <= len(self._store) and count <= VALUES_LIMIT
        ):
            raise Malformed(where=self._where, why=f"its tag {tag} holds no texts")
        found = self._store[offset:].split(b"\0", count)
        if len(found) <= count:
            raise Malformed(where=self._where, why=f"the texts of its tag {tag} do not end")
        return [one.decode(errors="surrogateescape") for one in found[:count]]

    def numbers(self, tag: int) -> tuple[int, ...]:
        """The numbers of 8 to 64 bits under a tag.

        Raises: Malformed.
        """
        if tag not in self._entries:
            return ()
        kind, offset, count = self._entries[tag]
        width, letter = _WIDTHS.get(kind, (0, ""))
        if not width or not 0 <= offset <= len(self._store) - width * count:
            raise Malformed(where=self._where, why=f"its tag {tag} holds no numbers")
        return struct.unpack_from(f">{count}{letter}", self._store, offset)

    def bytes(self, tag: int) -> bytes:
        """The bytes under a tag; none where the header does not have it.

        Raises: Malformed.
        """
        if tag not in self._entries:
            return b""
        kind, offset, count = self._entries[tag]
        if kind != _BINARY or not 0 <= offset <= len(self._store) - count:
            raise Malformed(where=self._where, why=f"its tag {tag} holds no bytes")
        return self._store[offset : offset + count]

    @property
    def identity(self) -> Header:
        """Which package it is.

        Raises: Malformed when the name, version or release is missing or not a word.
        """
        texts = {tag: self.word(tag, name) for tag, name in _STRINGS.items()}
        for tag in (NAME, VERSION, RELEASE):
            if not texts[tag]:
                raise Malformed(where=self._where, why=f"its header has no {_STRINGS[tag]}")
        return Header(
            name=texts[NAME],
            version=texts[VERSION],
            release=texts[RELEASE],
            epoch=self._epoch(),
            arch=texts[ARCH],
            source_rpm=texts[SOURCE_RPM],
        )

    def _epoch(self) -> int:
        if EPOCH not in self._entries:
            return 0
        kind, offset, count = self._entries[EPOCH]
        if kind != _INT32 or count != 1 or not 0 <= offset <= len(self._store) - 4:
            raise Malformed(where=self._where, why="its epoch is no number inside of the header")
        return int.from_bytes(self._store[offset : offset + 4], "big")


def read_header(blob: bytes, where: str) -> Header:
    """The identity that a header states.

    Raises: Malformed when an index or a text lies outside of the header, or the name is missing.
    """
    return Tags(blob, where).identity
