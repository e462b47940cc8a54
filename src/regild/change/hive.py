"""A registry hive, changed in place: values of one key, no byte more, the file as long as before.

Nothing is added to a hive but the text of a value, and that into a cell that is free. So a file
that holds a hive can be changed where its bytes lie, by whoever knows that, and nothing has to
write its filesystem. What was not written out whole is not touched.
Source: Windows registry file format specification (base block, hive bins, cells, nk, vk, lf, lh,
li, ri); the limits are ours.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from regild.errors import Malformed, RunImpossible

BINS_AT: Final = 4096
"""Where the first hive bin begins; places of cells are counted from here."""
BIN_HEAD: Final = 32
CELL_HEAD: Final = 4
LISTS_MAX: Final = 1000
SUBKEYS_MAX: Final = 50_000
VALUES_MAX: Final = 1000
TEXT_BYTES_MAX: Final = 4096
INLINE: Final = 0x80000000
"""The bit in a value's size that says that its bytes stand where their place would."""
COMPRESSED: Final = 0x20
"""The flag of a key whose name is Latin-1."""
SZ, DWORD = 1, 4

Patch = tuple[int, bytes]
"""Where in the file some bytes become others."""


@dataclass(frozen=True, slots=True)
class Value:
    """A value of a key: where its cell lies in the file, and what it holds."""

    at: int
    kind: int
    size: int
    """As it stands, with `INLINE`."""
    content: bytes

    @property
    def text(self) -> str:
        """What a text holds, up to its end."""
        return self.content.decode("utf-16-le", "replace").partition("\0")[0]

    @property
    def number(self) -> int:
        """What a number holds."""
        return int.from_bytes(self.content[:4], "little")


class HiveFile:
    """The bytes of a hive, and how to find and change what is in it.

    Raises: Malformed when it is none, or was not written out.
    """

    def __init__(self, content: bytes, where: str) -> None:
        self.content, self.where = content, where
        if len(content) < BINS_AT + BIN_HEAD or content[:4] != b"regf":
            raise Malformed(where=where, why="it is no registry hive")
        if _sum_of(content[:508]) != self._word(508):
            raise Malformed(where=where, why="its header's checksum does not fit")
        if self._word(4) != self._word(8):
            why = "it was not written out; its log holds changes that were not read"
            raise Malformed(where=where, why=why)
        self._end = BINS_AT + self._word(40)
        if self._end > len(content):
            raise Malformed(where=where, why="it is cut off")

    def values(self, path: str) -> dict[str, Value] | None:
        """The values of a key by their names in lower case; None where there is no such key.

        Raises: Malformed.
        """
        key = self._key(path)
        return None if key is None else dict(self._values(key))

    def set_number(self, value: Value, number: int) -> tuple[Patch, ...]:
        """What makes a number another one.

        Raises: RunImpossible where the value is none that stands inline.
        """
        if value.kind != DWORD or value.size != INLINE | 4:
            raise RunImpossible(where=self.where, why="a value that is to be a number is none")
        return ((value.at + 8, number.to_bytes(4, "little")),)

    def set_text(self, value: Value, text: str) -> tuple[Patch, ...]:
        """What makes a text another one: over the old one where there is room, else in a cell that
        is free; the old one's cell is then left as it is.

        Raises: RunImpossible where the value is no text, or the hive has no room; Malformed.
        """
        if value.kind != SZ:
            raise RunImpossible(where=self.where, why="a value that is to be a text is none")
        content = (text + "\0").encode("utf-16-le")
        place = self._word(value.at + 8) if not value.size & INLINE else None
        if place is not None and len(content) <= len(self._cell(place)):
            at = BINS_AT + place + CELL_HEAD
            return (value.at + 4, len(content).to_bytes(4, "little")), (at, content)
        at, length = self._free(len(content))
        taken = -(-(len(content) + CELL_HEAD) // 8) * 8
        heads = [(at, struct.pack("<i", -(taken if length > taken else length)))]
        if length > taken:
            heads.append((at + taken, struct.pack("<i", length - taken)))
        stated = struct.pack("<II", len(content), at - BINS_AT)
        return (*heads, (at + CELL_HEAD, content), (value.at + 4, stated))

    def _free(self, needed: int) -> tuple[int, int]:
        """The smallest cell that is free and holds so many bytes: where it lies, and its length."""
        fitting = [
            (length, at) for at, length in self._free_cells() if length >= needed + CELL_HEAD
        ]
        if not fitting:
            why = f"no cell of {needed} bytes is free in it"
            raise RunImpossible(where=self.where, why=why)
        length, at = min(fitting)
        return at, length

    def _free_cells(self) -> Iterator[tuple[int, int]]:
        """Where in the file cells are free, and how long they are."""
        at = BINS_AT
        while at + BIN_HEAD <= self._end and self.content[at : at + 4] == b"hbin":
            length = self._word(at + 8)
            if length % 4096 or not length or at + length > self._end:
                raise Malformed(where=self.where, why="a bin of it reaches over its end")
            cell, end = at + BIN_HEAD, at + length
            while cell < end:
                (size,) = struct.unpack_from("<i", self.content, cell)
                if size % 8 or not size or cell + abs(size) > end:
                    raise Malformed(where=self.where, why="a cell of it reaches over its bin")
                if size > 0:
                    yield cell, size
                cell += abs(size)
            at = end

    def _key(self, path: str) -> int | None:
        """Where a key's cell lies; names are the same in upper and lower case."""
        place = self._word(36)
        for name in path.lower().split("\\"):
            found = (one for one in self._subkeys(place) if self._name_of(one) == name)
            one = next(found, None)
            if one is None:
                return None
            place = one
        return place

    def _subkeys(self, place: int) -> Iterator[int]:
        key = self._cell(place, b"nk", 76)
        count, listed = int.from_bytes(key[20:24], "little"), int.from_bytes(key[28:32], "little")
        if not count:
            return
        lists, seen = [listed], 0
        for _ in range(LISTS_MAX):
            if not lists:
                return
            cell = self._cell(lists.pop(), b"", 4)
            kind, number = cell[:2], int.from_bytes(cell[2:4], "little")
            step = 8 if kind in (b"lf", b"lh") else 4
            if kind not in (b"lf", b"lh", b"li", b"ri") or 4 + step * number > len(cell):
                raise Malformed(where=self.where, why="a list of its keys is damaged")
            rows = [
                int.from_bytes(cell[at : at + 4], "little")
                for at in range(4, 4 + step * number, step)
            ]
            if kind == b"ri":
                lists += rows
                continue
            seen += number
            if seen > min(count, SUBKEYS_MAX):
                raise Malformed(where=self.where, why="it lists more keys than it promises")
            yield from rows
        raise Malformed(where=self.where, why="its lists of keys have no end")

    def _name_of(self, place: int) -> str:
        key = self._cell(place, b"nk", 76)
        flags, length = int.from_bytes(key[2:4], "little"), int.from_bytes(key[72:74], "little")
        return _name(key[76 : 76 + length], bool(flags & COMPRESSED))

    def _values(self, place: int) -> Iterator[tuple[str, Value]]:
        key = self._cell(place, b"nk", 76)
        count, listed = int.from_bytes(key[36:40], "little"), int.from_bytes(key[40:44], "little")
        if not count:
            return
        cell = self._cell(listed, b"", 4 * count) if count <= VALUES_MAX else b""
        if not cell:
            raise Malformed(where=self.where, why=f"a key of it has {count} values")
        for at in range(0, 4 * count, 4):
            yield self._value(int.from_bytes(cell[at : at + 4], "little"))

    def _value(self, place: int) -> tuple[str, Value]:
        cell = self._cell(place, b"vk", 20)
        length, size, at, kind, flags = struct.unpack_from("<HIIIH", cell, 2)
        if size & INLINE:
            content = cell[8:12][: min(size & ~INLINE, 4)]
        elif size > TEXT_BYTES_MAX:
            content = b""  # a larger one is nothing that is looked at here
        else:
            content = self._cell(at, b"", size)[:size]
        value = Value(BINS_AT + place + CELL_HEAD, kind, size, content)
        return _name(cell[20 : 20 + length], bool(flags & 1)), value

    def _cell(self, place: int, mark: bytes = b"", least: int = 0) -> bytes:
        """What a cell that is in use holds."""
        at = BINS_AT + place
        if place % 8 or at + CELL_HEAD > self._end:
            raise Malformed(where=self.where, why="a cell lies outside of it")
        (size,) = struct.unpack_from("<i", self.content, at)
        cell = self.content[at + CELL_HEAD : at - size]
        if size >= 0 or at - size > self._end or len(cell) < least or not cell.startswith(mark):
            raise Malformed(where=self.where, why="a cell of it is not what it should be")
        return cell

    def _word(self, at: int) -> int:
        return int.from_bytes(self.content[at : at + 4], "little")


def patched(content: bytes, patches: Iterable[Patch]) -> bytes:
    """The bytes of a file with patches in it."""
    whole = bytearray(content)
    for at, piece in patches:
        whole[at : at + len(piece)] = piece
    return bytes(whole)


def _name(content: bytes, plain: bool) -> str:
    return content.decode("latin-1" if plain else "utf-16-le", "replace").lower()


def _sum_of(head: bytes) -> int:
    """The checksum of a base block ("Base block": XOR of its words, and two that cannot be)."""
    check = 0
    for (word,) in struct.iter_unpack("<I", head):
        check ^= word
    return {0: 1, 0xFFFFFFFF: 0xFFFFFFFE}.get(check, check)
