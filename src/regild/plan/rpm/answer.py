"""A question about one guest of rpm, answered by libsolv as dnf asks it: what changes, what is kept
back, and why.

The modes: `upgrade` is `dnf upgrade`, `security` is `dnf upgrade --security`, `full` is `dnf
upgrade --allowerasing`, which may remove what stands in the way; `dnf distro-sync`, which goes back
to older versions too, is not meant (ADR 0043).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from msgspec.structs import replace

from regild.errors import Unsolvable, UnsupportedWish
from regild.model.plan import Action
from regild.model.versions import rpm_key
from regild.plan.rpm.choice import Matcher, left_out
from regild.plan.rpm.gone import why_gone
from regild.plan.rpm.paths import unlisted
from regild.plan.rpm.settings import Settings, read_settings
from regild.plan.rpm.shelf import Shelf
from regild.plan.solver import Move, Request, Transaction

PROBLEMS_TOLD = 3
SECURITY = "security"
BROKEN_WHY = "its update needs what cannot be had, or what must not change"


def open_shelf(request: Request) -> Shelf:
    """What a request offers, in libsolv's own form."""
    return Shelf(request)


def answer(shelf: Shelf, request: Request) -> Transaction:
    """What changes in a guest.

    Raises: Unsolvable, Malformed.
    """
    settings = read_settings(request.planning)
    installed = shelf.seat(request.planning.status)
    # A lock on the version that is installed lets another one of a kernel come in beside it.
    holds = set(request.holds)
    held = (one for one in shelf.pool.solvables_iter() if one.name in holds)
    several = {one.name for one in held if is_several(one, settings)}
    asked = left_out(shelf, settings, (*request.forbidden, *several))
    # dnf's own excludes hide what is installed too: nothing takes its place.
    hidden = Matcher(settings.excludes)
    away = [one.id for one in installed.solvables if settings.excludes and hidden.fits(one)]
    shelf.pool.set_disabled_list(sorted([*asked, *away]))
    question = _Question(shelf, request, settings, installed, asked)
    if not request.asks_paths:
        return question.transaction()
    try:
        found = question.transaction()
    except Unsolvable:
        if paths := unlisted(shelf.pool, installed, question.available, found=None):
            return Transaction((), paths=paths)
        raise
    return replace(found, paths=unlisted(shelf.pool, installed, question.available, found))


def is_several(one: Any, settings: Settings) -> bool:
    """Whether several versions of a package may be there at once, as of a kernel."""
    return any(
        relation.str().partition(" ")[0] in settings.installonly
        for relation in one.lookup_deparray(_provides())
    )


class _Question:
    """One guest's packages and settings against what is on offer."""

    def __init__(
        self,
        shelf: Shelf,
        request: Request,
        settings: Settings,
        installed: Any,
        asked: dict[int, str],
    ) -> None:
        self._shelf, self._pool, self._settings = shelf, shelf.pool, settings
        self._mode, self._left_out = request.mode, asked
        self._only, self._autoremove = request.only, request.autoremove
        self._paths = request.paths
        self._installed = list(installed.solvables)
        self._held = Matcher((*request.holds, *settings.names))
        self.available = [
            one
            for one in self._pool.solvables_iter()
            if one.repo is not None and one.repo.id in shelf.options and one.id not in asked
        ]

    def transaction(self) -> Transaction:
        """Ask libsolv, and say what it answers.

        Raises: Unsolvable, UnsupportedWish.
        """
        if self._autoremove:
            why = "to remove what is no longer needed is not planned for packages of rpm"
            raise UnsupportedWish(where="--autoremove", why=why)
        targets = list(self._targets())
        if not targets:
            return Transaction((), *self._kept(frozenset(), targets))
        jobs = self._jobs(targets)
        solver = self._solve(jobs)
        if more := list(self._over_limit(solver)):
            jobs += more
            jobs += self._may_go() if self._mode != "full" else []
            solver = self._solve(jobs)
        final = self._outcome(solver)
        self._check_protected(solver)
        moves = tuple(self._moves(final))
        kept, reasons = self._kept(final, targets)
        return Transaction(moves, kept, {**reasons, **self._gone(moves, final)})

    def _targets(self) -> Iterator[Any]:
        """What may be updated to, and what is installed of the same names.

        libsolv chooses among these alone, so the newest that is installed has to be among them:
        else it would take another package of the same version for an update.
        """
        newest: dict[str, Any] = {}
        for one in self._installed:
            if one.name not in newest or rpm_key(newest[one.name].evr) < rpm_key(one.evr):
                newest[one.name] = one
        latest = [one for one in self._installed if one.evr == newest[one.name].evr]
        if self._mode != SECURITY and self._only is None:
            yield from self.available
            yield from self._installed
            return
        fixed = self.available if self._mode != SECURITY else list(self._fixed(newest))
        if self._only is not None:
            fixed = [one for one in fixed if one.name in self._only]
        names = {one.name for one in fixed}
        yield from fixed
        yield from (one for one in latest if one.name in names)

    def _fixed(self, newest: dict[str, Any]) -> Iterator[Any]:
        """Releases that are as new as one that a security advisory names, where that is newer than
        what is installed."""
        least: dict[tuple[str, str], Any] = {}
        for notice in self._shelf.notices:
            if notice.type != SECURITY:
                continue
            for name, evr, arch in notice.packages:
                mine = newest.get(name)
                # What is not installed counts where it takes the place of what is.
                if mine is None or rpm_key(mine.evr) < rpm_key(evr):
                    key = name, arch
                    if key not in least or rpm_key(evr) < least[key]:
                        least[key] = rpm_key(evr)
        for one in self.available:
            bound = least.get((one.name, one.arch))
            if bound is not None and bound <= rpm_key(one.evr):
                yield one

    def _jobs(self, targets: list[Any]) -> list[Any]:
        import solv

        job = solv.Job
        how = job.SOLVER_UPDATE | job.SOLVER_TARGETED | job.SOLVER_SOLVABLE_ONE_OF
        # dnf gives the whole choice as one, with its architecture and version as they are.
        how |= job.SOLVER_SETARCH | job.SOLVER_SETEVR
        if self._settings.best:
            how |= job.SOLVER_FORCEBEST
        jobs = [self._pool.Job(how, self._pool.towhatprovides([one.id for one in targets]))]
        for name in self._settings.installonly:
            jobs.append(
                self._pool.Job(
                    job.SOLVER_MULTIVERSION | job.SOLVER_SOLVABLE_PROVIDES, self._pool.str2id(name)
                )
            )
        for one in self._installed:
            if self._held.fits(one):
                jobs.append(self._pool.Job(job.SOLVER_LOCK | job.SOLVER_SOLVABLE, one.id))
        for identity in self._not_weak():
            jobs.append(self._pool.Job(job.SOLVER_EXCLUDEFROMWEAK | job.SOLVER_SOLVABLE, identity))
        if self._mode == "full":
            jobs += self._may_go()
        return jobs

    def _may_go(self) -> list[Any]:
        """Leave to remove everything but what is protected."""
        import solv

        how = solv.Job.SOLVER_ALLOWUNINSTALL | solv.Job.SOLVER_SOLVABLE
        protected = Matcher(self._settings.protected)
        return [self._pool.Job(how, one.id) for one in self._installed if not protected.fits(one)]

    def _not_weak(self) -> Iterator[int]:
        """What must not come in by a weak relation alone: what the settings name, and what an
        installed package recommends, or is supplemented by, in vain until now."""
        import solv

        if self._settings.not_weak:
            matcher = Matcher(self._settings.not_weak)
            yield from (one.id for one in self.available if matcher.fits(one))
        if not self._settings.autodetect:
            return
        mine = {one.id for one in self._installed}
        for one in self._installed:
            for relation in one.lookup_deparray(solv.SOLVABLE_RECOMMENDS):
                providers = self._pool.whatprovides(relation)
                if not any(provider.id in mine for provider in providers):
                    yield from (provider.id for provider in providers)
        for one in self.available:
            for relation in one.lookup_deparray(solv.SOLVABLE_SUPPLEMENTS):
                if any(provider.id in mine for provider in self._pool.whatprovides(relation)):
                    yield one.id

    def _solve(self, jobs: list[Any]) -> Any:
        """Ask once.

        Raises: Unsolvable in libsolv's words.
        """
        import solv

        solver = self._pool.Solver()
        flags = {
            solv.Solver.SOLVER_FLAG_ALLOW_VENDORCHANGE: self._settings.vendor_change,
            solv.Solver.SOLVER_FLAG_KEEP_ORPHANS: True,
            solv.Solver.SOLVER_FLAG_BEST_OBEY_POLICY: True,
            solv.Solver.SOLVER_FLAG_YUM_OBSOLETES: True,
            solv.Solver.SOLVER_FLAG_IGNORE_RECOMMENDED: not self._settings.weak,
        }
        for flag, value in flags.items():
            solver.set_flag(flag, int(value))
        if problems := solver.solve(jobs):
            told = [str(one) for one in problems[:PROBLEMS_TOLD]]
            raise Unsolvable(where="the image", why="; ".join(told))
        return solver

    def _over_limit(self, solver: Any) -> Iterator[Any]:
        """Which versions of installonly packages go, so that not more stay than the settings say;
        nothing where none comes in."""
        import solv

        if not self._settings.limit:
            return
        final = self._outcome(solver)
        mine = {one.id for one in self._installed}
        done: set[str] = set()
        for name in self._settings.installonly:
            every = [
                one for one in self._pool.whatprovides(self._pool.Dep(name)) if one.id in final
            ]
            for same in sorted({one.name for one in every} - done):
                row = [one for one in every if one.name == same]
                done.add(same)
                if len(row) <= self._settings.limit or all(one.id in mine for one in row):
                    continue
                row.sort(key=lambda one: rpm_key(one.evr), reverse=True)
                for place, one in enumerate(row):
                    keep = place < self._settings.limit
                    how = solv.Job.SOLVER_INSTALL if keep else solv.Job.SOLVER_ERASE
                    yield self._pool.Job(how | solv.Job.SOLVER_SOLVABLE, one.id)

    def _outcome(self, solver: Any) -> frozenset[int]:
        """The ids of everything that is there afterwards."""
        transaction = solver.transaction()
        gone: set[int] = set()
        come: set[int] = set()
        mine = {one.id for one in self._installed}
        for one in transaction.steps():
            (gone if one.id in mine else come).add(one.id)
        return frozenset((mine - gone) | come)

    def _check_protected(self, solver: Any) -> None:
        """Refuse to lose what is protected; what another package takes the place of is not lost.

        Raises: Unsolvable.
        """
        import solv

        kinds = solv.Transaction
        transaction = solver.transaction()
        protected = Matcher(self._settings.protected)
        lost = sorted(
            {
                one.name
                for one in self._installed
                if protected.fits(one)
                and transaction.steptype(one, kinds.SOLVER_TRANSACTION_SHOW_OBSOLETES)
                == kinds.SOLVER_TRANSACTION_ERASE
            }
        )
        if lost:
            why = f"it would remove {', '.join(lost[:3])}, which the image protects"
            raise Unsolvable(where="the image", why=why)

    def _moves(self, final: frozenset[int]) -> Iterator[Move]:
        """The steps from what is installed to what is decided: a package that comes in for one of
        its own name that goes is an upgrade."""
        gone = [one for one in self._installed if one.id not in final]
        mine = {one.id for one in self._installed}
        had = {path: {one.id for one in self._providers(path)} for path in self._paths}
        for identity in sorted(final - mine):
            one = self._pool.id2solvable(identity)
            before = self._replaced(one, gone)
            if before is not None:
                gone.remove(before)
            action: Action = "upgrade" if before is not None else "install"
            was = before.evr if before is not None else ""
            origin = self._shelf.titles[one.repo.id]
            paths = tuple(path for path, ids in had.items() if identity in ids)
            yield Move(action, one.name, one.arch, was, one.evr, origin, paths)
        for one in gone:
            yield Move("remove", one.name, one.arch, one.evr)

    def _gone(self, moves: Iterable[Move], final: frozenset[int]) -> dict[str, str]:
        """Why packages go, by name."""
        names = {move.name for move in moves if move.action == "remove"}
        going = [one for one in self._installed if one.name in names and one.id not in final]
        after = [self._pool.id2solvable(identity) for identity in sorted(final)] if going else []
        found = {
            one.name: why_gone(one, after, self._pool, is_several(one, self._settings))
            for one in going
        }
        return {name: why for name, why in found.items() if why}

    def _providers(self, path: str) -> list[Any]:
        found: list[Any] = self._pool.whatprovides(self._pool.Dep(path))
        return found

    def _replaced(self, one: Any, gone: Iterable[Any]) -> Any:
        if is_several(one, self._settings):
            return None
        same = [other for other in gone if other.name == one.name]
        return next((other for other in same if other.arch == one.arch), same[0] if same else None)

    def _kept(
        self, final: frozenset[int], targets: list[Any]
    ) -> tuple[tuple[str, ...], dict[str, str]]:
        """Names of installed packages with a newer release that does not come in, and why."""
        after: dict[str, Any] = {}
        for identity in final or frozenset(one.id for one in self._installed):
            one = self._pool.id2solvable(identity)
            key = rpm_key(one.evr)
            if one.name not in after or after[one.name] < key:
                after[one.name] = key
        reasons: dict[str, str] = {}
        wanted = {one.id for one in targets}
        for one in self._pool.solvables_iter():
            if one.repo is None or one.repo.id not in self._shelf.options:
                continue
            if one.name not in after or not after[one.name] < rpm_key(one.evr):
                continue
            if not any(mine.name == one.name and _alike(mine, one) for mine in self._installed):
                continue
            if (why := self._left_out.get(one.id)) is not None:
                reasons.setdefault(one.name, why)
            elif one.id in wanted:
                reasons[one.name] = "" if self._is_held(one.name) else BROKEN_WHY
        return tuple(sorted(reasons)), {name: why for name, why in reasons.items() if why}

    def _is_held(self, name: str) -> bool:
        return any(one.name == name and self._held.fits(one) for one in self._installed)


def _alike(one: Any, other: Any) -> bool:
    return one.arch == other.arch or "noarch" in (one.arch, other.arch)


def _provides() -> int:
    import solv

    found: int = solv.SOLVABLE_PROVIDES
    return found
