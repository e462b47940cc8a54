"""`diff` as an answer: two images compared package by package, with the CVE ids that the
changelogs in the new image name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from msgspec.structs import replace

from regild.agent.reading.inspect import open_system
from regild.agent.reading.intake import open_image
from regild.describe.compare import compare
from regild.errors import InputError
from regild.feeds.changelog import read_cves, unpack_changelog
from regild.image.keys import NO_KEYS, Keys
from regild.image.tree import Tree
from regild.model.answers import Change, DiffAnswer
from regild.model.content import Content, Unknown
from regild.model.progress import Progress

CHANGELOGS = ("changelog.Debian.gz", "changelog.gz")
"""A native package has the second (Debian Policy 12.7)."""
PACKED_BYTES_MAX = 16 << 20


def diff(old: Path, new: Path, progress: Progress, keys: Keys = NO_KEYS) -> DiffAnswer:
    """What changed from one image to another, package by package.

    Raises: as `open_image` and `open_system`; UnsupportedError for an image of several systems.
    """
    progress.step(f"Reading {old.name}")
    with open_image(old, keys) as image, open_system(image, image.only_system) as inspected:
        before = inspected.content
    progress.step(f"Reading {new.name}")
    with open_image(new, keys) as image, open_system(image, image.only_system) as inspected:
        after = inspected.content
        found = compare(before, after)
        changes = with_fixes(found.changes, before, inspected.guest.tree)
    return DiffAnswer(
        old=str(old),
        new=str(new),
        platform=found.platform,
        changes=changes,
        applications=found.applications,
        sources=found.sources,
        unknowns=(*_named(old, before), *_named(new, after)),
    )


def with_fixes(changes: tuple[Change, ...], before: Content, tree: Tree) -> tuple[Change, ...]:
    """Upgrades with the CVE ids that a package's changelog in the new image names since the old
    version; a changelog that is not there, or damaged, tells nothing."""
    sources = {(one.name, one.arch, one.version): one.source_version for one in before.packages}

    def told(change: Change) -> Change:
        """A change with the CVEs that the newer package's changelog names."""
        if change.action != "upgrade" or change.type != "deb" or change.fixes:
            return change
        was = sources.get((change.name, change.arch, change.was)) or change.was
        return replace(change, fixes=read_cves(_changelog(tree, change.name), was))

    return tuple(map(told, changes))


def _changelog(tree: Tree, name: str) -> str:
    """A package's changelog as the image holds it; empty where it has none."""
    if "/" in name or name.startswith("."):
        return ""
    for file in CHANGELOGS:
        try:
            packed = tree.read(f"/usr/share/doc/{name}/{file}", PACKED_BYTES_MAX)
        except InputError:
            continue
        return unpack_changelog(packed)
    return ""


def _named(path: Path, content: Content) -> Iterator[Unknown]:
    """The unknowns of an image, under its name."""
    for one in content.unknowns:
        yield Unknown(f"{path.name}: {one.where}", one.why)
