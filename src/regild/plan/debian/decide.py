"""What changes in an image: apt's aims, put to libsolv as wishes in the order of their weight.

apt-get(8) upgrade takes every candidate that it can have without removing anything; dist-upgrade
lets what weighs more win over what weighs less. Here a wish is a job of libsolv. Where nothing
stands against anything, which is nearly always, all of them are granted at once; else each is
granted, the weightiest first, if it can be had together with those that were granted before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import filterfalse
from typing import Any

from regild.errors import TooLarge
from regild.plan.debian.automatic import Automatic
from regild.plan.debian.bringing import brought_for_nobody, given_up, looked_at
from regild.plan.debian.choice import CONFLICTS, REQUIRES, Relations
from regild.plan.debian.copies import behind, out_of_step
from regild.plan.debian.guest import Guest, Installed
from regild.plan.debian.keep import Keeping, kept_back
from regild.plan.debian.marks import Marks, UpgradeMarks
from regild.plan.debian.order import Ordered
from regild.plan.debian.rounds import Rounds, holds_together
from regild.plan.debian.sweep import Sweep
from regild.plan.debian.walk import lacking, put_aside
from regild.plan.debian.weight import weights

ROUNDS_LIMIT = 50
"""Rounds of new recommended packages; real ones need up to ten."""
QUESTIONS_LIMIT = 3000
"""Questions to libsolv about one image; the corpus of aged images needs up to some hundreds."""


@dataclass(frozen=True, slots=True)
class Aim:
    """How far a change may go."""

    may_remove: bool
    wishes: tuple[Installed, ...]
    """The packages to bring to their candidate."""
    locked: frozenset[int]
    """The titles of installed packages that stay as they are."""
    auto: tuple[str, ...] = ()
    """`name:arch` of what was installed for others only."""
    sweeping: bool = False
    """What nobody needs is removed besides."""
    completing: bool = False
    """What is Essential on offer and missing comes in."""


class Decision:
    """One question to libsolv, in as many rounds as it takes."""

    def __init__(self, guest: Guest, aim: Aim, relations: Relations | None = None) -> None:
        import solv

        self.solv, self.guest, self.aim = solv, guest, aim
        self.pool = guest.shelf.pool
        self.relations = relations or Relations(guest)
        self.ordered = Ordered(self.relations, guest.shelf)
        self.now = frozenset(one.now.id for one in guest.packages.values())
        self.automatic = Automatic(guest, self.relations, aim.auto)
        self._lacking = lacking(guest, self.relations) if aim.completing else []
        self._extra: dict[int, Any] = {one.id: one for one in self._lacking}
        """Essential and recommended packages to bring in if they can be had, by id."""
        self._banned = {
            *out_of_step(guest),
            *given_up(guest, self.relations, aim.wishes, aim.locked),
        }
        """Candidates that must not be taken."""
        self._aside: set[int] | None = None
        """Candidates that another wish puts aside."""
        self.swept: frozenset[int] = frozenset()
        """Of what it reaches, what nobody needs any more."""
        self._asked: dict[Any, frozenset[int] | None] = {}
        """What libsolv has answered."""

    def reach(self) -> frozenset[int]:
        """The packages that the image ends with, before it is swept: libsolv's ids of their
        versions."""
        ids = self._mended() or self._granted_all()
        sweep = Sweep(self.guest, self.relations, self.automatic, self.aim.locked)
        gone = sweep.gone(ids, self.aim.sweeping)
        self.swept = frozenset(filterfalse(self._is_new, gone))
        return ids - (gone - self.swept)

    def _mended(self) -> frozenset[int] | None:
        """What apt's own rounds end with, where all of that holds together."""
        wishes = [
            one for one in self.aim.wishes if one.candidate and one.candidate.id not in self._banned
        ]
        args = self.guest, self.relations, wishes, self.aim.locked, self._counts, self.automatic
        if not self.aim.may_remove:
            marked = UpgradeMarks(*args)
            self.automatic = marked.automatic
            keeping = *args[:2], marked.ids, self._is_worse_off, marked.refused
            ids = Keeping(*keeping).kept()
            return ids if holds_together(self.guest, self.relations, ids, self.aim.locked) else None
        marks = Marks(*args, self._lacking)
        self.automatic = marks.automatic
        ways = [Rounds(self.guest, self.relations, marks, way) for way in (False, True)]
        ends = [(way.mended(), way.automatic) for way in ways]
        # In which order apt visits packages of one weight is not known: what leaves less behind
        # is taken where that decides.
        for ids, automatic in sorted(ends, key=lambda end: self._worth(end[0]), reverse=True):
            if holds_together(self.guest, self.relations, ids, self.aim.locked):
                self.automatic = automatic
                return ids
        return None

    def _worth(self, ids: frozenset[int]) -> tuple[int, int]:
        """How many installed packages stay, and how many are brought to their candidate."""
        packages = self.guest.packages.values()
        raised = sum(one.candidate is not None and one.candidate.id in ids for one in packages)
        return raised + sum(one.now.id in ids for one in packages), raised

    def _granted_all(self) -> frozenset[int]:
        """What libsolv can grant of everything that is wished for and recommended."""
        tried: set[tuple[int, int]] = set()
        ids = self.now
        for _ in range(ROUNDS_LIMIT):
            ids = self._settle()
            fresh = self._recommended(ids, tried)
            if not fresh:
                break
            self._extra.update((one.id, one) for one in fresh)
        wished = {one.id for one in self._lacking}
        nobodys = brought_for_nobody(self.guest, self.relations, ids, self._changed(ids), wished)
        return self._mended_by_keeping(ids, nobodys)

    def _mended_by_keeping(self, ids: frozenset[int], nobodys: AbstractSet[int]) -> frozenset[int]:
        """What stays of a set without new packages that come for nobody."""
        changed = map(self.relations.version, ids - self.now)
        if self.aim.may_remove or not (
            nobodys or any(self._is_worse_off(one, ids) for one in changed)
        ):
            return ids
        return kept_back(self.guest, self.relations, ids - nobodys, self._is_worse_off)

    def _is_new(self, identity: int) -> bool:
        """Whether a version's package is not installed in any other."""
        return self.pool.id2solvable(identity).nameid not in self.guest.packages

    def _settle(self) -> frozenset[int]:
        """One round: everything at once, else one after another by weight."""
        wishes = self._unopposed(
            one for one in self.aim.wishes if one.candidate and one.candidate.id not in self._banned
        )
        base = self._fixed() + [self._job("FAVOR", one.id) for one in self._favoured(wishes)]
        install = [self._job("INSTALL", one.candidate.id) for one in wishes if one.candidate]
        extra = [self._job("INSTALL", one) for one in self._extra]
        removing = False
        if self._ask(base + install, removing) is None:
            removing = self.aim.may_remove
            install = self._by_weight(wishes)
        granted = self._granted(base, install, removing)
        ids = self._ask(granted, removing) or self.now
        taken = [one for one in wishes if one.candidate and one.candidate.id in ids]
        picks = [one.id for one in self._favoured(taken)]
        granted = self._granted(granted, [self._job("INSTALL", one) for one in picks], removing)
        granted = self._granted(granted, extra, removing)
        ids = self._ask(granted, removing) or self.now
        known = {*picks, *self._extra}
        if removing and (strangers := self._strangers(ids, known)):
            self._banned |= strangers
            return self._settle()
        return ids

    def _strangers(self, ids: frozenset[int], known: set[int]) -> set[int]:
        """New packages that would save one which lost what it needs: apt rather lets that go, but
        where it names the new one as an alternative."""
        found = set()
        named: set[int] = set()
        for one in map(self.pool.id2solvable, sorted(ids)):
            for relation in self.relations.of(one, REQUIRES):
                alternatives = list(self.relations.alternatives(relation))
                if len(alternatives) > 1:
                    named.update(map(self.relations.named, alternatives))
        for one in map(self.pool.id2solvable, sorted(ids - self.now - known)):
            if self._is_new(one.id) and one.nameid not in named:
                found.add(one.id)
        return found

    def _unopposed(self, wishes: Iterable[Installed]) -> list[Installed]:
        """The wishes without those that another one puts aside; where something may be removed,
        only new packages are put aside for good, and weight decides about the others."""
        found = [one for one in wishes if one.candidate]
        if self._aside is None:
            aside = put_aside(self.guest, self.relations, found, self.aim.locked)
            self._aside = set(filter(self._is_new, aside)) if self.aim.may_remove else aside
            self._banned |= self._aside
        return [one for one in found if one.candidate and one.candidate.id not in self._banned]

    def _granted(self, granted: list[Any], wishes: list[Any], removing: bool) -> list[Any]:
        """The jobs with those wishes that can be had, an earlier one before a later one."""
        if not wishes or self._ask(granted + wishes, removing) is not None:
            return granted + wishes
        if len(wishes) == 1:
            return granted
        middle = len(wishes) // 2
        granted = self._granted(granted, wishes[:middle], removing)
        return self._granted(granted, wishes[middle:], removing)

    def _by_weight(self, wishes: list[Installed]) -> list[Any]:
        """Jobs that keep and upgrade each package, the weightiest first."""
        goal = {nameid: one.now for nameid, one in self.guest.packages.items()}
        goal |= {one.now.solvable.nameid: one.candidate for one in wishes if one.candidate}
        weight = weights(self.guest, self.relations, goal, self.aim.locked)
        wished = {one.now.solvable.nameid for one in wishes}
        jobs = []
        order = sorted(
            self.guest.packages.items(), key=lambda pair: (-weight[pair[0]], pair[1].title)
        )
        for nameid, one in order:
            if self.aim.may_remove and nameid not in self.aim.locked:
                stay = [one.now.id, *([one.candidate.id] if one.candidate else [])]
                jobs.append(self._one_of(stay))
            if nameid in wished and one.candidate:
                jobs.append(self._job("INSTALL", one.candidate.id))
        return jobs

    def _fixed(self) -> list[Any]:
        jobs = []
        for nameid in sorted(self.aim.locked):
            if nameid in self.guest.packages:
                jobs.append(self._job("LOCK", self.guest.packages[nameid].now.id))
        jobs += [self._job("ERASE", one) for one in sorted(self._banned)]
        return jobs

    def _job(self, what: str, identity: int) -> Any:
        job = self.solv.Job
        return self.pool.Job(getattr(job, f"SOLVER_{what}") | job.SOLVER_SOLVABLE, identity)

    def _one_of(self, ids: list[int]) -> Any:
        job = self.solv.Job
        what = self.pool.towhatprovides(ids)
        return self.pool.Job(job.SOLVER_INSTALL | job.SOLVER_SOLVABLE_ONE_OF, what)

    def _ask(self, jobs: list[Any], removing: bool) -> frozenset[int] | None:
        """libsolv's answer; None where the jobs cannot all be had."""
        question = (removing, *((job.how, job.what) for job in jobs))
        if question not in self._asked:
            if len(self._asked) >= QUESTIONS_LIMIT:
                why = f"it takes more than {QUESTIONS_LIMIT} questions to know what can be had"
                raise TooLarge(where="the solver", why=why)
            self._asked[question] = self._answer(jobs, removing)
        return self._asked[question]

    def _answer(self, jobs: list[Any], removing: bool) -> frozenset[int] | None:
        solver = self._solver(removing)
        if solver.solve(jobs):
            return None
        return frozenset(one for one in solver.raw_decisions(1) if one > 1)

    def _solver(self, removing: bool) -> Any:
        solver = self.pool.Solver()
        solver.set_flag(solver.SOLVER_FLAG_IGNORE_RECOMMENDED, 1)
        solver.set_flag(solver.SOLVER_FLAG_ALLOW_DOWNGRADE, 1)
        solver.set_flag(solver.SOLVER_FLAG_ALLOW_VENDORCHANGE, 1)
        solver.set_flag(solver.SOLVER_FLAG_ALLOW_UNINSTALL, int(removing))
        return solver

    def why_not(self, one: Installed) -> str:
        """Why a package cannot be brought to its candidate without removing anything; empty where
        it could be by itself."""
        if one.candidate is None:
            return ""
        if why := behind(self.guest, one):
            return why
        solver = self._solver(removing=False)
        problems = solver.solve([*self._fixed(), self._job("INSTALL", one.candidate.id)])
        if problems:
            return self.relations.rule_told(problems[0].findproblemrule().info())
        for relation in self.relations.weak(one.candidate.solvable):
            if not any(
                choice.id not in self._banned for choice in self.relations.choices(relation)
            ):
                return f"it recommends {self.relations.told(relation)}, which cannot be had"
        return ""

    def why_removed(self, one: Installed, ids: frozenset[int]) -> str:
        """Why a package goes: what excludes it, or what it needs and loses."""
        for identity in sorted(ids):
            other = self.pool.id2solvable(identity)
            for relation in self.relations.of(other, CONFLICTS):
                if one.now.id in self.relations.ids(relation):
                    return f"{other.name} excludes it"
        for relation in self.relations.of(one.now.solvable, REQUIRES):
            if not self.relations.is_met(relation, ids):
                return f"it needs {self.relations.told(relation)}, which goes"
        return "it cannot stay beside what comes"

    def _favoured(self, wishes: Iterable[Installed]) -> list[Any]:
        """The new packages that apt would take for what the wishes need."""
        goal = {one.now.solvable.nameid: one.now.id for one in self.guest.packages.values()}
        goal |= {one.now.solvable.nameid: one.candidate.id for one in wishes if one.candidate}
        ids, found = set(goal.values()), []
        for first in [
            *(one.candidate.solvable for one in wishes if one.candidate),
            *self._extra.values(),
        ]:
            waiting = [iter(self._unmet(first, ids))]
            while waiting:
                relation = next(waiting[-1], None)
                if relation is None:
                    waiting.pop()
                elif not self.relations.is_met(relation, ids) and (one := self._choice(relation)):
                    ids.add(one.id)
                    found.append(one)
                    waiting.append(iter(self._unmet(one, ids)))
        return found

    def _unmet(self, one: Any, ids: AbstractSet[int]) -> Sequence[int]:
        """What a version needs besides some others; as it is stated where a choice is among it,
        which may do for the next need or be spared by the one before."""
        of, is_met, providers = self.relations.of, self.relations.is_met, self.relations.providers
        unmet = [each for each in of(one, REQUIRES) if not is_met(each, ids)]
        if len(unmet) > 1 and any(len(providers(each)) > 1 for each in unmet):
            return [each for each in self.ordered.requirements(one) if each in unmet]
        return unmet

    def _choice(self, relation: int) -> Any:
        """What apt would take for a relation; None where there is nothing."""
        choices = self.relations.choices(relation)
        return next((one for one in choices if one.id not in self._banned), None)

    def _recommended(self, ids: frozenset[int], tried: set[tuple[int, int]]) -> list[Any]:
        """The packages to bring in for recommendations that are new or were satisfied before."""
        found = []
        chosen: set[int] = set()
        for one in self._changed(ids):
            for relation in self.relations.weak(one):
                if self.relations.is_met(relation, ids | chosen) or not self._counts(one, relation):
                    continue
                for choice in self.relations.choices(relation):
                    key = (relation, choice.id)
                    if (
                        key not in tried
                        and choice.id not in self._banned
                        and choice.nameid not in self.aim.locked
                    ):
                        tried.add(key)
                        if choice.id not in self._extra:
                            found.append(choice)
                            chosen.add(choice.id)
                        break
        return found

    def _changed(self, ids: frozenset[int]) -> list[Any]:
        """The versions that bring what they recommend: new ones, and with removals also old ones
        that are not on hold, else those that one looks at for what they lose."""
        fresh = list(map(self.relations.version, sorted(ids - self.now)))
        if not self.aim.may_remove:
            return [*fresh, *looked_at(self.guest, self.relations, ids, self.aim.locked)]
        old = map(self.relations.version, sorted(ids & self.now))
        return [*fresh, *(one for one in old if one.nameid not in self.aim.locked)]

    def _counts(self, solvable: Any, relation: int) -> bool:
        """Whether a recommendation is new to an image, or was satisfied in it."""
        before = self.guest.packages.get(solvable.nameid)
        if before is None:
            return True
        first = self.relations.names(relation)[0]
        is_new = True
        for other in self.relations.weak(before.now.solvable):
            if first in self.relations.names(other):
                is_new = False
                if self.relations.is_met(other, self.now):
                    return True
        return is_new

    def _is_worse_off(self, one: Any, ids: AbstractSet[int]) -> bool:
        """Whether a changed version has a recommendation that is not met, where all were met
        before; an upgrade that would lose one is not taken by `upgrade`."""
        if all(self.relations.is_met(relation, ids) for relation in self.relations.weak(one)):
            return False
        before = self.guest.packages.get(one.nameid)
        return before is None or self.is_well(before.now.solvable)

    def is_well(self, solvable: Any) -> bool:
        """Whether an installed version has now all that it needs and recommends."""
        wanted = [*self.relations.of(solvable, REQUIRES), *self.relations.weak(solvable)]
        return all(self.relations.is_met(relation, self.now) for relation in wanted)

    def broken(self) -> list[tuple[Installed, str, int]]:
        """Relations between installed packages that do not hold even now."""
        found = []
        for one in self.guest.packages.values():
            for relation in self.relations.of(one.now.solvable, REQUIRES):
                if not self.relations.is_met(relation, self.now):
                    found.append((one, "Depends", relation))
            for relation in self.relations.of(one.now.solvable, CONFLICTS):
                if (self.relations.ids(relation) & self.now) - {one.now.id}:
                    found.append((one, "Conflicts", relation))
        return found
