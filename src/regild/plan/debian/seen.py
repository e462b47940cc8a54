"""What is installed in the images of one suite, kept in the pool from one image to the next, and
everything that was looked up for it.

Images of one suite are much alike: most stanzas of dpkg's status are the same in all of them. Each
is read once and stays a solvable of the pool, so an image is a choice among what is there, and
libsolv need not be told of it anew. What provides a relation is looked up once for all images too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from regild.errors import TooLarge
from regild.plan.debian.guest import STATUS, is_held, is_there
from regild.plan.debian.loading import (
    STANZA_LIMIT,
    Facts,
    add_packages,
    fields_of,
    read_facts,
)
from regild.plan.debian.relations import parts_of
from regild.plan.debian.shelf import Shelf

STANZAS_LIMIT = 10_000
"""Stanzas that are kept; at this number all of them are forgotten."""


class Stanza(NamedTuple):
    """One stanza of dpkg's status."""

    solvable: Any
    id: int
    nameid: int
    title: str
    facts: Facts
    hold: bool


class Seen:
    """The stanzas of all images so far; made by `seen_for`."""

    def __init__(self, shelf: Shelf) -> None:
        import solv

        self.shelf, self._provides = shelf, solv.SOLVABLE_PROVIDES
        self._followed = (solv.SOLVABLE_REQUIRES, solv.SOLVABLE_RECOMMENDS)
        self._repo = shelf.pool.add_repo("seen")
        self._stanzas: dict[str, Stanza | None] = {}
        self._solvables: dict[int, Any] = {}
        self._relations: dict[tuple[int, str], tuple[int, ...]] = {}
        self._facts: dict[int, Facts] = {}
        self._ids: dict[int, set[int]] = {}
        self._names: dict[int, frozenset[str]] = {}
        self._asked: dict[int, tuple[str, ...]] = {}
        """The names in a relation."""
        self._by_name: dict[str, list[int]] = {}
        """The relations that were looked up, by the names in them."""
        self._providing: dict[str, list[Any]] = {}
        """The solvables of stanzas by what they provide."""

    def stanza(self, text: str) -> Stanza | None:
        """A stanza of dpkg's status; None where nothing of its package is there.

        Raises: Malformed, TooLarge.
        """
        if text not in self._stanzas:
            self._stanzas[text] = self._read(text)
        return self._stanzas[text]

    def is_full(self) -> bool:
        """Whether no more should be kept."""
        return len(self._stanzas) >= STANZAS_LIMIT

    def forget(self) -> None:
        """Take all of it out of the pool."""
        self._repo.free(True)
        self.shelf.install(None)
        self.shelf.seen_ids.clear()

    def _read(self, text: str) -> Stanza | None:
        if len(text) > STANZA_LIMIT:
            raise TooLarge(where=STATUS, why="one of its entries does not end")
        fields = fields_of(text)
        if not (fields and is_there(fields)):
            return None
        ((one, facts),) = add_packages(self._repo, [fields], self.shelf.words, STATUS, every=True)
        self.shelf.seen_ids.add(one.id)
        for name in {provided.partition(" ")[0] for provided in self._provided(one)}:
            self._providing.setdefault(name, []).append(one)
            for relation in self._by_name.get(name, ()):
                if one.matchesdep(self._provides, relation):
                    self._ids[relation].add(one.id)
        return Stanza(one, one.id, one.nameid, one.name, facts, is_held(fields))

    def _provided(self, one: Any) -> Iterable[str]:
        return map(str, one.lookup_deparray(self._provides))

    def ids(self, relation: int) -> set[int]:
        """The versions on offer, and of any image, that provide a relation."""
        found = self._ids.get(relation)
        if found is None:
            found = self._ids[relation] = self._look_up(relation)
        return found

    def _look_up(self, relation: int) -> set[int]:
        shelf = self.shelf
        shelf.clean()
        found = {int(one.id) for one in shelf.pool.whatprovides(relation) if one.id < shelf.end}
        for name in {*self._names_in(relation)}:
            self._by_name.setdefault(name, []).append(relation)
            for one in self._providing.get(name, ()):
                if one.matchesdep(self._provides, relation):
                    found.add(one.id)
        return found

    def names(self, solvable: Any) -> frozenset[str]:
        """The names that a version has, needs and recommends, without architectures."""
        found = self._names.get(solvable.id)
        if found is None:
            relations = (one.id for key in self._followed for one in solvable.lookup_deparray(key))
            asked = (name for one in relations for name in self._names_in(one))
            found = frozenset(
                name.partition(":")[0]
                for name in (solvable.name, *asked)
                if not name.startswith("virt(")
            )
            self._names[solvable.id] = found
        return found

    def _names_in(self, relation: int) -> tuple[str, ...]:
        found = self._asked.get(relation)
        if found is None:
            parts = parts_of(self.shelf.pool.dep2str(relation))
            found = self._asked[relation] = tuple(part.partition(" ")[0] for part in parts)
        return found

    def solvable(self, identity: int) -> Any:
        """A solvable by its number."""
        found = self._solvables.get(identity)
        if found is None:
            found = self._solvables[identity] = self.shelf.pool.id2solvable(identity)
        return found

    def relations(self, solvable: Any, kind: str, key: int) -> tuple[int, ...]:
        """The relations of one kind that a version has."""
        place = (solvable.id, kind)
        found = self._relations.get(place)
        if found is None:
            found = tuple(one.id for one in solvable.lookup_deparray(key))
            self._relations[place] = found
        return found

    def facts(self, solvable: Any) -> Facts:
        """What is said of a version."""
        found = self._facts.get(solvable.id)
        if found is None:
            found = self._facts[solvable.id] = read_facts(solvable.vendor)
        return found


def seen_for(shelf: Shelf) -> Seen:
    """What was installed in the images that were planned from a shelf."""
    if shelf.seen is not None and shelf.seen.is_full():
        shelf.seen.forget()
        shelf.seen = None
    if shelf.seen is None:
        shelf.seen = Seen(shelf)
    found: Seen = shelf.seen
    return found
