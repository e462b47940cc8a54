"""What an upgrade keeps back once all that can be had together is marked.

Where nothing may be removed, apt takes back one change after another (it says "Keeping package",
with Debug::pkgProblemResolver, apt.conf(5)): those that lack something they need, those that would
lose a recommended package, and those that would take from an unchanged one what it needs. What is
taken back is not tried again, so that ends; at the worst with the image as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import Any

from regild.plan.debian.choice import CONFLICTS, REQUIRES, Relations
from regild.plan.debian.guest import Guest
from regild.plan.debian.walk import turn_of
from regild.plan.debian.weight import goal_of, weights

Loses = Callable[[Any, AbstractSet[int]], bool]
"""Whether a changed version lacks something recommended that must not be missing."""


def kept_back(
    guest: Guest, relations: Relations, ids: frozenset[int], loses: Loses
) -> frozenset[int]:
    """The versions that stay of a set which an image could end with."""
    now = {nameid: one.now.id for nameid, one in guest.packages.items()}
    old = frozenset(now.values())
    while bad := set(_to_take_back(relations, ids, old, loses)):
        ids -= bad
        # The installed version of what was taken back is there again.
        titles = {relations.version(one).nameid for one in ids}
        ids |= {identity for nameid, identity in now.items() if nameid not in titles}
    return ids


def _asked(relations: Relations, relation: int, old: frozenset[int]) -> Iterator[int]:
    """The packages whose installed versions satisfy a relation, as apt comes upon them."""
    for alternative in relations.alternatives(relation):
        named = relations.named(alternative)
        found = [one.nameid for one in relations.providers(alternative) if one.id in old]
        yield from (one for one in found if one == named)
        yield from (one for one in reversed(found) if one != named)


def _to_take_back(
    relations: Relations, ids: frozenset[int], old: frozenset[int], loses: Loses
) -> Iterator[int]:
    """The changed versions that cannot stay among the others."""
    changed = ids - old
    gone = {relations.version(one).nameid: one for one in changed}
    for identity in sorted(ids):
        one = relations.version(identity)
        unmet = [each for each in relations.of(one, REQUIRES) if not relations.is_met(each, ids)]
        if identity in changed:
            if unmet or loses(one, ids):
                yield identity
        else:
            for relation in unmet:
                yield from islice(filter(None, map(gone.get, _asked(relations, relation, old))), 1)
        for relation in relations.of(one, CONFLICTS):
            others = (relations.ids(relation) & ids) - {identity}
            yield from ({identity} & changed or others & changed) if others else ()


class Keeping:
    """What an upgrade ends with of what it has marked: the weightiest first is looked at, and where
    something is taken back, all are looked at anew."""

    def __init__(
        self,
        guest: Guest,
        relations: Relations,
        ids: Iterable[int],
        loses: Loses,
        refused: AbstractSet[int] = frozenset(),
    ) -> None:
        self.guest, self.relations, self.loses = guest, relations, loses
        self.ids = set(ids)
        self.now = {nameid: one.now.id for nameid, one in guest.packages.items()}
        self.at = {relations.version(one).nameid: one for one in self.ids}
        goal = goal_of(guest, relations, self.at)
        weight = weights(guest, relations, goal, frozenset(), refused)
        self.order = sorted(self.at, key=lambda nameid: (-weight[nameid], self._turn(nameid)))

    def _turn(self, nameid: int) -> tuple[int, str, int]:
        return turn_of(self.relations.version(self.at[nameid]))

    def kept(self) -> frozenset[int]:
        """The versions that the image ends with."""
        for _ in range(len(self.order)):
            if not any(map(self._visit, self.order)):
                break
        return frozenset(self.ids)

    def _visit(self, nameid: int) -> bool:
        """One package's turn; whether it is well after it was not."""
        if not self._is_bad(nameid):
            return False
        self._keep(nameid)
        if not self._is_bad(nameid):
            return True
        for relation in self._failing(self.at[nameid]):
            for other in self._in_turn(relation):
                self._keep(other)
                if not self._is_bad(nameid):
                    return True
        return False

    def _keep(self, nameid: int) -> None:
        self.ids.discard(self.at.pop(nameid, 0))
        if (identity := self.now.get(nameid)) is not None:
            self.at[nameid] = identity
            self.ids.add(identity)

    def _is_bad(self, nameid: int) -> bool:
        """Whether a package lacks something it needs, excludes something, or lacks a recommended
        one where it lacked none."""
        if (identity := self.at.get(nameid)) is None:
            return False
        if next(self._failing(identity), None) is not None:
            return True
        return self.loses(self.relations.version(identity), self.ids)

    def _failing(self, identity: int) -> Iterator[int]:
        one = self.relations.version(identity)
        for relation in self.relations.of(one, REQUIRES):
            if not self.relations.is_met(relation, self.ids):
                yield relation
        for relation in self.relations.of(one, CONFLICTS):
            if (self.relations.ids(relation) & self.ids) - {identity}:
                yield relation

    def _in_turn(self, relation: int) -> Iterator[int]:
        """The installed packages any version of which satisfies a relation, as apt comes upon
        them."""
        for alternative in self.relations.alternatives(relation):
            named = self.relations.named(alternative)
            found = [one.nameid for one in self.relations.providers(alternative)]
            order = [*(one for one in found if one == named), *reversed(found)]
            yield from (one for one in dict.fromkeys(order) if one in self.now)
