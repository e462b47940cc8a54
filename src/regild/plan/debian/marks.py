"""What a full upgrade would like to have, before it is asked what of that holds together.

apt-get(8) dist-upgrade wishes for every candidate, then goes through the installed packages in its
own order (`plan.debian.walk`): each brings what it needs and what it newly recommends, and sends
away what it excludes. Then comes what is Essential on offer and missing. What was sent away comes
back at its own turn, so what is left then may not fit together; `plan.debian.rounds` mends that.
"""

from __future__ import annotations

import copy
import heapq
from collections.abc import Callable, Iterable
from typing import Any

from regild.plan.debian.automatic import Automatic
from regild.plan.debian.bringing import looked_at
from regild.plan.debian.choice import CONFLICTS, Relations
from regild.plan.debian.copies import is_behind
from regild.plan.debian.guest import Guest, Installed
from regild.plan.debian.order import Ordered
from regild.plan.debian.walk import DEPTH_LIMIT, Walk, place_of, turn_of

Counts = Callable[[Any, int], bool]
"""Whether a recommendation of a version counts."""


class Marks(Walk):
    """The wishes of a full upgrade."""

    def __init__(
        self,
        guest: Guest,
        relations: Relations,
        wishes: Iterable[Installed],
        locked: frozenset[int],
        counts: Counts,
        automatic: Automatic,
        lacking: Iterable[Any] = (),
    ) -> None:
        super().__init__(guest, relations, wishes, locked)
        self.counts, self.automatic = counts, automatic.again()
        self.ordered = Ordered(relations, guest.shelf)
        self.goal = {nameid: one.now.id for nameid, one in guest.packages.items()}
        """The version that each installed package should have, as far as is known."""
        self.goal |= {one.now.solvable.nameid: one.candidate.id for one in wishes if one.candidate}
        self.refused: set[int] = set()
        """The titles of installed packages whose candidates do not count any more."""
        self._go(lacking)

    def _go(self, lacking: Iterable[Any]) -> None:
        """Each installed package's turn."""
        packages = self.guest.packages.values()
        turns = sorted(packages, key=lambda one: (place_of(one.title), one.title))
        for one in turns:
            nameid = one.now.solvable.nameid
            if self._return(one) and not self._is_without(one) and nameid not in self.locked:
                self.take(self.relations.version(self.goal[nameid]))
        for one in lacking:
            if one.id not in self.ids:
                self._choose(one, True)
                self.take(one)
        for one in turns:
            self._return(one)

    def again(self) -> Marks:
        """The same wishes, to be mended in another way."""
        found = copy.copy(self)
        found.ids, found.aside, found.goal = set(self.ids), set(self.aside), dict(self.goal)
        found.refused = set(self.refused)
        found.automatic = self.automatic.again()
        found.fresh, found.taking = list(self.fresh), set(self.taking)
        return found

    def _return(self, one: Installed) -> bool:
        """Bring an installed package back where it was sent away; whether it is there."""
        nameid = one.now.solvable.nameid
        if self._is_without(one):
            return one.now.id in self.ids
        self.ids.discard(one.now.id)
        self.ids.add(self.goal[nameid])
        return True

    def _is_without(self, one: Installed) -> bool:
        """Whether no version of an installed package may be had, not even the installed one."""
        return one.is_unwanted and one.now.solvable.nameid not in self.locked

    def take(self, one: Any, depth: int = 0) -> bool:
        """Make room for a version and bring what it needs; whether all of that is there."""
        is_met = self.relations.is_met
        unmet = [each for each in self.ordered.requirements(one) if not is_met(each, self.ids)]
        if not all(map(self._can_come, unmet)):
            self._choose(one, False)
            return False
        weak = [
            each
            for each in self.relations.weak(one)
            if not is_met(each, self.ids) and self.counts(one, each)
        ]
        if self._stands_against(one):
            self.ids.discard(one.id)
            return False
        hands_on = self.automatic.hands_on(one, self.ids)
        gone = self._send_away(one, depth)
        brought = None if gone is None else self._bring_all(one, unmet, weak, depth)
        if brought is None:
            self._choose(one, False)
            return False
        for identity in self.ids.intersection(gone or ()):
            self.automatic.went(identity)
            self.ids.discard(identity)
        if hands_on:
            self.automatic.handed_on(one, brought)
        return True

    def _bring_all(
        self, one: Any, unmet: Iterable[int], weak: Iterable[int], depth: int
    ) -> list[Any] | None:
        """Bring what a version needs and recommends: the new packages chosen for that; None where
        something that it needs cannot be had."""
        brought, is_met = [], self.relations.is_met
        with self._while_taking(one):
            for relation in unmet:
                if not is_met(relation, self.ids):
                    if (choice := self._bring(relation, depth)) is None:
                        return None
                    brought.append(choice)
            for relation in weak:
                if not is_met(relation, self.ids):
                    brought.append(self._bring(relation, depth))
        packages = self.guest.packages
        return [choice for choice in brought if choice and choice.nameid not in packages]

    def _send_away(self, one: Any, depth: int) -> list[int] | None:
        """Take back what a version excludes to what is installed, and give what of that has to go
        too; None where not all of it may."""
        for other in self._excluded(one):
            before = self.guest.packages.get(other.nameid)
            bound = other.nameid in self.locked or self.relations.is_essential(other)
            is_in_the_way = before is not None and self._excludes(one, before.now.id)
            if before and bound and is_in_the_way and not self._next(one, before):
                self.ids.discard(other.id)
                self.ids.add(before.now.id)
                return None
        for other in self._excluded(one):
            before = self.guest.packages.get(other.nameid)
            if before is None or other.id != before.now.id:
                self.ids.discard(other.id)
            if before is not None:
                self.ids.add(before.now.id)
        gone = self._excluded(one)
        with self._while_taking(one):
            stay = [other for other in gone if not self._moves_on(one, other, depth)]
        left = [other for other in stay if other.id in self.ids]
        if any(one.nameid in self.locked or self.relations.is_essential(one) for one in left):
            return None
        return [other.id for other in left]

    def _next(self, one: Any, before: Installed) -> Any:
        """An installed package's next version, where a version does not exclude that; or None."""
        nameid, after = before.now.solvable.nameid, before.candidate
        if after is None or nameid in self.refused or self._excludes(one, after.id):
            return None
        return after.solvable

    def _moves_on(self, one: Any, other: Any, depth: int) -> bool:
        """Bring the next version of what is installed and excluded; whether it came."""
        before = self.guest.packages[other.nameid]
        after = self._next(one, before)
        if after is None or other.nameid in self.locked or after.id != self.goal[other.nameid]:
            return False
        self._return(before)
        return after.id in self.ids and depth < DEPTH_LIMIT and self.take(after, depth + 1)

    def _excludes(self, one: Any, identity: int) -> bool:
        relations = self.relations.of(one, CONFLICTS)
        return any(identity in self.relations.ids(each) for each in relations)

    def _can_come(self, relation: int) -> bool:
        """Whether anything that may still be chosen satisfies a relation; of new packages apt does
        not notice here that they were put aside."""
        packages = self.guest.packages
        return any(
            one.nameid not in packages or self._is_open(one)
            for one in self.relations.providers(relation)
        )

    def _is_open(self, one: Any) -> bool:
        """Whether a version is the one that its package should have."""
        before = self.guest.packages.get(one.nameid)
        if before is None:
            return one.id not in self.aside
        if self._is_without(before):
            return False
        if one.nameid in self.locked:
            return bool(one.id == (before.candidate or before.now).id)
        return bool(one.id == self.goal[one.nameid])

    def _bring(self, relation: int, depth: int) -> Any:
        """Choose what apt would for a relation, and give it, or None."""
        packages, providers = self.guest.packages, self.relations.providers(relation)
        back = [one for one in providers if one.nameid in packages and self._is_open(one)]
        for one in back:
            if one.nameid not in self.locked and self._come_back(one, depth):
                return one
        for choice in self.relations.choices(relation):
            if choice.nameid in self.locked or not self._is_open(choice) or depth >= DEPTH_LIMIT:
                continue
            if is_behind(self.guest, choice.name, self.relations.facts(choice)):
                continue
            self._choose(choice, True)
            if self.take(choice, depth + 1):
                return choice
        return None

    def _come_back(self, one: Any, depth: int) -> bool:
        """Bring an installed package back that was sent away; whether it is there, and a version
        that is not the installed one with all that it needs."""
        now = self.guest.packages[one.nameid].now.id
        unmet = [each for each in self.ordered.requirements(one) if not self._is_met(each)]
        if one.id != now and not all(map(self._can_come, unmet)):
            self._refuse(one.nameid)
            return False
        self.ids.discard(now)
        self.ids.add(one.id)
        return one.id == now or depth >= DEPTH_LIMIT or self.take(one, depth + 1)

    def _refuse(self, nameid: int) -> None:
        self.goal[nameid] = self.guest.packages[nameid].now.id
        self.refused.add(nameid)

    def _is_met(self, relation: int) -> bool:
        return self.relations.is_met(relation, self.ids)

    def _choose(self, one: Any, wanted: bool) -> None:
        super()._choose(one, wanted)
        if wanted and one.nameid not in self.guest.packages:
            self.automatic.came(one.nameid)
        if not wanted and one.nameid in self.guest.packages:
            self._refuse(one.nameid)


class UpgradeMarks(Marks):
    """The wishes of an upgrade that removes nothing: only what is upgraded or new has a turn, and
    what went is there again in the end, as it is installed."""

    def _go(self, lacking: Iterable[Any]) -> None:
        old = {one.now.id for one in self.guest.packages.values()}
        turns = [turn_of(self.relations.version(one)) for one in self.ids - old]
        heapq.heapify(turns)
        while turns:
            *now, identity = heapq.heappop(turns)
            if identity in self.ids:
                self.take(self.relations.version(identity))
            for turn in map(turn_of, self.fresh):
                if list(turn[:2]) > now:
                    heapq.heappush(turns, turn)
            self.fresh.clear()
        titles = {self.relations.version(one).nameid for one in self.ids}
        packages = self.guest.packages.items()
        self.ids |= {one.now.id for nameid, one in packages if nameid not in titles}
        losing = looked_at(self.guest, self.relations, frozenset(self.ids), self.locked)
        for one in list(losing):
            self.take(one)
