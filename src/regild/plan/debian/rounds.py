"""How a full upgrade mends what does not fit together: round after round, the weightiest first.

Where a package lacks something it needs, or excludes something that is there, one of the two has to
give way: the lighter one. It goes back to what is installed if that is enough; else it is removed.
A package of more weight takes others back to what is installed. From the third round on a loser's
weight rises to that of what it lost to, so that the rounds end. What decides is what
Debug::pkgProblemResolver (apt.conf(5)) shows of apt; the outcome is tried for whether it holds.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from regild.plan.debian.choice import CONFLICTS, REQUIRES, Relations
from regild.plan.debian.guest import Guest
from regild.plan.debian.marks import Marks
from regild.plan.debian.walk import place_of
from regild.plan.debian.weight import goal_of, weights

ROUNDS = 20
RISING = 2
"""The first round in which a loser's weight rises."""
GONE = 0
"""In place of a version: none."""


@dataclass(slots=True)
class Turn:
    """What was found out about one package in one round."""

    giving_way: list[tuple[int, int, bool]] = field(default_factory=list)
    """What has to give way to it: package, relation, and whether that is one that excludes."""
    is_done: bool = False
    """The package itself gave way."""


class Rounds:
    """Mends what was wished for until it holds, or until nothing moves any more."""

    def __init__(
        self, guest: Guest, relations: Relations, marks: Marks, backwards: bool = False
    ) -> None:
        self.guest, self.relations, self.locked = guest, relations, marks.locked
        self.marks = marks.again()
        self.automatic = self.marks.automatic
        self.now = {nameid: one.now.id for nameid, one in guest.packages.items()}
        self.old = frozenset(self.now.values())
        self.ids = self.marks.ids
        self.backwards = backwards
        """Whether packages of one weight are visited from the end of apt's table of names."""
        self.at = dict.fromkeys(self.now, GONE)
        self.at |= {relations.version(one).nameid: one for one in self.ids}
        """Which version each package would have."""
        goal = goal_of(guest, relations, self.at)
        self.weight = weights(guest, relations, goal, self.locked, marks.refused)
        self._first = frozenset(nameid for nameid, one in self.at.items() if one)
        self.untried = {
            nameid for nameid, one in self.at.items() if one and self.now.get(nameid, one) != one
        }
        """Packages whose upgrade was wished for and may be tried once more."""
        self._groups: dict[int, tuple[list[int], list[int]]] = {}
        self._order = sorted(map(self._turn, self.at))
        self.count = 0

    def mended(self) -> frozenset[int]:
        """The versions that the image ends with."""
        for self.count in range(ROUNDS):
            if not self._round():
                break
        for nameid, one in self.at.items():
            # What came only here is for others, whatever brought it.
            if one and nameid not in self.now and nameid not in self._first:
                self.automatic.came(nameid)
        return frozenset(self.ids)

    def _round(self) -> bool:
        """Each package has its turn, whatever the ones before it changed; whether anything did."""
        changed, place = False, 0
        while place < len(self._order):
            turn = self._order[place]
            changed |= self._visit(turn[-1])
            # What was newly tried meanwhile has its turn too, if that is not over.
            place = bisect_right(self._order, turn)
        return changed

    def _turn(self, nameid: int) -> tuple[int, int, str, int]:
        name = self._name(nameid)
        place = -place_of(name) if self.backwards else place_of(name)
        return -self.weight.get(nameid, 0), place, name, nameid

    def _name(self, nameid: int) -> str:
        return str(self.relations.pool.id2str(nameid))

    def _set(self, nameid: int, identity: int) -> None:
        self.ids.discard(self.at.get(nameid, GONE))
        self._note(nameid, identity)
        if identity:
            self.ids.add(identity)

    def _note(self, nameid: int, identity: int) -> None:
        if nameid not in self.at:
            insort(self._order, self._turn(nameid))
        self.at[nameid] = identity

    def _keep(self, nameid: int) -> None:
        if nameid not in self.locked:
            self._set(nameid, self.now.get(nameid, GONE))

    def _remove(self, nameid: int) -> None:
        identity, is_new = self.at.get(nameid, GONE), nameid not in self.now
        if nameid in self.locked or (is_new and identity and not self.automatic.is_auto(nameid)):
            return
        if identity:
            self.automatic.went(identity)
        self._set(nameid, GONE)

    def _relations(self, identity: int) -> tuple[list[int], list[int]]:
        found = self._groups.get(identity)
        if found is None:
            one = self.relations.version(identity)
            found = self._groups[identity] = (
                list(self.relations.of(one, REQUIRES)),
                list(self.relations.of(one, CONFLICTS)),
            )
        return found

    def _holds(self, identity: int, relation: int, excludes: bool) -> bool:
        if excludes:
            return not self._in_the_way(identity, relation)
        return self.relations.is_met(relation, self.ids)

    def _in_the_way(self, identity: int, relation: int) -> list[int]:
        found = (self.relations.ids(relation) & self.ids) - {identity}
        own = self.relations.version(identity).nameid
        return sorted(one for one in found if self.relations.version(one).nameid != own)

    def _failing(self, identity: int) -> Iterator[tuple[int, bool]]:
        """What does not hold of a version; asked for while it is being mended."""
        for excludes, relations in zip((False, True), self._relations(identity), strict=True):
            for relation in relations:
                if not self._holds(identity, relation, excludes):
                    yield relation, excludes

    def _is_broken(self, nameid: int) -> bool:
        identity = self.at.get(nameid, GONE)
        return identity != GONE and next(self._failing(identity), None) is not None

    def _broken(self) -> int:
        return sum(map(self._is_broken, list(self.at)))

    def _visit(self, nameid: int) -> bool:
        """One package's turn; whether anything changed."""
        self._try_again(nameid)
        if not self._is_broken(nameid):
            return False
        identity = self.at[nameid]
        turn, changed = Turn(), False
        for relation, excludes in [*self._all(identity)]:
            if self._holds(identity, relation, excludes):
                continue
            if excludes:
                changed |= self._against(nameid, relation, turn)
            else:
                changed |= self._without(nameid, relation, turn)
            if turn.is_done:
                break
        if self.at[nameid]:
            changed |= self._give_way(nameid, turn)
        return changed

    def _all(self, identity: int) -> Iterator[tuple[int, bool]]:
        for excludes, relations in zip((False, True), self._relations(identity), strict=True):
            yield from ((relation, excludes) for relation in relations)

    def _try_again(self, nameid: int) -> None:
        """Take an upgrade that was given up once more, if that breaks nothing."""
        goal = self.marks.goal.get(nameid, GONE)
        at = self.at[nameid]
        if nameid not in self.untried or nameid in self.locked or at in (GONE, goal):
            return
        if nameid not in self.now:
            return
        self.untried.discard(nameid)
        before = self._broken()
        self._set(nameid, goal)
        if self._is_broken(nameid) or self._broken() > before:
            self._keep(nameid)

    def _loses(self, nameid: int, other: int) -> bool:
        return self.weight.get(nameid, 0) <= self.weight.get(other, 0)

    def _against(self, nameid: int, relation: int, turn: Turn) -> bool:
        """What a package excludes is there."""
        for identity in self._in_the_way(self.at[nameid], relation):
            other = self.relations.version(identity).nameid
            if self._loses(nameid, other):
                return self._yield(nameid, other, turn, alone=True) is not None
            goal = self.marks.goal.get(other, GONE)
            if goal not in (GONE, identity) and goal not in self.relations.ids(relation):
                self._set(other, goal)
                continue
            turn.giving_way.append((other, relation, True))
        return False

    def _without(self, nameid: int, relation: int, turn: Turn) -> bool:
        """What a package needs is not there."""
        alternatives = list(self.relations.alternatives(relation))
        alone, changed, kept = len(alternatives) == 1, False, False
        added = len(turn.giving_way)
        identity = self.at[nameid]
        for alternative in alternatives:
            if not self.at[nameid] or self.relations.is_met(relation, self.ids):
                # What was tried for an alternative before has helped.
                return changed
            other = self._asked(alternative)
            if other is None:
                if self._gives_up(nameid, alone):
                    changed, kept = True, True
                continue
            if self._loses(nameid, other) or not self.relations.is_met(alternative, self.old):
                held = self._yield(nameid, other, turn, alone)
                changed, kept = True, kept or bool(held)
                if alone:
                    return True
            else:
                turn.giving_way.append((other, relation, False))
        if not alone and len(turn.giving_way) == added and identity:
            (self._keep if kept else self._remove)(nameid)
            changed = True
        turn.is_done = False
        return changed

    def _asked(self, alternative: int) -> int | None:
        """The package that an alternative names, else one that provides it."""
        named = self.relations.named(alternative)
        found = [one.nameid for one in self.relations.providers(alternative)]
        if named in found:
            return named
        return found[-1] if found else None

    def _gives_up(self, nameid: int, alone: bool) -> bool:
        """Nothing on offer is what a package needs; whether it can stay as it is."""
        if self._is_enough_kept(nameid, alone):
            return True
        if alone:
            self._remove(nameid)
        return alone

    def _is_enough_kept(self, nameid: int, alone: bool) -> bool:
        """Take a package back to what is installed, and say whether that holds; where there are
        alternatives and it does, that was only a trial."""
        was = self.at[nameid]
        self._keep(nameid)
        if self._is_broken(nameid):
            return False
        if not alone:
            self._set(nameid, was)
        return True

    def _yield(self, nameid: int, other: int, turn: Turn, alone: bool) -> bool | None:
        """A package gives way to another: it stays as it is installed if that is enough, else it
        goes; where there are alternatives, one that is new is tried before."""
        turn.is_done = True
        if self._is_enough_kept(nameid, alone):
            return True
        if alone:
            self._remove(nameid)
            if self.count >= RISING and self.weight.get(other, 0) > self.weight.get(nameid, 0):
                self.weight[nameid] = self.weight[other]
        elif other not in self.now:
            self._try_new(other)
        return False

    def _try_new(self, nameid: int) -> None:
        """Install a new package if that breaks nothing."""
        providers = [one for one in self.relations.providers(nameid) if one.nameid == nameid]
        if not providers:
            return
        before, ids = self._broken(), set(self.ids)
        self.marks.ids = self.ids
        self._set(nameid, providers[0].id)
        self.marks.take(providers[0], 1)
        for one in (*(ids - self.ids), *(now := self.ids - ids)):
            self._note(self.relations.version(one).nameid, one if one in now else GONE)
        if self._is_broken(nameid) or self._broken() > before:
            self._remove(nameid)

    def _give_way(self, nameid: int, turn: Turn) -> bool:
        """What is lighter than a package gives way to it."""
        identity, changed = self.at[nameid], False
        for other, relation, excludes in turn.giving_way:
            changed = True
            held = (
                not ((self.relations.ids(relation) & self.old) - {identity})
                if excludes
                else self.relations.is_met(relation, self.old)
            )
            if held:
                self._keep(other)
            elif excludes:
                self._remove(other)
            if self.count >= RISING:
                self.weight[other] = max(self.weight.get(other, 0), self.weight.get(nameid, 0))
        return changed


def holds_together(
    guest: Guest, relations: Relations, ids: frozenset[int], locked: AbstractSet[int]
) -> bool:
    """Whether nothing is missing or in the way, and what must stay is there."""
    of, met = relations.of, relations.ids
    titles = {relations.version(one).nameid for one in ids}
    for nameid, one in guest.packages.items():
        if nameid in locked and one.now.id not in ids:
            return False
        if nameid not in titles and relations.is_essential(one.now.solvable):
            return False
    if len(titles) < len(ids):
        return False
    for identity in ids:
        version = relations.version(identity)
        if not all(relations.is_met(each, ids) for each in of(version, REQUIRES)):
            return False
        if any((met(each) & ids) - {identity} for each in of(version, CONFLICTS)):
            return False
    return True
