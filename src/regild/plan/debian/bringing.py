"""For whom new packages come.

A full upgrade brings what any package asks for that is not on hold. An upgrade brings what upgraded
and new ones ask for, but not what an unchanged one loses: there what takes it away is kept back
(`plan.debian.keep`). Only where an upgrade itself finds something missing does apt look at those
that need its old version by its name, and brings what they lose ("Upgrading ... due to", with
Debug::pkgDepCache::AutoInstall, apt.conf(5)); if one of those is on hold, the upgrade is given up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from typing import Any

from regild.plan.debian.choice import CONFLICTS, Relations
from regild.plan.debian.guest import Guest, Installed


def brought_for_nobody(
    guest: Guest,
    relations: Relations,
    ids: frozenset[int],
    bringing: Iterable[Any],
    wished: AbstractSet[int],
) -> set[int]:
    """New packages of a set that none of the bringing versions leads to, and none that is wished
    for by itself."""
    rest = _without_new(guest, relations, ids)
    fresh = set(ids - rest)
    waiting = [one for one in bringing if one.id in rest or one.id in wished] if fresh else []
    while waiting and fresh:
        one = waiting.pop()
        fresh.discard(one.id)
        for relation in relations.asked(one):
            if not relations.is_met(relation, rest):
                found = relations.ids(relation) & fresh
                fresh -= found
                waiting += map(relations.version, found)
    return fresh


def looked_at(
    guest: Guest, relations: Relations, ids: frozenset[int], locked: AbstractSet[int]
) -> Iterator[Any]:
    """The unchanged versions that an upgrade takes something away from, and looks at for that."""
    rest = _without_new(guest, relations, ids)
    now = frozenset(one.now.id for one in guest.packages.values())
    missing: dict[int, bool] = {}
    for nameid, one in guest.packages.items() if rest != now else ():
        if one.now.id not in rest or nameid in locked:
            continue
        lost = (
            each
            for each in relations.asked(one.now.solvable)
            if relations.is_met(each, now) and not relations.is_met(each, rest)
        )
        for other in (found for each in lost for found in _taking(guest, relations, each)):
            title = other.now.solvable.nameid
            if title not in missing:
                missing[title] = _misses(relations, other, rest)
            if missing[title]:
                yield one.now.solvable
                break


def given_up(
    guest: Guest, relations: Relations, wishes: Iterable[Installed], locked: AbstractSet[int]
) -> Iterator[int]:
    """The ids of candidates that miss something themselves, and that take something from what is
    on hold and names them."""
    asking = [guest.packages[nameid].now.solvable for nameid in locked if nameid in guest.packages]
    if not asking:
        return
    wished = {one.now.id: one for one in wishes}
    now = frozenset(one.now.id for one in guest.packages.values())
    goal = now - {*wished} | {one.candidate.id for one in wished.values() if one.candidate}
    for relation in (each for one in asking for each in relations.asked(one)):
        if relations.is_met(relation, now):
            for one in _taking(guest, relations, relation):
                if one.now.id in wished and one.candidate and _misses(relations, one, goal):
                    yield one.candidate.id


def _without_new(guest: Guest, relations: Relations, ids: frozenset[int]) -> frozenset[int]:
    return frozenset(one for one in ids if relations.version(one).nameid in guest.packages)


def _taking(guest: Guest, relations: Relations, relation: int) -> Iterator[Installed]:
    """The packages that a relation names and that satisfy it in their installed version only."""
    for alternative in relations.alternatives(relation):
        one, met = guest.packages.get(relations.named(alternative)), relations.ids(alternative)
        if one and one.candidate and one.now.id in met and one.candidate.id not in met:
            yield one


def _misses(relations: Relations, one: Installed, rest: frozenset[int]) -> bool:
    """Whether a candidate finds something missing or in its way among what is installed."""
    if one.candidate is None or one.candidate.id not in rest:
        return False
    solvable = one.candidate.solvable
    if not all(relations.is_met(each, rest) for each in relations.asked(solvable)):
        return True
    excluded = (relations.ids(each) & rest for each in relations.of(solvable, CONFLICTS))
    return any(found - {solvable.id} for found in excluded)
