"""Where an index states each name, found without reading the rest of it.

Of bookworm's 50 MB only the lines `Package:` and `Provides:` are looked at, which takes 0.2 s; to
read all of its entries takes 4.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

from regild.errors import TooLarge
from regild.model.release import IndexFile
from regild.plan.debian.loading import (
    ITSELF,
    STANZA_LIMIT,
    STANZAS_LIMIT,
    Facts,
    Fields,
    facts_of,
    fields_of,
)

LINE = re.compile(rb"\n[Pp](?i:ackage|rovides):((?:.*\n[ \t])*.*)")
"""With the lines that go on with it (deb822(5))."""
ESSENTIAL = re.compile(rb"\n[Ee](?i:ssential):[ \t]*yes")
ESSENTIALS_LIMIT = 1000
"""Debian has 22."""
PROVIDED = re.compile(rb"(?:^|,)\s*([a-zA-Z0-9][a-zA-Z0-9+.-]*)")
ASKED = re.compile(r"(?:^|[,|])\s*([a-zA-Z0-9][a-zA-Z0-9+.-]*)")
FOLLOWED = ("pre-depends", "depends", "recommends")


class Stated:
    """The entries of one index, by the names that they have and provide."""

    def __init__(self, index: IndexFile) -> None:
        self._where, self._text = index.where, _mapped(Path(index.path))
        self._read: dict[int, tuple[Fields, int]] = {}
        """The entries that were asked for, and where each ends."""

    def entries(self, name: str) -> Iterator[tuple[int, Fields]]:
        """The entries that have or provide a name: where each begins, and the fields that decide.

        Raises: TooLarge.
        """
        end = 0
        for line in self._lines.get(name.encode(), ()):
            if line < end:  # the entry that came last says it again
                continue
            begin = self._begin(line)
            if begin not in self._read:
                self._read[begin] = self._fields(begin, line)
            fields, end = self._read[begin]
            yield begin, fields

    def facts_of(self, fields: Fields) -> Facts:
        """What an entry says of its version.

        Raises: Malformed.
        """
        return facts_of(fields, self._where)[1]

    def at(self, begin: int) -> Fields:
        """An entry that was found."""
        return self._read[begin][0]

    @cached_property
    def essential(self) -> frozenset[str]:
        """The names of what is Essential.

        Raises: TooLarge.
        """
        found = {ITSELF} if next(self.entries(ITSELF), None) else set()
        for count, match in enumerate(ESSENTIAL.finditer(self._text)):
            if count >= ESSENTIALS_LIMIT:
                why = f"it says of more than {ESSENTIALS_LIMIT} packages that they are essential"
                raise TooLarge(where=self._where, why=why)
            line = match.start()
            fields, _ = self._fields(self._begin(line), line)
            found.add(fields.get("package", "").lower())
        return frozenset(found)

    @cached_property
    def _lines(self) -> dict[bytes, list[int]]:
        """Where the lines are that state a name."""
        found: dict[bytes, list[int]] = {}
        first = LINE.match(b"\n" + self._text[:STANZA_LIMIT])
        for count, match in enumerate(LINE.finditer(self._text)):
            if count > 2 * STANZAS_LIMIT:
                raise TooLarge(where=self._where, why=f"it has over {STANZAS_LIMIT} packages")
            for name in PROVIDED.findall(match[1]):
                found.setdefault(name, []).append(match.start())
                if (lower := name.lower()) != name:
                    found.setdefault(lower, []).append(match.start())
        for name in PROVIDED.findall(first[1]) if first else ():
            for spelt in {name, name.lower()}:
                found.setdefault(spelt, []).insert(0, 0)
        return found

    def _begin(self, line: int) -> int:
        begin = self._text.rfind(b"\n\n", max(0, line - STANZA_LIMIT), line + 1)
        if begin < 0 and line > STANZA_LIMIT:
            raise TooLarge(where=self._where, why="one of its entries does not end")
        return begin + 2 if begin >= 0 else 0

    def _fields(self, begin: int, line: int) -> tuple[Fields, int]:
        end = self._text.find(b"\n\n", line + 1, begin + STANZA_LIMIT)
        if end < 0 and len(self._text) - begin > STANZA_LIMIT:
            raise TooLarge(where=self._where, why="one of its entries does not end")
        end = end if end >= 0 else len(self._text)
        return fields_of(self._text[begin:end].decode(errors="replace")), end


def reach(
    indexes: Sequence[Stated], names: Iterable[str], wanted: frozenset[str], limit: int
) -> tuple[set[str], list[set[int]]] | None:
    """All names that some names lead to by what packages of the wanted architectures need and
    recommend, and where the entries of these packages begin in each index; None where there are
    more names than the limit.

    Raises: TooLarge.
    """
    todo = list(names)
    reached, begins = set(todo), [set[int]() for _ in indexes]
    while todo and len(reached) <= limit:
        name = todo.pop()
        for index, known in zip(indexes, begins, strict=True):
            for begin, fields in index.entries(name):
                if begin not in known and fields.get("architecture") in wanted:
                    known.add(begin)
                    fresh = {*_names_in(fields)} - reached
                    reached |= fresh
                    todo += fresh
    return (reached, begins) if len(reached) <= limit else None


def _names_in(fields: Fields) -> Iterator[str]:
    """The names that an entry has and asks for."""
    yield fields.get("package", "").lower()
    for field in FOLLOWED:
        yield from ASKED.findall(fields.get(field, ""))


def _mapped(path: Path) -> mmap.mmap | bytes:
    """A file's content, which the kernel reads as it is needed."""
    with path.open("rb") as file:
        try:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:  # an empty file cannot be mapped
            return b""
