"""The plain case, which is nearly always: every wish can be had at once, with nothing in its way.

Then libsolv need not be asked. What it would be asked for is a set with one version of every
installed package and all that is to be installed; where everything that the set needs is in it and
nothing in it excludes anything, that set is its answer: each of its steps only ever adds what a
relation leaves no choice about, or what is installed, and both are in the set. Anything else is
`NotPlain`, and libsolv decides (`plan.debian.decide`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from typing import Any

from regild.plan.debian.choice import CONFLICTS, REQUIRES, Relations
from regild.plan.debian.decide import ROUNDS_LIMIT, Aim, Decision
from regild.plan.debian.guest import Guest, Installed, find_candidates
from regild.plan.debian.loading import Facts
from regild.plan.debian.seen import Seen
from regild.plan.debian.settings import read_settings
from regild.plan.debian.shelf import Version
from regild.plan.solver import Request


class NotPlain(Exception):
    """libsolv has to be asked."""


def seat_among(seen: Seen, request: Request) -> Guest | None:
    """An image among those that were seen; None where it lists a package twice.

    Raises: Malformed for a status or pins that cannot be read, TooLarge, PlanError.
    """
    planning = request.planning
    guest = Guest(seen.shelf, options=read_settings(planning.settings))
    for text in planning.status.split("\n\n"):
        one = seen.stanza(text)
        if one is None:
            continue
        if one.nameid in guest.packages:
            return None
        version = Version(one.solvable, one.facts, (), one.id)
        guest.packages[one.nameid] = Installed(one.title, version, one.hold)
    find_candidates(guest, request)
    return guest


class SeenRelations(Relations):
    """Relations that were looked up for all images."""

    def __init__(self, guest: Guest, now: AbstractSet[int]) -> None:
        super().__init__(guest)
        self.seen: Seen = guest.shelf.seen
        self._now, self._end = now, guest.shelf.end

    def of(self, solvable: Any, kind: str) -> tuple[int, ...]:
        """The relations of one kind that a version has."""
        return self.seen.relations(solvable, kind, self._keys[kind])

    def version(self, identity: int) -> Any:
        """A version by its number."""
        return self.seen.solvable(identity)

    def ids(self, relation: int) -> AbstractSet[int]:
        """The numbers of what satisfies a relation, in any image."""
        return self.seen.ids(relation)

    def providers(self, relation: int) -> list[Any]:
        """The versions, installed or candidates, that satisfy a relation."""
        found = self._providers.get(relation)
        if found is None:
            mine = sorted(filter(self._is_here, self.ids(relation)))
            found = self._providers[relation] = [self.seen.solvable(one) for one in mine]
        return found

    def _is_here(self, identity: int) -> bool:
        """Whether a version is installed, or on offer and not out."""
        if identity >= self._end:
            return identity in self._now
        return not self.guest.is_out(identity, self.seen.solvable(identity).nameid)

    def facts(self, solvable: Any) -> Facts:
        """What is said of a version."""
        return self.seen.facts(solvable)


class Plain(Decision):
    """What changes, as long as libsolv need not be asked."""

    def __init__(self, guest: Guest, aim: Aim) -> None:
        now = frozenset(one.now.id for one in guest.packages.values())
        self.relations: SeenRelations
        super().__init__(guest, aim, SeenRelations(guest, now))

    def _mended(self) -> None:
        """Nothing has to be mended in the plain case.

        Raises: NotPlain where it decides about marks what is visited first.
        """
        if self.automatic.may_hand_on(self.aim.wishes):
            raise NotPlain

    def _unopposed(self, wishes: Iterable[Installed]) -> list[Installed]:
        """The wishes.

        Raises: NotPlain in an upgrade where some exclude others, which apt's rounds mend.
        """
        found = super()._unopposed(wishes)
        if self._aside and not self.aim.may_remove:
            raise NotPlain
        return found

    def _mended_by_keeping(self, ids: frozenset[int], nobodys: AbstractSet[int]) -> frozenset[int]:
        """What stays of a set without new packages that come for nobody.

        Raises: NotPlain in a full upgrade with such packages, which its rounds mend.
        """
        if nobodys and self.aim.may_remove:
            raise NotPlain
        return super()._mended_by_keeping(ids, nobodys)

    def why_not(self, one: Installed) -> str:
        """Only libsolv can tell.

        Raises: NotPlain.
        """
        raise NotPlain

    def broken(self) -> list[tuple[Installed, str, int]]:
        """None.

        Raises: NotPlain where there are some, which libsolv's relations tell better.
        """
        if super().broken():
            raise NotPlain
        return []

    def _answer(self, jobs: list[Any], removing: bool) -> frozenset[int]:
        """The set that is wished for and what it cannot do without, where that set is whole.

        Raises: NotPlain.
        """
        wanted, erased, locked = self._read(jobs)
        start = {nameid: one.now.id for nameid, one in self.guest.packages.items()}
        for _ in range(ROUNDS_LIMIT):
            goal = start | wanted
            ids = frozenset(goal.values())
            old = frozenset(goal[nameid] for nameid in start)
            missing = {one for identity in ids for one in self._missing(identity, ids, old)}
            if not missing:
                break
            for one in map(self.relations.seen.solvable, missing):
                if wanted.setdefault(one.nameid, one.id) != one.id:
                    raise NotPlain
        if missing or erased & ids or locked - ids or any(map(self._excludes(ids), ids)):
            raise NotPlain
        return ids

    def _read(self, jobs: Iterable[Any]) -> tuple[dict[int, int], set[int], set[int]]:
        """What libsolv would be asked for: versions by title, and the ids of what must not come
        and of what must stay.

        Raises: NotPlain for a question that only libsolv can answer.
        """
        job = self.solv.Job
        wanted: dict[int, int] = {}
        erased, locked = set(), set()
        for one in jobs:
            what, how = one.what, one.how & job.SOLVER_JOBMASK
            if one.how & job.SOLVER_SELECTMASK != job.SOLVER_SOLVABLE:
                raise NotPlain
            if how == job.SOLVER_INSTALL:
                title = self.relations.seen.solvable(what).nameid
                if wanted.setdefault(title, what) != what:
                    raise NotPlain
            elif how == job.SOLVER_ERASE:
                erased.add(what)
            elif how == job.SOLVER_LOCK:
                locked.add(what)
        return wanted, erased, locked

    def _missing(self, identity: int, ids: frozenset[int], old: frozenset[int]) -> Iterator[int]:
        """What a version of a set needs that is not in it, where only one version will do.

        Raises: NotPlain where there is a choice, or nothing to choose from.
        """
        for relation in self.relations.of(self.relations.seen.solvable(identity), REQUIRES):
            met = self.relations.ids(relation)
            if not met.isdisjoint(old):
                continue
            providers = self.relations.providers(relation)
            if met.isdisjoint(ids):
                if len(providers) != 1:
                    raise NotPlain
                yield providers[0].id
            # libsolv would rather have another version of what is installed than a new package.
            elif any(other.nameid in self.guest.packages for other in providers):
                raise NotPlain

    def _excludes(self, ids: frozenset[int]) -> Callable[[int], bool]:
        """Whether a version of a set excludes another one of it."""
        of, seen = self.relations.of, self.relations.seen

        def excludes(identity: int) -> bool:
            relations = of(seen.solvable(identity), CONFLICTS)
            return any((seen.ids(relation) & ids) - {identity} for relation in relations)

        return excludes
