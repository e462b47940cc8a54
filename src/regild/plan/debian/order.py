"""In which order a package on offer states what it needs.

libsolv's kept form sorts relations. Where a plan depends on which of them is looked at first, the
index itself is asked; that is only where something stands in the way of a full upgrade.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from regild.plan.debian.choice import REQUIRES, Relations
from regild.plan.debian.shelf import Shelf


class Ordered:
    """The requirements of versions, in the order in which they are stated."""

    def __init__(self, relations: Relations, shelf: Shelf) -> None:
        self.relations, self.shelf = relations, shelf
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
        index, facts = self.shelf.stated[place], self.relations.facts(one)
        name = one.name.partition(":")[0]
        for _, fields in index.entries(name):
            if fields.get("package", "").lower() == name and index.facts_of(fields) == facts:
                for field in ("pre-depends", "depends"):
                    for clause in filter(str.strip, fields.get(field, "").split(",")):
                        if wanted := self.shelf.words.wanted(clause, facts.arch):
                            yield wanted
                return
