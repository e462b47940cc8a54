"""`resize`: the same image on a larger disk, its guest's filesystem grown with it."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from regild import __version__
from regild.agent.changing.proof import COMPARED
from regild.agent.reading.inspect import Inspected, open_system, with_further
from regild.agent.reading.intake import open_image
from regild.agent.reading.verify import require_manifest
from regild.agent.writing.deliver import check_deliverable, draft_for, new_disk, write_target
from regild.agent.writing.inscribe import (
    check_target,
    created_of,
    licences_of,
    new_descriptor,
    output_of,
)
from regild.describe.bom import write_cyclonedx
from regild.describe.reader import describe_guest
from regild.errors import ProveError, UnsupportedFilesystem, UsageError
from regild.host.namespace import View, find_id_map
from regild.host.scratch import Scratch, default_folder, open_scratch
from regild.host.stage import run_stage
from regild.image.grains import MAX_DISK_BYTES, SECTOR_BYTES
from regild.image.guest import open_guest
from regild.image.longer import Longer
from regild.image.merkle import virtual_digest
from regild.image.overlay import Overlay
from regild.image.tree import Mount
from regild.model.content import Content
from regild.model.form import ResizeAnswer
from regild.model.progress import Progress
from regild.prove.check import check_content
from regild.publish.assemble import Published
from regild.publish.draft import Bom, NewDisk

SECONDS_MAX = 3600
UNITS = {"": 1, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(r"(\+?)([1-9][0-9]{0,17})([MGT]?)(?:i?B)?")


def resize(
    path: Path,
    size: str,
    output: Path,
    progress: Progress,
    *,
    mount: str = "/",
    form: str | None = None,
    scratch: Path | None = None,
    force: bool = False,
) -> ResizeAnswer:
    """Write an image once more with a larger disk; the filesystem at `mount` gets the new room.

    `size` is what is added (`+2G`) or the whole (`12G`). The guest has to hold the same afterwards.

    Raises: UsageError; UnsupportedFormat, UnsupportedFilesystem where that cannot grow;
    ChangeError, IntegrityError, ProveError; as `open_image`, `open_system` and the writers of
    `publish`.
    """
    check_target(path, output, force)
    with open_image(path) as image:
        require_manifest(image, progress)
        progress.step(f"Reading {path.name}")
        with open_system(image, image.only_system) as inspected:
            inspected.boot.stored.whole()
            check_deliverable(inspected, output, form, force)
            wanted = read_size(size, inspected.boot.disk.size)
            grown = _growing(inspected, mount)
            name = f"resize-{path.stem[:40]}"
            with open_scratch(scratch or default_folder(), name, find_id_map()) as job:
                answer = _grow(inspected, grown, wanted, job, progress)
                return _written(
                    inspected, grown, wanted, answer, output, form, job, force, progress
                )


def read_size(text: str, size: int) -> int:
    """The new size of a disk, in whole sectors.

    Raises: UsageError where it would not be larger.
    """
    found = _SIZE.fullmatch(text)
    if found is None:
        raise UsageError(what=f"a size is +2G, +512M or 12G, not {text[:40]!r}")
    plus, number, unit = found.groups()
    wanted = int(number) * UNITS[unit] + (size if plus else 0)
    if wanted <= size:
        raise UsageError(what=f"the disk has {size} bytes already; it can only become larger")
    if wanted > MAX_DISK_BYTES:
        raise UsageError(what=f"a disk of {wanted} bytes is larger than regild reads")
    return -(-wanted // SECTOR_BYTES) * SECTOR_BYTES


def _growing(inspected: Inspected, mount: str) -> Mount:
    """The volume that gets the new room.

    Raises: UsageError, UnsupportedFilesystem.
    """
    for one in inspected.guest.mounts:
        if one.path == mount:
            if one.filesystem in COMPARED and not one.volume.layer:
                return one
            kind = one.volume.layer or one.filesystem
            why = f"it lies on {kind}; ext2, ext3 and ext4 in a partition can grow"
            raise UnsupportedFilesystem(where=mount, why=why)
    known = ", ".join(one.path for one in inspected.guest.mounts)
    raise UsageError(what=f"nothing of the guest is mounted at {mount}: there are {known}")


def _grow(
    inspected: Inspected, grown: Mount, wanted: int, job: Scratch, progress: Progress
) -> dict[str, Any]:
    """The stage that makes the overlay."""
    path, offset, length = inspected.boot.stored.whole()
    job.make_guest()
    with path.open("rb") as file:
        request = {
            "disk": file.fileno(),
            "where": str(path),
            "offset": offset,
            "bytes": length,
            "job": str(job.guest),
            "new_bytes": wanted,
            "part_offset": grown.volume.offset,
            "part_bytes": grown.volume.bytes,
        }
        answer: dict[str, Any] = run_stage(
            "regild.change.resize",
            request,
            ids=job.ids,
            view=View(writable=(job.guest,)),
            log=job.path / "stages.log",
            progress=progress,
            keep=(file.fileno(),),
            timeout_seconds=SECONDS_MAX,
        )
    return answer


def _written(
    inspected: Inspected,
    grown: Mount,
    wanted: int,
    answer: dict[str, Any],
    output: Path,
    form: str | None,
    job: Scratch,
    force: bool,
    progress: Progress,
) -> ResizeAnswer:
    """Describe the result, hold it against what was, and write it."""
    longer = Longer(inspected.boot.disk, wanted)
    with Overlay.open(job.guest / "overlay", longer) as overlay:
        observed = _observed(inspected, overlay, progress)
        published = _publish(inspected, overlay, observed, output, form, job, force, progress)
    return ResizeAnswer(
        image=str(inspected.image.path),
        mount=grown.path,
        disk_was=inspected.boot.disk.size,
        disk_becomes=wanted,
        volume_was=grown.volume.bytes,
        volume_becomes=answer["part_bytes"],
        output=output_of(published),
        unknowns=observed.unknowns,
    )


def _observed(inspected: Inspected, overlay: Overlay, progress: Progress) -> Content:
    """What the result holds: the same packages as before.

    Raises: ProveError; as `open_guest`.
    """
    progress.step("Describing the result")
    with open_guest(overlay, inspected.boot.stored.name, inspected.image.keys) as guest:
        observed = describe_guest(guest)
    differences = check_content(inspected.content.packages, observed)
    if differences:
        told = tuple(f"{one.what}: {one.expected} != {one.observed}" for one in differences)
        raise ProveError(where="the result", differences=told)
    return with_further(observed, inspected)


def _publish(
    inspected: Inspected,
    overlay: Overlay,
    observed: Content,
    output: Path,
    form: str | None,
    job: Scratch,
    force: bool,
    progress: Progress,
) -> Published:
    target = check_deliverable(inspected, output, form, force)
    boot = inspected.boot.stored
    progress.step("Hashing the virtual disk", overlay.size)
    virtual = virtual_digest(overlay, progress)
    created = created_of(inspected.image.path)
    before = new_descriptor(inspected, created, {boot.id: virtual})
    bindings = tuple(
        replace(one, virtual_bytes=overlay.size) if one.disk == boot.id else one
        for one in before.bindings
    )
    descriptor = replace(
        before,
        content=observed,
        bindings=bindings,
        generation=before.generation + 1,
        parent=inspected.image.promised.get(boot.name) or inspected.content.state,
    )
    stem = output.name.rpartition(".")[0] or output.name
    licences = licences_of(inspected, progress)
    bom = Bom(write_cyclonedx(observed, stem, created, __version__, licences))
    with contextlib.ExitStack() as stack:
        form_of = target.disk_format
        stored = new_disk(overlay, boot.name, form_of, job.path, stack, progress)
        disks = {boot.id: NewDisk(stored, form_of, overlay.size)}
        draft = draft_for(inspected, output, disks, descriptor, bom, target.form != "disk")
        return write_target(draft, target, output, force, progress)
