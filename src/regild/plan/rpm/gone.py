"""Why an installed package of rpm goes: what takes its place or excludes it, or what it loses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from regild.plan.policy import PLACE_WHY

LIMIT_WHY = "no more versions of it may be there at once (installonly_limit)"


def why_gone(one: Any, after: Sequence[Any], pool: Any, is_several: bool) -> str:
    """The reason why one package is not among all those that are there afterwards; nothing where
    none is found.

    `is_several` says that several versions of it may be there at once, as of a kernel.
    """
    import solv

    if is_several and any(other.name == one.name for other in after):
        return LIMIT_WHY
    for other in after:
        for relation in _of(other, solv.SOLVABLE_OBSOLETES):
            if one.matchesdep(solv.SOLVABLE_NAME, relation):
                return PLACE_WHY.format(name=other.name)
    for other in after:
        if _excludes(other, one, pool) or _excludes(one, other, pool):
            return f"{other.name} excludes it"
    there = {other.id for other in after}
    for relation in _of(one, solv.SOLVABLE_REQUIRES):
        if there.isdisjoint(found.id for found in pool.whatprovides(relation)):
            return f"it needs {relation}, which goes"
    return ""


def _excludes(one: Any, other: Any, pool: Any) -> bool:
    import solv

    return any(
        other.id in {found.id for found in pool.whatprovides(relation)}
        for relation in _of(one, solv.SOLVABLE_CONFLICTS)
    )


def _of(one: Any, kind: int) -> Iterator[Any]:
    yield from one.lookup_deparray(kind)
