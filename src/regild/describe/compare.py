"""What differs between two contents, package by package."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple, TypeVar

from regild.model.answers import Change, ChangeAction
from regild.model.content import Application, Content, Package, Platform, Source
from regild.model.plan import Difference
from regild.model.versions import ORDERS, debian_key

T = TypeVar("T")
Fixes = Mapping[tuple[str, str], tuple[str, ...]]
"""Advisories by a package's name and the version that fixes them."""

Key = tuple[str, str, str]
"""Type, name and architecture of a package."""


class Comparison(NamedTuple):
    """Every difference between two contents, each list sorted."""

    platform: tuple[Difference, ...]
    changes: tuple[Change, ...]
    applications: tuple[Difference, ...]
    sources: tuple[Difference, ...]


def compare(before: Content, after: Content, fixes: Fixes | None = None) -> Comparison:
    """How one content becomes another.

    `fixes` gives the advisories that are known for a package's name and new version.
    """
    return Comparison(
        platform=tuple(_platforms(before.platform, after.platform)),
        changes=tuple(_packages(before.packages, after.packages, fixes or {})),
        applications=tuple(_applications(before.applications, after.applications)),
        sources=tuple(_sources(before.sources, after.sources)),
    )


def _platforms(before: Platform, after: Platform) -> Iterator[Difference]:
    for name in ("id", "version", "codename", "name", "arch", "edition", "build"):
        one, two = getattr(before, name), getattr(after, name)
        if one != two:
            yield Difference(what=name, expected=one, observed=two)
    if before.kernels != after.kernels:
        one, two = " ".join(before.kernels), " ".join(after.kernels)
        yield Difference(what="kernels", expected=one, observed=two)


def _packages(
    before: Iterable[Package], after: Iterable[Package], fixes: Fixes
) -> Iterator[Change]:
    """Versions of one name and architecture are paired, so that of several installed side by side
    only those that moved are listed."""
    old, new = _grouped(before, _key), _grouped(after, _key)
    for key in sorted(old.keys() | new.keys()):
        gone, come = old.get(key, []), new.get(key, [])
        stay = {one.version for one in gone} & {one.version for one in come}
        yield from _states(key, gone, come, stay)
        gone = [one for one in gone if one.version not in stay]
        come = [one for one in come if one.version not in stay]
        for was, becomes in zip(gone, come, strict=False):
            yield _moved(key, was, becomes, fixes)
        for was in gone[len(come) :]:
            yield _change("remove", key, was.version, "")
        for becomes in come[len(gone) :]:
            known = fixes.get((becomes.name, becomes.version), ())
            yield _change("install", key, "", becomes.version, known)


def _states(key: Key, gone: list[Package], come: list[Package], stay: set[str]) -> Iterator[Change]:
    """Packages whose version stays while dpkg's word for their state, or a hold, changes."""
    states = {one.version: _state(one) for one in come}
    for was in gone:
        if was.version in stay and _state(was) != states[was.version]:
            yield _change("change", key, _state(was), states[was.version])


def _state(package: Package) -> str:
    return f"{package.state}, held" if package.hold else package.state


def _moved(key: Key, was: Package, becomes: Package, fixes: Fixes) -> Change:
    # A family without an order of its own is compared in Debian's, which is right for most.
    order = ORDERS.get(key[0], debian_key)
    if order(becomes.version) < order(was.version):
        return _change("downgrade", key, was.version, becomes.version)
    known = fixes.get((becomes.name, becomes.version), ())
    return _change("upgrade", key, was.version, becomes.version, known)


def _change(
    action: ChangeAction, key: Key, was: str, becomes: str, fixes: tuple[str, ...] = ()
) -> Change:
    type, name, arch = key
    return Change(
        action=action, type=type, name=name, arch=arch, was=was, becomes=becomes, fixes=fixes
    )


def _key(package: Package) -> Key:
    return package.type, package.name, package.arch


def _grouped(values: Iterable[T], key: Callable[[T], Key]) -> dict[Key, list[T]]:
    groups: dict[Key, list[T]] = {}
    for value in values:
        groups.setdefault(key(value), []).append(value)
    return groups


def _applications(
    before: Iterable[Application], after: Iterable[Application]
) -> Iterator[Difference]:
    """By folder, since an application's name may carry its version."""
    old = {one.where: f"{one.name} {one.version}".strip() for one in before}
    new = {one.where: f"{one.name} {one.version}".strip() for one in after}
    yield from _differences(old, new)


def _sources(before: Iterable[Source], after: Iterable[Source]) -> Iterator[Difference]:
    """By type, address and suite; what they say otherwise is compared."""
    yield from _differences(_stated(before), _stated(after))


def _stated(sources: Iterable[Source]) -> dict[str, str]:
    stated: dict[str, str] = {}
    for one in sources:
        signed = (key if key.startswith("/") else "a key" for key in one.signed_by)
        words = [
            *one.components,
            *(f"[{arch}]" for arch in one.architectures),
            *(f"signed-by={key}" for key in signed),
            *one.options,
            *(["disabled"] if not one.enabled else []),
            *(["trusted"] if one.trusted else []),
        ]
        name = f"{one.type} {one.uri} {one.suite}"
        stated[name] = f"{stated[name]}; {' '.join(words)}" if name in stated else " ".join(words)
    return stated


def _differences(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Difference]:
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            yield Difference(name, old.get(name, "absent"), new.get(name, "absent"))
