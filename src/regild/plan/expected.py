"""The package list that a plan leads to; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from regild.model.content import Content, Package
from regild.model.plan import Mark, Step
from regild.plan.family import Family, family_of

Rows = dict[tuple[str, str, str, str], Package]
"""Packages by type, name, architecture and, where several can be there at once, version."""


def expected_packages(
    content: Content, steps: tuple[Step, ...], marks: tuple[Mark, ...] = ()
) -> tuple[Package, ...]:
    """The package list after the steps: what describing the result must show."""
    family = family_of(content.planning.type)
    if not steps:
        return content.packages
    # Others, as those of languages, may be there several times, and stay as they are.
    rest = [one for one in content.packages if one.type != content.planning.type]
    mine = (one for one in content.packages if one.type == content.planning.type)
    packages: Rows = {_row(one, family): one for one in mine}
    # What comes in beside another version of itself must not be taken for that one.
    for step in sorted(steps, key=lambda one: one.action == "install"):
        before = _taken(packages, step, content, family)
        if step.action != "remove":
            after = _installed(before, step, content, family)
            packages[_row(after, family)] = after
    found = (*_marked(packages.values(), marks, content, family), *rest)
    return tuple(sorted(found, key=lambda one: (one.type, one.name, one.arch, one.version)))


def _marked(
    packages: Iterable[Package], marks: Iterable[Mark], content: Content, family: Family
) -> Iterator[Package]:
    """Packages with marks of their own; of what is for all architectures the native one is said."""
    known = {(one.name, one.arch): one.auto for one in marks}
    native = next(iter(content.planning.architectures), "")
    for one in packages:
        auto = known.get((one.name, native if one.arch == family.any_arch else one.arch), one.auto)
        yield one if auto == one.auto else replace(one, auto=auto)


def _row(package: Package, family: Family) -> tuple[str, str, str, str]:
    """What tells one package of a list from the others."""
    version = package.version if family.several else ""
    return package.type, package.name, package.arch, version


def _taken(packages: Rows, step: Step, content: Content, family: Family) -> Package | None:
    """The package that a step replaces or removes, taken out of the list."""
    if family.several:
        here = [key for key in packages if key[:2] == (step.type, step.name) and key[3] == step.was]
        here.sort(key=lambda key: key[2] != step.arch)
        return packages.pop(here[0]) if here and step.was else None
    native = content.planning.architectures[:1]
    alike = (*native, family.any_arch)
    # A package may become one for all architectures, or stop being one.
    same = (step.arch, *alike) if step.arch in alike else (step.arch,)
    found = [packages.pop((step.type, step.name, arch, ""), None) for arch in dict.fromkeys(same)]
    return next(filter(None, found), None)


def _installed(before: Package | None, step: Step, content: Content, family: Family) -> Package:
    """A package after its step; a new one is there for another's sake, as its manager marks it."""
    places = (one.where for one in content.packages if one.type == step.type)
    where = next(places, family.database)
    start = before or Package(type=step.type, name=step.name, version="", auto=True, where=where)
    return replace(
        start,
        version=step.becomes,
        arch=step.arch,
        source=step.source,
        source_version=step.source_version,
        purl=family.url(step.name, step.becomes, step.arch, content.platform),
        state="installed",
    )
