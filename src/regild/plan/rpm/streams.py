"""Which packages of modules count: those of the streams that the guest has enabled, and of the
default streams where it says nothing (dnf's modularity, "Package filtering")."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from regild.model.release import ModuleBuild, Modules

PLATFORM = "platform"
"""The module that stands for the distribution itself; every build is taken to fit it, because a
guest's own repositories are of its own release."""


@dataclass(frozen=True, slots=True)
class Filter:
    """What modules say of packages."""

    active: frozenset[str]
    """`name-epoch:version-release.arch` of packages of streams that count."""
    inactive: dict[str, str]
    """The same of the others, with the module and stream that each is of."""
    names: dict[str, str]
    """Names that belong to an active stream, with the stream: others of that name do not count."""


def filter_of(told: Iterable[Modules], streams: dict[str, str]) -> Filter:
    """What counts, given the guest's own choice of streams."""
    every = tuple(told)
    chosen = {default.name: default.stream for one in every for default in one.defaults}
    chosen.update(streams)
    builds = [build for one in every for build in one.builds]
    active = _active(builds, chosen)
    kept = {nevra for build in active for nevra in build.packages}
    names = {
        name_of(nevra): f"{build.name}:{build.stream}"
        for build in active
        for nevra in build.packages
        if not nevra.endswith((".src", ".nosrc"))
    }
    inactive = {
        nevra: f"{build.name}:{build.stream}"
        for build in builds
        for nevra in build.packages
        if nevra not in kept
    }
    return Filter(frozenset(kept), inactive, names)


def _active(builds: Iterable[ModuleBuild], chosen: dict[str, str]) -> list[ModuleBuild]:
    """The builds of each chosen stream, of the context whose newest build's own needs are met.

    Older builds of it count too: their packages are there to be gone back to.
    """
    mine = [one for one in builds if one.stream and chosen.get(one.name) == one.stream]
    fitting = sorted((one for one in mine if _fits(one, chosen)), key=lambda one: one.version)
    contexts = {one.name: one.context for one in fitting}
    return [one for one in mine if contexts.get(one.name) == one.context]


def _fits(build: ModuleBuild, chosen: dict[str, str]) -> bool:
    """Whether one of the sets of modules that a build needs is chosen."""
    if not build.requires:
        return True
    return any(
        all(
            name == PLATFORM or (chosen.get(name) and _meets(chosen[name], streams))
            for name, streams in needs
        )
        for needs in build.requires
    )


def _meets(stream: str, wanted: tuple[str, ...]) -> bool:
    """Whether a stream is one of those that will do; `-x` means any but x (modulemd 2)."""
    refused = {one[1:] for one in wanted if one.startswith("-")}
    named = {one for one in wanted if not one.startswith("-")}
    return stream not in refused and (not named or stream in named)


def name_of(nevra: str) -> str:
    """The name of a package that is written whole."""
    return nevra.rpartition(".")[0].rsplit("-", 2)[0]
