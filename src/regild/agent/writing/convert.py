"""`convert`: the same disks in another form, with what they hold held against what they held."""

from __future__ import annotations

import contextlib
from pathlib import Path

from regild import __version__
from regild.agent.reading.inspect import Inspected, OpenDisk, open_system
from regild.agent.reading.intake import open_image
from regild.agent.reading.verify import require_manifest
from regild.agent.writing.deliver import (
    DISK_FORMATS,
    PACKAGES,
    Target,
    check_deliverable,
    draft_for,
    new_disk,
    write_target,
)
from regild.agent.writing.inscribe import (
    check_target,
    created_of,
    licences_of,
    new_descriptor,
    output_of,
)
from regild.describe.bom import write_cyclonedx
from regild.errors import IntegrityError, UnsupportedFormat, UsageError
from regild.image.formats import open_disk
from regild.image.merkle import virtual_digest
from regild.model.digest import Digest
from regild.model.form import ConvertAnswer, ConvertedDisk
from regild.model.progress import Progress
from regild.ovf.member import Member
from regild.publish.assemble import temporary_folder
from regild.publish.draft import SUFFIXES, Bom, NewDisk
from regild.publish.stored import Copied, Stored


def convert(
    path: Path,
    output: Path,
    form: str,
    progress: Progress,
    *,
    disk_form: str | None = None,
    force: bool = False,
) -> ConvertAnswer:
    """Write an image once more in another form; the guest's bytes stay as they are.

    `form` is `ova`, `ovf` or a disk's format; `disk_form` that of the disks in a package (default:
    `vmdk-stream`). Each new disk is read again and has to hold what the old one held.

    Raises: UsageError, TargetExists, UnsupportedFormat, ToolMissing, IntegrityError; as
    `open_image`, `open_system` and the writers of `publish`.
    """
    check_target(path, output, force)
    with open_image(path) as image:
        require_manifest(image, progress)
        progress.step(f"Reading {path.name}")
        with open_system(image, image.only_system) as inspected:
            target = _target(form, disk_form)
            check_deliverable(inspected, output, form, force)
            for one in inspected.disks:
                if one.stored.parent is not None:
                    raise UnsupportedFormat(where=one.stored.name, why="it is a delta disk")
            with temporary_folder(output.with_name(f"converting-{output.name}")) as folder:
                return _written(inspected, target, output, folder, force, progress)


def _target(form: str, disk_form: str | None) -> Target:
    """What is written.

    Raises: UsageError.
    """
    if disk_form is not None and form not in PACKAGES:
        raise UsageError(what=f"--disk-format is for {' and '.join(PACKAGES)}, not for {form}")
    wanted = disk_form or (form if form not in PACKAGES else "vmdk-stream")
    if wanted not in DISK_FORMATS:
        known = ", ".join((*PACKAGES, *SUFFIXES))
        raise UsageError(what=f"{wanted} is no form that is written: there are {known}")
    return Target(PACKAGES.get(form, "disk"), DISK_FORMATS[wanted])


def _written(
    inspected: Inspected,
    target: Target,
    output: Path,
    folder: Path,
    force: bool,
    progress: Progress,
) -> ConvertAnswer:
    """Pack every disk, hold it against the old one, and write the package around them."""
    new: dict[str, NewDisk] = {}
    virtual: dict[str, Digest] = {}
    told = []
    for number, one in enumerate(inspected.disks):
        place = folder / f"disk{number}"
        place.mkdir()
        name = output.name if target.form == "disk" else one.stored.name
        stored = _packed(one, name, target.disk_format, place, progress)
        progress.step(f"Hashing the virtual disk {one.stored.id}".rstrip(), one.disk.size)
        virtual[one.stored.id] = virtual_digest(one.disk, progress)
        _check_same(stored, one, virtual[one.stored.id], progress)
        new[one.stored.id] = NewDisk(stored, target.disk_format, one.disk.size)
        facts = one.stored.name, one.disk.format, target.disk_format, one.disk.size
        told.append(ConvertedDisk(*facts, virtual[one.stored.id]))
    created = created_of(inspected.image.path)
    descriptor = new_descriptor(inspected, created, virtual)
    licences = licences_of(inspected, progress)
    stem = output.name.rpartition(".")[0] or output.name
    bom = Bom(write_cyclonedx(inspected.content, stem, created, __version__, licences))
    draft = draft_for(inspected, output, new, descriptor, bom, target.form != "disk")
    published = write_target(draft, target, output, force, progress)
    unknowns = inspected.content.unknowns
    return ConvertAnswer(str(inspected.image.path), tuple(told), output_of(published), unknowns)


def _packed(one: OpenDisk, name: str, form: str, folder: Path, progress: Progress) -> Copied:
    """A disk in its new format, as a file."""
    with contextlib.ExitStack() as stack:
        stored: Stored = new_disk(one.disk, name, form, folder, stack, progress)
        path = folder / "packed"
        with path.open("xb") as file:
            stored.write_to(file)
            file.truncate(stored.bytes)
    return Copied((Member(path.name, path, 0, path.stat().st_size),))


def _check_same(stored: Copied, one: OpenDisk, was: Digest, progress: Progress) -> None:
    """Read a new disk again: it holds what the old one held.

    Raises: IntegrityError.
    """
    (member,) = stored.members
    with open_disk(member.path) as again:
        progress.step("Reading the new disk again", again.size)
        if again.size != one.disk.size or virtual_digest(again, progress) != was:
            why = f"it holds something else than {one.stored.name} held"
            raise IntegrityError(where="the new disk", why=why)
