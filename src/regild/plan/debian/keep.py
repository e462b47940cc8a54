"""What an upgrade keeps back once all that can be had together is marked.

Where nothing may be removed, apt takes back one change after another (it says "Keeping package",
with Debug::pkgProblemResolver, apt.conf(5)): those that lack something they need, those that would
lose a recommended package, and those that would take from an unchanged one what it needs. What is
taken back is not tried again, so that ends; at the worst with the image as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from regild.plan.debian.choice import CONFLICTS, REQUIRES, Relations
from regild.plan.debian.guest import Guest

Loses = Callable[[Any, frozenset[int]], bool]
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
