"""In which order a package on offer states what it needs.

libsolv's kept form sorts relations. Where a plan depends on which of them is looked at first, the
index itself is asked; that is only where something stands in the way of a full upgrade.
"""

from __future__ import annotations

import io
import mmap
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from regild.plan.debian.choice import REQUIRES, Relations
from regild.plan.debian.loading import STANZA_LIMIT, facts_of, read_stanzas
from regild.plan.debian.shelf import Shelf

NAME = re.compile(rb"^Package:[ \t]*(\S+)", re.MULTILINE | re.IGNORECASE)


class Ordered:
    """The requirements of versions, in the order in which they are stated."""

    def __init__(self, relations: Relations, shelf: Shelf) -> None:
        self.relations, self.shelf = relations, shelf
        self._places: dict[int, dict[bytes, list[int]]] = {}
        self._known: dict[int, Sequence[int]] = {}

    def requirements(self, one: Any) -> Sequence[int]:
        """What a version needs, first stated first."""
        found = self._known.get(one.id)
        if found is None:
            found = self.relations.of(one, REQUIRES)
            place = self.shelf.place_of.get(one.repo.id)
            if place is not None and len(found) > 1:
                stated = list(dict.fromkeys(self._stated(one, place)))
                if set(stated) == set(found):
                    found = stated
            self._known[one.id] = found
        return found

    def _stated(self, one: Any, place: int) -> Iterator[int]:
        index, facts = self.shelf.indexes[place], self.relations.facts(one)
        name = one.name.partition(":")[0]
        with (
            Path(index.path).open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text,
        ):
            if place not in self._places:
                self._places[place] = _places(text)
            for begin in self._places[place].get(name.encode(), ()):
                end = text.find(b"\n\n", begin, begin + STANZA_LIMIT)
                stanza = text[begin : end if end >= 0 else begin + STANZA_LIMIT]
                for fields in read_stanzas(io.BytesIO(stanza), index.where):
                    if facts_of(fields, index.where)[1] != facts:
                        continue
                    for field in ("pre-depends", "depends"):
                        for clause in filter(str.strip, fields.get(field, "").split(",")):
                            if wanted := self.shelf.words.wanted(clause, facts.arch):
                                yield wanted
                    return


def _places(text: mmap.mmap) -> dict[bytes, list[int]]:
    """Where the entries of each name begin."""
    found: dict[bytes, list[int]] = {}
    for match in NAME.finditer(text):
        begin = text.rfind(b"\n\n", max(0, match.start() - STANZA_LIMIT), match.start()) + 2
        found.setdefault(match[1], []).append(begin if begin > 1 else 0)
    return found
