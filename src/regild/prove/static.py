"""The static proof: one pure check a row, in the order in which a person would ask.

A check answers with differences, none when it holds. What it needs may not be known (a guest that
nobody changed has no record); then it is left out and named, never taken as held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from regild.model.content import Unknown, Value
from regild.model.plan import Difference
from regild.prove.accounts import check_accounts
from regild.prove.boot_chain import check_boot_chain
from regild.prove.check import check_applications, check_content
from regild.prove.family import Ask, Family, find_family
from regild.prove.identity import check_identity
from regild.prove.leftovers import check_leftovers
from regild.prove.references import check_linker, check_links
from regild.prove.scene import UNREADABLE, Scene

Why = str


class Found(Value, frozen=True):
    """A difference and the check that found it."""

    check: str
    difference: Difference


@dataclass(frozen=True, slots=True)
class Proof:
    """What held, what did not, and what could not be asked."""

    held: tuple[str, ...]
    """The sentences of the checks that held."""
    found: tuple[Found, ...]
    unchecked: tuple[Unknown, ...]


@dataclass(frozen=True, slots=True)
class Check:
    """One question to a guest."""

    key: str
    says: str
    """What is true when it holds."""
    run: Callable[[Scene], Iterable[Difference]]
    lacks: Callable[[Scene], Why] = lambda scene: ""
    """Why it cannot be asked of a scene; empty where it can."""


def prove_static(scene: Scene, checks: tuple[Check, ...] | None = None) -> Proof:
    """Ask every question of the table of a guest."""
    held, found, unchecked = [], [], []
    for check in CHECKS if checks is None else checks:
        why = check.lacks(scene)
        if why:
            unchecked.append(Unknown(check.key, why))
            continue
        differences = tuple(_asked(check, scene))
        found += [Found(check.key, one) for one in differences]
        if not differences:
            held.append(check.says)
    return Proof(tuple(held), tuple(found), tuple(unchecked))


def _asked(check: Check, scene: Scene) -> Iterator[Difference]:
    """What a check finds; what it could not read is a difference too."""
    try:
        yield from check.run(scene)
    except UNREADABLE as error:
        yield Difference(error.where, "something that can be read", error.why)


def _by_family(pick: Callable[[Family], Ask]) -> Ask:
    """A question about the files of packages, as the family of a scene's packages asks it."""

    def ask(scene: Scene) -> Iterable[Difference]:
        family = find_family(scene)
        return pick(family)(scene) if family else ()

    return ask


def _check_packages(scene: Scene) -> Iterable[Difference]:
    return check_content(scene.expected or (), scene.content)


def _check_applications(scene: Scene) -> Iterable[Difference]:
    return check_applications(scene.applications or (), scene.content.applications)


def _check_states(scene: Scene) -> Iterator[Difference]:
    """Packages that are half installed, half configured, or wait for a trigger."""
    for one in scene.content.packages:
        if one.state != "installed":
            yield Difference(one.name, "installed", one.state)


def _check_boot(scene: Scene) -> Iterator[Difference]:
    """What the boot chain lacked before the change is not held against it."""
    found = check_boot_chain(scene.guest, scene.boot)
    before: frozenset[str] = frozenset()
    if found and scene.before:  # only then: initial RAM disks take long to unpack
        before = frozenset(check_boot_chain(scene.before, scene.boot_before))
    for sentence in found:
        if sentence not in before:
            yield Difference("the boot chain", "whole", sentence)


def _check_touched(scene: Scene) -> Iterable[Difference]:
    return scene.touched or ()


def _check_filesystems(scene: Scene) -> Iterator[Difference]:
    """What e2fsck found, and filesystems that say themselves that they are not clean."""
    yield from scene.filesystems or ()
    for space in scene.guest.spaces:
        if space.dirty:
            yield Difference(space.mount, "clean", "not shut down cleanly")


def _needs_plan(scene: Scene) -> Why:
    return "" if scene.expected is not None else "there is no plan to hold it against"


def _needs_recipes(scene: Scene) -> Why:
    return "" if scene.applications is not None else "no recipe speaks of applications"


def _needs_packages(scene: Scene) -> Why:
    if scene.shipped is None:
        return "there are no package files to hold it against"
    return _needs_database(scene)


def _needs_database(scene: Scene) -> Why:
    return "" if find_family(scene) else "there is no database of dpkg, rpm or apk"


def _needs_sums(scene: Scene) -> Why:
    if scene.shipped is not None:
        return "what the plan does not change was compared with the disk as it was"
    return _needs_database(scene)


def _needs_before(scene: Scene) -> Why:
    return "" if scene.before else "there is nothing before it to compare with"


def _needs_record(scene: Scene) -> Why:
    return "" if scene.touched is not None else "it was not compared with the disk as it was"


def _needs_e2fsck(scene: Scene) -> Why:
    if scene.filesystems is not None:
        return ""
    return scene.unasked or "there is no ext2, ext3 or ext4 filesystem that it could be asked of"


CHECKS: tuple[Check, ...] = (
    Check(
        "packages",
        "the packages described again are those that the plan expects",
        _check_packages,
        _needs_plan,
    ),
    Check(
        "applications",
        "the applications described again are those that the plan expects",
        _check_applications,
        _needs_recipes,
    ),
    Check("states", "no package is half installed or half configured", _check_states),
    Check(
        "lists",
        "every package has its list of files",
        _by_family(lambda one: one.lists),
        _needs_database,
    ),
    Check(
        "files",
        "every file of the plan's packages is as its package file has it",
        _by_family(lambda one: one.shipped),
        _needs_packages,
    ),
    Check(
        "config",
        "configuration files are as shipped, or as the site had them",
        _by_family(lambda one: one.config),
        _needs_packages,
    ),
    Check(
        "sums",
        "the files of all packages fit the package database's sums",
        _by_family(lambda one: one.sums),
        _needs_sums,
    ),
    Check("boot", "boot menu, kernels, modules, initial RAM disks and root agree", _check_boot),
    Check("links", "alternatives, units and start links lead somewhere", check_links),
    Check("linker", "the linker's cache names what is there", check_linker),
    Check("accounts", "accounts are as they were, but for system accounts added", check_accounts),
    Check("identity", "the image's own identity is as it was", check_identity, _needs_before),
    Check("leftovers", "nothing is left behind by the change", check_leftovers),
    Check("touched", "nothing differs but what is on record", _check_touched, _needs_record),
    Check("filesystems", "e2fsck finds the filesystems clean", _check_filesystems, _needs_e2fsck),
)
"""All questions; `lists` to `filesystems` are what a package manager does not ask itself."""
