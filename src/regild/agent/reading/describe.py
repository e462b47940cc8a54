"""`describe` as an answer: every virtual system of an image."""

from __future__ import annotations

from pathlib import Path

from regild.agent.reading.inspect import Inspected, open_system
from regild.agent.reading.intake import open_image
from regild.agent.reading.recipes import recipes_for
from regild.agent.site import Site
from regild.describe.boot import read_boot
from regild.image.keys import NO_KEYS, Keys
from regild.model.answers import DescribeAnswer, DiskAnswer
from regild.model.progress import Progress


def describe(
    path: Path,
    progress: Progress,
    keys: Keys = NO_KEYS,
    languages: bool = True,
    site: Site | None = None,
) -> tuple[DescribeAnswer, ...]:
    """What each virtual system of an image holds, with or without packages of programming
    languages, and with the applications that the recipes of a site find; nothing is booted, mounted
    or written.

    Raises: as `open_image`, `open_system` and `recipes_for`.
    """
    with open_image(path, keys) as image:
        recipes = recipes_for(image, site).used if site else ()
        answers = []
        for system in image.systems:
            progress.step(f"Reading {path.name} {system.id}".rstrip())
            with open_system(image, system, languages, recipes) as inspected:
                answers.append(answer_of(inspected))
        return tuple(answers)


def answer_of(inspected: Inspected) -> DescribeAnswer:
    """The answer for an inspected system."""
    image, content = inspected.image, inspected.content
    boot = read_boot(inspected.guest.tree)
    return DescribeAnswer(
        image=str(image.path),
        form=image.form,
        name=image.appliance.name_of(inspected.system.id) if image.appliance else "",
        system=inspected.system.id,
        platform=content.platform,
        packages=content.packages,
        applications=content.applications,
        sources=content.sources,
        unknowns=(*content.unknowns, *boot.unknowns),
        boot=boot.entries,
        descriptor=inspected.state,
        disks=tuple(
            DiskAnswer(one.stored.name, one.disk.format, one.disk.size, one.stored.bytes)
            for one in inspected.disks
        ),
        read_bytes=inspected.read_bytes + len(image.envelope_bytes),
        state=content.state,
    )
