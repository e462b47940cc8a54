"""Which candidates are put aside where the wishes of an upgrade exclude each other.

Without removals apt goes through the packages one by one, in the order of a hash of their names;
what a candidate excludes is put aside when its turn comes, whether or not that candidate can be had
in the end, and comes back when a later one needs it. Only that is followed here; what can be had of
the rest is libsolv's to say.
"""

from __future__ import annotations

import contextlib
import heapq
from collections.abc import Iterable, Iterator
from typing import Any

from regild.plan.debian.choice import CONFLICTS, REQUIRES, Relations
from regild.plan.debian.guest import Guest, Installed

PLACES = 196_613
"""Of apt's table of names (apt.conf(5), APT::Cache-HashTableSize)."""
DEPTH_LIMIT = 200


def put_aside(
    guest: Guest, relations: Relations, wishes: Iterable[Installed], locked: frozenset[int]
) -> set[int]:
    """libsolv's ids of the candidates that are out after the walk."""
    possible = [
        one for one in wishes if one.candidate and _can_be(relations, one.candidate.solvable)
    ]
    walk = Walk(guest, relations, possible, locked)
    turns = [turn_of(one.candidate.solvable) for one in possible if one.candidate]
    heapq.heapify(turns)
    while turns:
        *now, identity = heapq.heappop(turns)
        if identity in walk.ids:
            walk.take(relations.version(identity))
        # A new package has its own turn too, if the walk has not passed its place.
        for turn in map(turn_of, walk.fresh):
            if list(turn[:2]) > now:
                heapq.heappush(turns, turn)
        walk.fresh.clear()
    return walk.aside - walk.ids


def lacking(guest: Guest, relations: Relations) -> list[Any]:
    """What is Essential on offer and not installed, in the order of its turns."""
    found = []
    for name in sorted(guest.shelf.essential, key=lambda name: (place_of(name), name)):
        nameid = relations.pool.str2id(name)
        if nameid not in guest.packages:
            providers = relations.providers(nameid)
            found += [one for one in providers if one.nameid == nameid][:1]
    return found


def turn_of(one: Any) -> tuple[int, str, int]:
    """When a version has its turn."""
    return place_of(one.name), one.name, one.id


def _can_be(relations: Relations, one: Any) -> bool:
    """Whether something is on offer for all that a version needs; apt passes over what has not."""
    return all(relations.ids(relation) for relation in relations.of(one, REQUIRES))


def place_of(title: str) -> int:
    """Where apt comes upon a package: the hash of its name by D. J. Bernstein's function."""
    found = 5381
    for sign in title.partition(":")[0].lower().encode():
        found = (33 * found + sign) & 0xFFFFFFFF
    return found % PLACES


class Walk:
    """One way through the wishes, with what is chosen so far."""

    def __init__(
        self,
        guest: Guest,
        relations: Relations,
        wishes: Iterable[Installed],
        locked: frozenset[int],
    ) -> None:
        self.guest, self.relations, self.locked = guest, relations, locked
        chosen = {nameid: one.now.id for nameid, one in guest.packages.items()}
        chosen |= {one.now.solvable.nameid: one.candidate.id for one in wishes if one.candidate}
        self.ids = set(chosen.values())
        self.aside: set[int] = set()
        self.fresh: list[Any] = []
        """New packages that were chosen."""
        self.taking: set[int] = set()
        """The titles of what is just bringing what it needs, which nothing of that may exclude."""

    def take(self, one: Any, depth: int = 0) -> bool:
        """Make room for a version and bring what it needs; whether all of that is there."""
        if not _can_be(self.relations, one):
            self._choose(one, False)
            return False
        unmet = [
            relation
            for relation in self.relations.of(one, REQUIRES)
            if not self.relations.is_met(relation, self.ids)
        ]
        if self._stands_against(one):
            self.ids.discard(one.id)
            return False
        for other in self._excluded(one):
            if not self.guest.is_installed(other):
                self._choose(other, False)
        for other in self._excluded(one):
            if other.nameid in self.locked or self.relations.is_essential(other):
                return False
            self.ids.discard(other.id)
        with self._while_taking(one):
            for relation in unmet:
                if not self.relations.is_met(relation, self.ids) and not self._bring(
                    relation, depth
                ):
                    self._choose(one, False)
                    return False
        return True

    @contextlib.contextmanager
    def _while_taking(self, one: Any) -> Iterator[None]:
        """Keep a version from being excluded by what it brings."""
        already = one.nameid in self.taking
        self.taking.add(one.nameid)
        yield
        if not already:
            self.taking.discard(one.nameid)

    def _stands_against(self, one: Any) -> bool:
        """Whether a version excludes one that it is just being brought for."""
        return any(other.nameid in self.taking for other in self._excluded(one))

    def _bring(self, relation: int, depth: int) -> Any:
        """Choose what apt would for a relation, and give it, or None; what was installed and had to
        go comes back."""
        for nameid in {one.nameid for one in self.relations.providers(relation)}:
            now = self.guest.packages.get(nameid)
            if now and now.candidate is None and now.now.id in self.relations.ids(relation):
                self.ids.add(now.now.id)
                return now.now.solvable
        for choice in self.relations.choices(relation):
            if choice.nameid not in self.locked and depth < DEPTH_LIMIT:
                self._choose(choice, True)
                if self.take(choice, depth + 1):
                    return choice
        return None

    def _excluded(self, one: Any) -> list[Any]:
        """The chosen versions that a version excludes."""
        found: set[int] = set()
        for relation in self.relations.of(one, CONFLICTS):
            found |= self.relations.ids(relation) & self.ids
        others = map(self.relations.version, sorted(found))
        return [other for other in others if other.nameid != one.nameid]

    def _choose(self, one: Any, wanted: bool) -> None:
        """Choose a version, or put it aside for the installed one."""
        now = self.guest.packages.get(one.nameid)
        (self.ids.add if wanted else self.ids.discard)(one.id)
        if not wanted:
            self.aside.add(one.id)
        elif now is None:
            self.fresh.append(one)
        if now is not None:
            (self.ids.discard if wanted else self.ids.add)(now.now.id)
