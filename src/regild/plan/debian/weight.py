"""How much an installed package weighs against another, where both cannot be had.

As apt weighs them: what is essential or of a high priority, and what many others need; a package
that others of weight need weighs as much more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet

from regild.plan.debian.choice import CONFLICTS, RECOMMENDS, REQUIRES, Relations
from regild.plan.debian.guest import Guest
from regild.plan.debian.loading import UNSTATED
from regild.plan.debian.shelf import Version

ESSENTIAL = 100
"""Of what is Essential or Important; what they need weighs as much more."""
KEPT = 5000
"""Added to those in the end."""
HELD = 10_000
"""For a package on hold (pkgProblemResolver::Scores of apt's own example of a configuration)."""
PRIORITIES = {1: 3, 2: 2, 3: 1, 4: -1, 5: -2, UNSTATED: 0}
"""From required to extra."""
ON_OFFER = 1
"""For an installed package that a repository offers."""


def goal_of(guest: Guest, relations: Relations, at: Mapping[int, int]) -> dict[int, Version]:
    """The versions that are meant by libsolv's ids of them, by title; 0 means none."""
    goal = {}
    for nameid, identity in at.items():
        one = guest.packages.get(nameid)
        if one and identity == one.now.id:
            goal[nameid] = one.now
        elif one and one.candidate and identity == one.candidate.id:
            goal[nameid] = one.candidate
        elif identity:
            solvable = relations.version(identity)
            goal[nameid] = Version(solvable, relations.facts(solvable), (0,), identity)
    return goal


def weights(
    guest: Guest,
    relations: Relations,
    goal: Mapping[int, Version],
    locked: AbstractSet[int],
    refused: AbstractSet[int] = frozenset(),
) -> dict[int, int]:
    """The weight of each package of a goal, and of each that it speaks of, by title; `refused` are
    those whose next version was found not to do."""
    base = {
        nameid: _own(guest, relations, nameid, one, nameid in refused)
        for nameid, one in goal.items()
    }
    ids = {one.id: nameid for nameid, one in goal.items()}
    heirs: dict[int, int] = {}
    absent: dict[int, int] = {}
    settled: list[tuple[int, int]] = []
    for nameid, one in goal.items():
        for kind, points in ((REQUIRES, 1), (RECOMMENDS, 1), (CONFLICTS, -1)):
            for relation in relations.of(one.solvable, kind):
                for named, met, counts in _met_by(relations, relation, ids):
                    for other in met if counts else ():
                        if other != nameid or points > 0:  # it may provide what it asks for
                            base[other] += points
                    if counts and named not in goal:
                        absent[named] = absent.get(named, 0) + points
                    if points > 0 and named in goal:
                        settled.append((named, nameid))
    for named, nameid in settled:
        heirs[named] = heirs.get(named, 0) + max(0, base[nameid])
    whole = absent | base
    for named, points in heirs.items():
        for other in {named, *_standing_for(relations, named, ids)}:
            whole[other] += points
    for nameid, one in goal.items():
        whole[nameid] += KEPT * relations.is_essential(one.solvable) + HELD * (nameid in locked)
    return whole


def _own(guest: Guest, relations: Relations, nameid: int, one: Version, is_refused: bool) -> int:
    offered = bool(one.places) or nameid not in guest.packages
    points = PRIORITIES[one.facts.priority] if offered else PRIORITIES[5]
    installed = guest.packages.get(nameid)
    stays = installed is not None and installed.now.places and not installed.is_unwanted
    if installed is not None and ((installed.candidate and not is_refused) or stays):
        points += ON_OFFER
    return points + ESSENTIAL * relations.is_essential(one.solvable)


def _met_by(
    relations: Relations, relation: int, ids: Mapping[int, int]
) -> Iterator[tuple[int, set[int], bool]]:
    """For each alternative of a relation the name that it asks for, the packages that meet it, and
    whether they count: those that only stand for a name do where no version of it is asked for."""
    for alternative in relations.alternatives(relation):
        named = relations.named(alternative)
        met = {ids[one.id] for one in relations.providers(alternative) if one.id in ids}
        yield named, met, named in met or not relations.is_versioned(alternative)


def _standing_for(relations: Relations, named: int, ids: Mapping[int, int]) -> Iterator[int]:
    """The packages that provide the name of another one that is there."""
    for one in relations.providers(named):
        if one.id in ids:
            yield ids[one.id]
