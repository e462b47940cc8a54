"""Which kernels stay when what nobody needs is swept away.

apt keeps the kernel that runs, the newest one and, where these are one, the one before, by the
versions of their packages, in all flavours, with everything that is named after them
(APT::VersionedKernelPackages). An image at rest runs none: the newest that it had before the
change counts as the one that runs, for that is what it would have booted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from regild.model.pattern import posix_patterns
from regild.model.versions import debian_key
from regild.plan.debian.choice import Relations
from regild.plan.debian.guest import Guest

KEPT = 2
IMAGE = re.compile(r"(?:linux|kfreebsd|gnumach)-image-([0-9]+\..*)")
"""The package of a kernel; what follows is what the kernel says of itself (uname(1))."""
NOT_IMAGES = ("-dbg", "-dbgsym")


class Kernels:
    """The kernels among some versions, which an image ends with."""

    def __init__(self, guest: Guest, relations: Relations, ids: frozenset[int]) -> None:
        self.relations = relations
        self._stems = guest.options.get("APT::VersionedKernelPackages", [])
        names = set()
        if self._stems and guest.is_on("APT::Protect-Kernels", default=True):
            names = set(_staying(guest, relations, ids))
        self.patterns = tuple(self._named_after(names))
        """Expressions for what is named after a kernel that stays."""

    def _named_after(self, names: Iterable[str]) -> Iterator[str]:
        for name in sorted(names):
            for stem in self._stems:
                yield f"^{stem}-{re.escape(name)}$"

    def staying(self, found: list[int]) -> list[int]:
        """Of packages that one source builds and that do for one another: all of them, but where
        all are named after kernels, those of kernels that stay, if there are any."""
        if len(found) < 2 or not self.patterns:
            return found
        names = {one: self.relations.version(one).name.partition(":")[0] for one in found}
        is_named_so = posix_patterns(*(f"^{stem}-.*$" for stem in self._stems))
        if not all(map(is_named_so, names.values())):
            return found
        stays = posix_patterns(*self.patterns)
        return [one for one in found if stays(names[one])] or found


def _staying(guest: Guest, relations: Relations, ids: Iterable[int]) -> Iterator[str]:
    """What the kernels that stay say of themselves."""
    versions: dict[str, set[str]] = {}
    booted, newest = "", ()
    for one in map(relations.version, ids):
        if not (name := _name(one)):
            continue
        version = relations.facts(one).version
        versions.setdefault(version, set()).add(name)
        before = guest.packages.get(one.nameid)
        if before is not None and (key := debian_key(before.now.facts.version)) > newest:
            booted, newest = version, key
    ordered = sorted(versions, key=debian_key, reverse=True)
    staying = {*ordered[:1], *filter(None, [booted])}
    for version in ordered[: KEPT if len(staying) < KEPT else 0]:
        staying.add(version)
    for version in staying:
        yield from versions[version]


def _name(one: Any) -> str:
    """What a kernel's package says of its kernel; empty for any other package."""
    name = one.name.partition(":")[0]
    match = None if name.endswith(NOT_IMAGES) else IMAGE.fullmatch(name)
    return match[1] if match else ""
