"""Which packages nobody needs any more (apt-get(8) autoremove), and which kernels stay.

Needed is what was installed for its own sake, what is Essential, Important or required, what the
guest's settings name (APT::NeverAutoRemove), and everything that needs, recommends or suggests lead
to from there. Of the kernels the two newest stay, so that a machine can still boot the one before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from regild.model.versions import debian_key
from regild.plan.debian.choice import RECOMMENDS, REQUIRES, SUGGESTS, Relations
from regild.plan.debian.guest import Guest

KERNELS_KEPT = 2
KERNEL_IMAGE = re.compile(r"linux-image-(?:unsigned-)?([0-9]+\.[0-9].*)")
"""Names of kernels with their version in it, as Debian names them."""
REQUIRED = 1


def unneeded(
    guest: Guest, relations: Relations, ids: frozenset[int], auto: Iterable[str]
) -> set[int]:
    """Of some versions those that can go; `auto` is `name:arch` of what came for others."""
    marked = set(auto)
    pool = guest.shelf.pool
    here = {identity: pool.id2solvable(identity) for identity in ids}
    kept = list(filter(None, map(_pattern, guest.options.get("APT::NeverAutoRemove", []))))
    if guest.is_on("APT::Protect-Kernels", default=True):
        kept += _kernel_patterns(guest, here.values())
    waiting = [one for one in here.values() if _is_root(guest, relations, one, marked, kept)]
    needed = {one.id for one in waiting}
    kinds = [REQUIRES]
    if guest.is_on("APT::AutoRemove::RecommendsImportant", default=True):
        kinds.append(RECOMMENDS)
    if guest.is_on("APT::AutoRemove::SuggestsImportant", default=True):
        kinds.append(SUGGESTS)
    while waiting:
        one = waiting.pop()
        for relation in (relation for kind in kinds for relation in relations.of(one, kind)):
            for other in (relations.ids(relation) & ids) - needed:
                needed.add(other)
                waiting.append(here[other])
    return set(ids) - needed


def _is_root(
    guest: Guest, relations: Relations, one: Any, marked: set[str], kept: list[re.Pattern[str]]
) -> bool:
    facts = relations.facts(one)
    name, _, arch = one.name.partition(":")
    before = guest.packages.get(one.nameid)
    is_auto = f"{name}:{arch or guest.shelf.words.native}" in marked or before is None
    if not is_auto or facts.essential != "-" or facts.priority == REQUIRED:
        return True
    return any(pattern.search(name) for pattern in kept)


def _kernel_patterns(guest: Guest, here: Iterable[Any]) -> Iterator[re.Pattern[str]]:
    """Patterns for what belongs to the kernels that stay (APT::VersionedKernelPackages); a guest
    without that setting, which apt's own package brings, protects none, and apt neither."""
    versions = {match[1] for one in here if (match := KERNEL_IMAGE.fullmatch(one.name))}
    stems = guest.options.get("APT::VersionedKernelPackages", [])
    for version in sorted(versions, key=debian_key)[-KERNELS_KEPT:]:
        bare = version.rpartition("-")[0] or version
        for stem in stems:
            if pattern := _pattern(f"^{stem}-(?:{re.escape(version)}|{re.escape(bare)})$"):
                yield pattern


def _pattern(text: str) -> re.Pattern[str] | None:
    """A pattern of the guest's settings; one that is none, or long, is passed over."""
    try:
        return re.compile(text) if len(text) <= PATTERN_LIMIT else None
    except re.error:
        return None


PATTERN_LIMIT = 200
