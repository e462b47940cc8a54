"""Which paths would decide a question that no index names.

primary.xml names the files below /etc and in folders of programs only (createrepo_c). What a
release needs of other paths is known once the repositories' lists of all files are there, which are
large: so they are asked for only where something was left out for such a path.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from regild.model.versions import rpm_key
from regild.plan.solver import Transaction

PATHS_LIMIT = 1000
KINDS = ("REQUIRES", "RECOMMENDS", "CONFLICTS")


def unlisted(
    pool: Any, installed: Any, available: list[Any], found: Transaction | None
) -> tuple[str, ...]:
    """The paths that what was left out asks for, directly or by what it needs, and that nothing
    here has; `found` is None where there was no answer."""
    left = list(_left_out(pool, installed, available, found))
    ids = {one.id for one in available}
    seen = {one.id for one in left}
    paths: set[str] = set()
    while left and len(paths) < PATHS_LIMIT:
        for relation in _relations(left.pop()):
            providers = pool.whatprovides(relation)
            if not providers and (text := str(relation)).startswith("/"):
                paths.add(text)
            for one in providers:
                if one.id in ids and one.id not in seen:
                    seen.add(one.id)
                    left.append(one)
    return tuple(sorted(paths))


def _relations(one: Any) -> Iterator[Any]:
    import solv

    for kind in KINDS:
        yield from one.lookup_deparray(getattr(solv, f"SOLVABLE_{kind}"))


def _left_out(
    pool: Any, installed: Any, available: Iterable[Any], found: Transaction | None
) -> Iterator[Any]:
    """The releases that would take the place of something installed, and do not."""
    import solv

    come = {(one.name, one.becomes) for one in found.moves} if found else set()
    gone = {(one.name, one.was) for one in found.moves} if found else set()
    newest: dict[str, Any] = {}
    for one in installed.solvables:
        newest[one.name] = max(rpm_key(one.evr), newest.get(one.name, rpm_key(one.evr)))
    mine = {one.id for one in installed.solvables if (one.name, one.evr) not in gone}
    for name, version in come:
        newest[name] = max(rpm_key(version), newest.get(name, rpm_key(version)))
    for one in available:
        if (one.name, one.evr) in come:
            # What it recommends in vain may be a path too.
            yield one
        elif (one.name in newest and newest[one.name] < rpm_key(one.evr)) or any(
            other.id in mine
            for relation in one.lookup_deparray(solv.SOLVABLE_OBSOLETES)
            for other in pool.whatprovides(relation)
        ):
            yield one
