"""Copies of one package for several architectures (Multi-Arch: same) move together or not at all:
dpkg(1) lets them stand beside each other in one version only.

apt does not begin with a candidate that the installed copy for another architecture has not, or not
as its own candidate; it says so itself ("not in sync with its M-A:same sibling", with
Debug::pkgDepCache::Marker, apt.conf(5)).
"""

from __future__ import annotations

from collections.abc import Iterator

from regild.plan.debian.guest import Guest, Installed
from regild.plan.debian.loading import Facts

SAME = "s"


def out_of_step(guest: Guest) -> Iterator[int]:
    """The ids of candidates that would leave an installed copy behind."""
    for one in guest.packages.values():
        candidate = one.candidate
        if candidate is None or candidate.facts.multi != SAME:
            continue
        meant = {_meant(copy) for copy in _copies(guest, one)}
        if meant - {candidate.facts.version}:
            yield candidate.id


def is_behind(guest: Guest, title: str, facts: Facts) -> bool:
    """Whether a new package would not be in the version of an installed copy of it."""
    name = title.partition(":")[0]
    meant = {_meant(copy) for copy in _installed(guest, name) if copy.title != title}
    return facts.multi == SAME and bool(meant - {facts.version})


def behind(guest: Guest, one: Installed) -> str:
    """Why a candidate would leave a copy behind; empty where it would not."""
    if one.candidate and one.candidate.facts.multi == SAME:
        for copy in _copies(guest, one):
            if (stays := _meant(copy)) != one.candidate.facts.version:
                return f"its copy {copy.title} stays at {stays}, and both must have one version"
    return ""


def _meant(one: Installed) -> str:
    return (one.candidate or one.now).facts.version


def _copies(guest: Guest, one: Installed) -> Iterator[Installed]:
    """The same package, installed for other architectures."""
    name = one.title.partition(":")[0]
    return (copy for copy in _installed(guest, name) if copy is not one)


def _installed(guest: Guest, name: str) -> Iterator[Installed]:
    """The installed packages of a name that some version of can be had."""
    words, pool = guest.shelf.words, guest.shelf.pool
    for arch in words.architectures if len(words.architectures) > 1 else ():
        copy = guest.packages.get(pool.str2id(words.named(name, arch)))
        if copy is not None and not copy.is_unwanted:
            yield copy
