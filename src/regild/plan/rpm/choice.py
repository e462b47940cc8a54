"""Which of the releases on offer a guest's settings leave to choose from: excludes, locks, modules
(dnf.conf(5), dnf-versionlock(8))."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from fnmatch import translate
from typing import Any

from regild.plan.rpm.settings import Settings, is_true
from regild.plan.rpm.shelf import Shelf
from regild.plan.rpm.streams import Filter, filter_of

EXCLUDED_WHY = "it is excluded by the image's settings"
LOCKED_WHY = "its version is locked in the image"


def left_out(shelf: Shelf, settings: Settings, forbidden: Iterable[str]) -> dict[int, str]:
    """The ids of releases that do not count, each with the reason."""
    found: dict[int, str] = {}
    for solvable, why in _reasons(shelf, settings):
        found.setdefault(solvable.id, why)
    unwanted = set(forbidden)
    for solvable in _available(shelf):
        if solvable.name in unwanted:
            found.setdefault(solvable.id, EXCLUDED_WHY)
    return found


def _reasons(shelf: Shelf, settings: Settings) -> Iterator[tuple[Any, str]]:
    modules = filter_of(shelf.modules, settings.streams)
    yield from _of_modules(shelf, modules)
    for patterns, wanted in ((settings.excludes, False), (settings.includes, True)):
        if patterns:
            yield from _excluded(_available(shelf), patterns, wanted=wanted)
    for repo, options in shelf.options.items():
        mine = [one for one in _available(shelf) if one.repo.id == repo]
        if patterns := tuple(options.get("excludepkgs", "").split()):
            yield from _excluded(mine, patterns, wanted=False)
        if patterns := tuple(options.get("includepkgs", "").split()):
            yield from _excluded(mine, patterns, wanted=True)
    yield from _locked(shelf, settings.locks)


def _available(shelf: Shelf) -> Iterator[Any]:
    for one in shelf.pool.solvables_iter():
        if one.repo is not None and one.repo.id in shelf.options:
            yield one


def _excluded(
    solvables: Iterable[Any], patterns: tuple[str, ...], *, wanted: bool
) -> Iterator[tuple[Any, str]]:
    matcher = Matcher(patterns)
    for one in solvables:
        if matcher.fits(one) != wanted:
            yield one, EXCLUDED_WHY


class Matcher:
    """Patterns of packages: a name, or more of `name-epoch:version-release.arch`, with globs."""

    def __init__(self, patterns: Iterable[str]) -> None:
        told = tuple(dict.fromkeys(patterns))
        self._plain = frozenset(one for one in told if not set(one) & set("*?["))
        globs = [translate(one) for one in told if one not in self._plain]
        self._glob = re.compile("|".join(globs)) if globs else None

    def fits(self, solvable: Any) -> bool:
        """Whether a pattern means a package."""
        return any(
            form in self._plain or (self._glob is not None and self._glob.match(form))
            for form in forms_of(solvable)
        )


def forms_of(solvable: Any) -> tuple[str, ...]:
    """The ways to write which package it is, that dnf understands."""
    name, evr, arch = solvable.name, solvable.evr, solvable.arch
    epoch, colon, rest = evr.partition(":")
    version = rest if colon else evr
    full = f"{epoch if colon else '0'}:{version}"
    short = f"{name}-{version.rpartition('-')[0]}"
    whole = (f"{name}-{version}", f"{name}-{full}")
    return (
        name,
        f"{name}.{arch}",
        short,
        *whole,
        *(f"{one}.{arch}" for one in whole),
        f"{full.partition(':')[0]}:{name}-{version}.{arch}",
    )


def nevra_of(solvable: Any) -> str:
    """A package written whole, its epoch also where it is 0."""
    evr = solvable.evr
    return f"{solvable.name}-{evr if ':' in evr else f'0:{evr}'}.{solvable.arch}"


def _of_modules(shelf: Shelf, modules: Filter) -> Iterator[tuple[Any, str]]:
    if not modules.active and not modules.inactive:
        return
    for one in _available(shelf):
        if is_true(shelf.options[one.repo.id].get("module_hotfixes", "0")):
            continue
        nevra = nevra_of(one)
        if nevra in modules.active:
            continue
        if nevra in modules.inactive:
            stream = modules.inactive[nevra]
            yield one, f"it belongs to the module {stream}, which the image has not enabled"
        elif one.name in modules.names:
            yield one, f"the image has enabled the module {modules.names[one.name]} instead"


def _locked(shelf: Shelf, locks: tuple[str, ...]) -> Iterator[tuple[Any, str]]:
    """Every release of a locked name that is not the locked one; `!` locks out the one that is."""
    out = Matcher(one[1:] for one in locks if one.startswith("!"))
    patterns = tuple(one for one in locks if not one.startswith("!"))
    kept = Matcher(patterns)
    names = {one.name for one in shelf.pool.solvables_iter() if patterns and kept.fits(one)}
    for one in _available(shelf):
        if out.fits(one) or (one.name in names and not kept.fits(one)):
            yield one, LOCKED_WHY
