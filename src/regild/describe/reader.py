"""Verb 1: from a guest's files to its Content.

A reader takes what is known so far and adds what it finds; what cannot be read becomes an Unknown.
A guest of which nothing at all could be read is an error, never an empty answer.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Protocol

from msgspec.structs import replace

from regild.describe.apk import read_apk
from regild.describe.apk_settings import read_apk_settings
from regild.describe.applications import read_applications
from regild.describe.apt_settings import read_apt_settings
from regild.describe.apt_sources import read_apt_sources
from regild.describe.dpkg import STATUS, read_dpkg
from regild.describe.evidence import Evidence
from regild.describe.findings import Findings
from regild.describe.foreign import read_foreign
from regild.describe.kernels import read_kernels
from regild.describe.keyrings import read_keyrings
from regild.describe.languages import read_languages
from regild.describe.legible import legible
from regild.describe.macos import read_macos
from regild.describe.os_release import read_os_release
from regild.describe.pacman import read_pacman
from regild.describe.recipes import find_applications
from regild.describe.rpm import read_rpm
from regild.describe.rpm_settings import read_rpm_settings
from regild.describe.rpm_sources import read_rpm_sources
from regild.describe.stores import read_stores
from regild.describe.windows import read_windows
from regild.errors import NothingRead
from regild.model.content import Content, Unknown
from regild.model.recipe import Recipe

if TYPE_CHECKING:
    from regild.image.tree import Guest


class Reader(Protocol):
    """Adds to what is known of a guest.

    What it cannot read it returns as unknowns; it raises only what is not the guest's fault.
    """

    def __call__(self, evidence: Evidence, known: Findings, /) -> Findings:
        """What this reader finds; `known` is what the readers before it found."""


READERS: tuple[Reader, ...] = (
    read_os_release,
    read_windows,
    read_macos,
    read_dpkg,
    read_rpm,
    read_apk,
    read_pacman,
    read_foreign,
    read_apt_sources,
    read_keyrings,
    read_apt_settings,
    read_rpm_settings,
    read_rpm_sources,
    read_apk_settings,
    read_kernels,
    read_applications,
    read_stores,
    read_languages,
)
"""In order: each may build on what stands above it."""


def describe_guest(
    guest: Guest, languages: bool = True, recipes: tuple[Recipe, ...] = ()
) -> Content:
    """Everything that a guest's files say about its software, the same for the same files; without
    `languages` the packages of programming languages are left out. `recipes` tell of applications
    that nothing else would find.

    Raises: NothingRead when there is neither an os-release nor a package database.
    """
    evidence = Evidence(guest)
    found = Findings(unknowns=tuple(guest.unknowns))
    for reader in READERS if languages else [one for one in READERS if one is not read_languages]:
        found = found.merged(reader(evidence, found))
    if found.platform is None and not found.databases:
        raise NothingRead(where="the guest", why=_why_nothing(found))
    if not found.databases:
        why = "the guest has no package database that regild knows"
        found = found.merged(Findings(unknowns=(Unknown(where=STATUS, why=why),)))
    if recipes:
        applications, unknowns = find_applications(evidence, recipes, found.applications)
        found = dataclasses.replace(
            found, applications=applications, unknowns=found.unknowns + unknowns
        )
    return _content(found, guest, evidence)


def _content(found: Findings, guest: Guest, evidence: Evidence) -> Content:
    platform = found.known_platform
    unknowns = list(dict.fromkeys(found.unknowns))
    if not platform.id:
        unknowns.append(Unknown(where="/etc/os-release", why="the guest does not say what it is"))
    content = Content(
        platform=replace(platform, family=platform.family or "linux"),
        packages=tuple(
            sorted(found.packages, key=lambda one: (one.type, one.name, one.arch, one.version))
        ),
        applications=tuple(sorted(found.applications, key=lambda one: (one.where, one.name))),
        sources=found.sources,
        unknowns=tuple(unknowns),
        planning=found.known_planning,
        volumes=tuple(guest.spaces),
        witnesses=evidence.witnesses,
    )
    return legible(content)


def _why_nothing(found: Findings) -> str:
    if found.unknowns:
        return "; ".join(f"{one.where}: {one.why}" for one in found.unknowns[:3])
    return "there is neither an os-release nor a package database in it"
