"""`describe` and `diff` as answers: every virtual system of an image, and two images compared."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from regild.agent.inspect import Inspected, open_system
from regild.agent.intake import open_image
from regild.describe.compare import compare
from regild.model.answers import DescribeAnswer, DiffAnswer, DiskAnswer
from regild.model.content import Content, Unknown
from regild.model.progress import Progress


def describe(path: Path, progress: Progress) -> tuple[DescribeAnswer, ...]:
    """What each virtual system of an image holds; nothing is booted, mounted or written.

    Raises: as `open_image` and `open_system`.
    """
    with open_image(path) as image:
        answers = []
        for system in image.systems:
            progress.step(f"Reading {path.name} {system.id}".rstrip())
            with open_system(image, system) as inspected:
                answers.append(answer_of(inspected))
        return tuple(answers)


def diff(old: Path, new: Path, progress: Progress) -> DiffAnswer:
    """What changed from one image to another, package by package.

    Raises: as `open_image` and `open_system`; UnsupportedError for an image of several systems.
    """
    before, after = (_content(path, progress) for path in (old, new))
    found = compare(before, after)
    return DiffAnswer(
        old=str(old),
        new=str(new),
        platform=found.platform,
        changes=found.changes,
        applications=found.applications,
        sources=found.sources,
        unknowns=(*_named(old, before), *_named(new, after)),
    )


def _content(path: Path, progress: Progress) -> Content:
    """What the one system of an image holds."""
    progress.step(f"Reading {path.name}")
    with open_image(path) as image, open_system(image, image.only_system) as inspected:
        return inspected.content


def _named(path: Path, content: Content) -> Iterator[Unknown]:
    """The unknowns of an image, under its name."""
    for one in content.unknowns:
        yield Unknown(f"{path.name}: {one.where}", one.why)


def answer_of(inspected: Inspected) -> DescribeAnswer:
    """The answer for an inspected system."""
    image, content = inspected.image, inspected.content
    return DescribeAnswer(
        image=str(image.path),
        form=image.form,
        system=inspected.system.id,
        platform=content.platform,
        packages=content.packages,
        applications=content.applications,
        sources=content.sources,
        unknowns=content.unknowns,
        descriptor=inspected.state,
        disks=tuple(
            DiskAnswer(one.stored.name, one.disk.format, one.disk.size, one.stored.bytes)
            for one in inspected.disks
        ),
        read_bytes=inspected.read_bytes + len(image.envelope_bytes),
        state=content.state,
    )
