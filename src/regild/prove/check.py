"""Whether what is observed after a change is what the plan promised: expected == observed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from regild.model.content import Application, Content, Package
from regild.model.plan import Difference

Key = tuple[str, str, str]
"""Type, name and architecture of a package."""


def check_content(expected: tuple[Package, ...], observed: Content) -> tuple[Difference, ...]:
    """Every package that is not there as expected: another version or state, missing, or too many.

    Sorted by name; none means that the promise was kept.
    """
    promised, seen = _by_key(expected), _by_key(observed.packages)
    return tuple(
        Difference(what=_named(key), expected=_said(promised, key), observed=_said(seen, key))
        for key in sorted(promised.keys() | seen.keys(), key=lambda key: (key[1], key))
        if promised.get(key) != seen.get(key)
    )


def check_applications(
    expected: Iterable[Application], observed: Iterable[Application]
) -> Iterator[Difference]:
    """Every application that is not there as expected; one that a recipe found may have moved.

    Where only those of recipes are expected, only they are looked at.
    """
    expected = tuple(expected)
    if all(one.recipe for one in expected):
        observed = [one for one in observed if one.recipe]
    promised, seen = _by_place(expected), _by_place(observed)
    for key in sorted(promised.keys() | seen.keys()):
        was, now = promised.get(key, Counter()), seen.get(key, Counter())
        if was != now:
            told = [", ".join(sorted(one.elements())) or "absent" for one in (was, now)]
            yield Difference(f"application {' '.join(filter(None, key))}", *told)


def _by_place(applications: Iterable[Application]) -> dict[tuple[str, str], Counter[str]]:
    """Versions by name, and by place where no recipe says what belongs together."""
    found: dict[tuple[str, str], Counter[str]] = {}
    for one in applications:
        key = one.name, "" if one.recipe else one.where
        found.setdefault(key, Counter())[one.version or "of no version"] += 1
    return found


def _by_key(packages: Iterable[Package]) -> dict[Key, Counter[str]]:
    """Versions, states and holds by package; several versions may be there side by side."""
    found: dict[Key, Counter[str]] = {}
    for one in packages:
        stated = one.version if one.state == "installed" else f"{one.version} {one.state}"
        stated += " on hold" if one.hold else ""
        found.setdefault((one.type, one.name, one.arch), Counter())[stated] += 1
    return found


def _said(found: dict[Key, Counter[str]], key: Key) -> str:
    return ", ".join(sorted(found[key].elements())) if key in found else "absent"


def _named(key: Key) -> str:
    type, name, arch = key
    plain = f"{name}:{arch}" if arch else name
    return plain if type == "deb" else f"{type} {plain}"
