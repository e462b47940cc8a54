"""How much the installed packages grow by, as they state it themselves (Installed-Size of
deb-control(5), SIZE of rpm); pure."""

from __future__ import annotations

from collections.abc import Iterable

from regild.model.content import Content
from regild.model.plan import Step
from regild.model.release import Release
from regild.plan.family import family_of, sizes_of


def growths(content: Content, changes: Iterable[tuple[Step, Release | None]]) -> dict[Step, int]:
    """The bytes that each step's package grows by; negative for one that shrinks or goes."""
    sizes: dict[str, dict[tuple[str, str], int]] = {}
    for (name, arch, version), size in sizes_of(
        family_of(content.planning.type), content.planning.status
    ):
        sizes.setdefault(name, {})[arch, version] = size
    found = {}
    for step, release in changes:
        grown = release.installed_kib * 1024 if release else 0
        if step.was:
            rows = sizes.get(step.name, {})
            fitting = [key for key in rows if key[1] == step.was] or list(rows)
            fitting.sort(key=lambda key: key[0] != step.arch)
            grown -= rows[fitting[0]] if fitting else 0
        found[step] = grown
    return found
