"""How much the installed packages grow by, as they state it themselves (Installed-Size of
deb-control(5)); pure."""

from __future__ import annotations

from collections.abc import Iterable

from regild.model.content import Content
from regild.model.plan import Step
from regild.model.release import Release


def growths(content: Content, changes: Iterable[tuple[Step, Release | None]]) -> dict[Step, int]:
    """The bytes that each step's package grows by; negative for one that shrinks or goes."""
    sizes = _installed_sizes(content.planning.status)
    found = {}
    for step, release in changes:
        grown = release.installed_kib if release else 0
        if step.was:
            others = (arch for name, arch in sizes if name == step.name)
            arch = step.arch if (step.name, step.arch) in sizes else next(others, "")
            grown -= sizes.get((step.name, arch), 0)
        found[step] = grown * 1024
    return found


def _installed_sizes(status: str) -> dict[tuple[str, str], int]:
    """Installed-Size (KiB) by package name and architecture."""
    found = {}
    for paragraph in status.split("\n\n"):
        fields = dict(line.partition(": ")[::2] for line in paragraph.splitlines())
        size = fields.get("Installed-Size", "").strip()
        if size.isdecimal():
            found[fields.get("Package", ""), fields.get("Architecture", "")] = int(size[:12])
    return found
