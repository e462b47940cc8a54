"""XML from strangers, one element at a time: no DTD, no entities, bounded depth and memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import IO
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from regild.errors import Malformed, TooLarge

PIECE_BYTES = 1 << 18
DEPTH_LIMIT = 64
PARTS_LIMIT = 200_000
"""Elements below one that is wanted; the largest update of a distribution has some thousands."""
TEXT_LIMIT = 16 << 20
"""Letters below one that is wanted."""


def read_root(head: bytes) -> str:
    """The local name of the root element, if it is among some first bytes of a file."""
    found: list[str] = []
    parser = expat.ParserCreate(namespace_separator="\x1f")

    def begin(name: str, attributes: dict[str, str]) -> None:
        found.append(name.rpartition("\x1f")[2])

    parser.StartElementHandler = begin
    # What is cut off or wrong after the root's tag is found when it is read.
    with contextlib.suppress(expat.ExpatError):
        parser.Parse(head, False)
    return found[0] if found else ""


def read_elements(file: IO[bytes], wanted: frozenset[str], where: str) -> Iterator[Element]:
    """Every outermost element of the wanted local names, whole, without namespaces.

    Raises: Malformed, TooLarge.
    """
    gatherer = _Gatherer(wanted, where)
    try:
        while piece := file.read(PIECE_BYTES):
            gatherer.parser.Parse(piece, False)
            yield from gatherer.take()
        gatherer.parser.Parse(b"", True)
        yield from gatherer.take()
    except expat.ExpatError as error:
        raise Malformed(where=where, why=f"it is not well-formed XML: {error}") from error


class _Gatherer:
    """Builds the wanted elements from expat's events and forgets everything else."""

    def __init__(self, wanted: frozenset[str], where: str) -> None:
        self._wanted, self._where = wanted, where
        self._depth = self._parts = self._letters = 0
        self._within = 0
        """Depth of the wanted element that is open; 0 for none."""
        self._builder = TreeBuilder()
        self._ready: list[Element] = []
        self.parser = expat.ParserCreate(namespace_separator="\x1f")
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._begin
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self.parser.StartDoctypeDeclHandler = self._refuse

    def take(self) -> list[Element]:
        """The elements that are whole by now."""
        ready, self._ready = self._ready, []
        return ready

    def _refuse(self, *told: object) -> None:
        raise Malformed(where=self._where, why="it declares a document type, which is not read")

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > DEPTH_LIMIT:
            raise TooLarge(where=self._where, why=f"it nests deeper than {DEPTH_LIMIT}")
        local = name.rpartition("\x1f")[2]
        if not self._within and local in self._wanted:
            self._within, self._parts, self._letters = self._depth, 0, 0
            self._builder = TreeBuilder()
        if self._within:
            self._count(sum(map(len, attributes.values())))
            plain = {key.rpartition("\x1f")[2]: value for key, value in attributes.items()}
            self._builder.start(local, plain)

    def _count(self, letters: int) -> None:
        self._parts += 1
        self._letters += letters
        if self._parts > PARTS_LIMIT or self._letters > TEXT_LIMIT:
            raise TooLarge(where=self._where, why="one of its entries is too large")

    def _end(self, name: str) -> None:
        if self._within:
            self._builder.end(name.rpartition("\x1f")[2])
            if self._within == self._depth:
                self._ready.append(self._builder.close())
                self._within = 0
        self._depth -= 1

    def _text(self, text: str) -> None:
        if self._within:
            self._count(len(text))
            self._builder.data(text)
