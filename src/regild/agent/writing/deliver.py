"""The last step of a trip: the changed disk becomes an image in the form that was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from msgspec.structs import replace as replaced

from regild import __version__
from regild.agent.reading.inspect import Inspected
from regild.agent.reading.intake import check_not_ours
from regild.agent.writing.inscribe import check_beside, check_target, new_descriptor
from regild.describe.bom import write_cyclonedx
from regild.describe.licences import Licences
from regild.errors import UsageError
from regild.image.convert import write_raw, write_through_qemu
from regild.image.disk import Disk
from regild.image.longer import beneath
from regild.image.merkle import virtual_digest
from regild.image.overlay import Overlay
from regild.image.qcow2_write import write_qcow2
from regild.image.vmdk_sparse import write_vmdk_sparse
from regild.image.vmdk_stream import plan_stream
from regild.model.appliance import Descriptor
from regild.model.content import Content
from regild.model.digest import Digest
from regild.model.progress import Progress
from regild.model.receipt import Receipt
from regild.ovf.member import Member
from regild.prove.boot_test import Seen
from regild.prove.receipt import sign_statement, write_statement
from regild.prove.windows import Ran
from regild.publish.assemble import Published, write_disk, write_folder, write_ova
from regild.publish.draft import (
    BOM_SUFFIX,
    SUFFIXES,
    Bom,
    Draft,
    NewDisk,
    Statement,
    draft_of,
    draft_of_disk,
    plain_name,
)
from regild.publish.place import (
    BOOTED_SUFFIX,
    CONSOLE_SUFFIX,
    RUN_LOG_SUFFIX,
    RUN_SCREEN_SUFFIX,
    SCREEN_SUFFIX,
    check_file_place,
    check_folder_place,
)
from regild.publish.stored import Copied, Stored

DISK_FORMATS = {"vmdk": "vmdk-stream", **{form: form for form in SUFFIXES}}
"""What `--format` means for a bare disk."""
WRITERS = {"raw": write_raw, "qcow2": write_qcow2, "vmdk-sparse": write_vmdk_sparse}
"""The formats that are written by our own hand; qemu-img writes the others."""
PACKAGES = {"ova": "ova", "ovf": "folder"}
PACKAGE_NAMES = {form: name for name, form in PACKAGES.items()}
FORMAT_SUFFIXES = {
    ".ova": "ova",
    ".ovf": "ovf",
    ".vmdk": "vmdk",
    ".qcow2": "qcow2",
    ".img": "raw",
    ".vhd": "vhd",
    ".vhdx": "vhdx",
    ".raw": "raw",
}
"""What a name promises to a person; a name that promises nothing may be anything."""
RECEIPT_SUFFIX = ".receipt.json"
VEX_SUFFIX = ".vex.json"


@dataclass(frozen=True, slots=True)
class Target:
    """What is written: `ova`, `folder` or `disk`, and the format of the disk in it."""

    form: str
    disk_format: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """What goes into the new image."""

    inspected: Inspected
    overlay: Overlay
    observed: Content
    receipt: Receipt
    created: str
    licences: Licences
    vex: bytes = b""
    """What is fixed and what stays (OpenVEX); empty where nothing is known."""
    key: bytes | None = None
    """The private key, PEM, that signs the receipt."""
    seen: Seen | None = None
    """How the result was when it was booted for a test."""
    ran: Ran | None = None
    """What a booted Windows left of its run."""
    booted: bytes = b""
    """What the guest said on its console while it was booted for its changes."""


def check_deliverable(
    inspected: Inspected,
    output: Path,
    form: str | None,
    force: bool,
    tested: bool = False,
    ran: bool = False,
) -> Target:
    """What will be written, known before any work; refused where it cannot be, where the name
    says otherwise, or where it would replace a file beside it unasked; `tested`: with what a test
    boot leaves, `ran`: with what a run in a booted Windows does.

    Raises: UsageError, TargetExists.
    """
    target = _target(inspected, form)
    if target.disk_format not in SUFFIXES:
        why = "disks are read and not written; ask for another --format"
        raise UsageError(what=f"{target.disk_format} {why}")
    if target.form == "disk" and inspected.image.appliance and len(inspected.disks) > 1:
        raise UsageError(what="an image with several disks cannot become one bare disk")
    meant = FORMAT_SUFFIXES.get(output.suffix.lower())
    written = PACKAGE_NAMES.get(target.form) or target.disk_format.partition("-")[0]
    if form is None and meant not in (None, written):
        what = f"{output.name} is named like {meant}, but {written} would be written"
        raise UsageError(what=f"{what}: say --format {meant}, or choose another name")
    if target.form == "folder":
        check_folder_place(output, force)
    else:
        check_file_place(output)
        stem = _stem(output)
        envelope = () if target.form == "ova" else (f"{stem}.ovf", f"{stem}.mf")
        ours = (f"{plain_name(stem)}{BOM_SUFFIX}", f"{stem}{RECEIPT_SUFFIX}", f"{stem}{VEX_SUFFIX}")
        shown = (BOOTED_SUFFIX, *((CONSOLE_SUFFIX, SCREEN_SUFFIX) if tested else ()))
        left = (RUN_LOG_SUFFIX, RUN_SCREEN_SUFFIX) if ran else ()
        names = (*ours, *(f"{stem}{one}" for one in (*shown, *left)), *envelope)
        for path in (output, *map(output.with_name, names)):
            check_not_ours(inspected.image, path)
        check_beside(output, names, force)
    return target


def deliver(
    delivery: Delivery,
    output: Path,
    form: str | None,
    scratch: Path,
    force: bool,
    progress: Progress,
) -> Published:
    """Write the new image whole, with descriptor, bill of materials and receipt.

    Raises: UsageError, TargetExists, PublishError, DiskFull, ToolMissing.
    """
    check_target(delivery.inspected.image.path, output, force)
    kept = delivery.seen is not None, delivery.ran is not None
    target = check_deliverable(delivery.inspected, output, form, force, *kept)
    with ExitStack() as stack:
        stored = new_disk(
            delivery.overlay,
            delivery.inspected.boot.stored.name,
            target.disk_format,
            scratch,
            stack,
            progress,
        )
        disk = NewDisk(stored, target.disk_format, delivery.overlay.size)
        draft = _draft(delivery, disk, output, target.form != "disk", progress)
        return write_target(draft, target, output, force, progress)


def write_target(
    draft: Draft, target: Target, output: Path, force: bool, progress: Progress
) -> Published:
    """Write a draft in the form that was asked for.

    Raises: TargetExists, PublishError, DiskFull, NotPermitted.
    """
    for note in draft.notes:
        progress.note(note)
    if target.form == "ova":
        return write_ova(draft, output, progress, replace=force)
    if target.form == "folder":
        return write_folder(draft, output, progress, replace=force)
    return write_disk(draft, output, progress, replace=force)


def _target(inspected: Inspected, form: str | None) -> Target:
    """The form that is asked for, or the image's own."""
    appliance, disk_format = inspected.image.appliance, inspected.boot.disk.format
    whole = PACKAGES.get(form or "", form) or (appliance.form if appliance else "disk")
    disk_format = DISK_FORMATS.get(form or "", disk_format)
    if whole not in PACKAGE_NAMES:
        return Target("disk", disk_format)
    if disk_format not in SUFFIXES or (appliance is None and form):
        disk_format = "vmdk-stream"  # what every consumer of a package takes
    return Target(whole, disk_format)


def _stem(output: Path) -> str:
    return output.name.rpartition(".")[0] or output.name


def new_disk(
    disk: Disk | Overlay,
    name: str,
    form: str,
    scratch: Path,
    stack: ExitStack,
    progress: Progress,
) -> Stored:
    """A disk in a format, ready to be written: packed into a file in `scratch`, but for streams.

    Raises: ToolMissing, CommandFailed, DiskFull, UnsupportedFormat.
    """
    progress.step("Packing the disk", disk.size)
    if form == "vmdk-stream":
        base = beneath(disk) if isinstance(disk, Overlay) else None
        return stack.enter_context(
            plan_stream(base, disk, progress=progress, scratch=scratch, name=name)
        )
    packed = scratch / f"disk.{form}"
    if form in WRITERS:
        with packed.open("xb") as file:
            WRITERS[form](disk, file, progress)
    else:
        write_through_qemu(disk, packed, form, scratch, progress)
    stack.callback(packed.unlink)
    return Copied((Member(packed.name, packed, 0, packed.stat().st_size),), is_ours=True)


def _draft(
    delivery: Delivery, disk: NewDisk, output: Path, is_package: bool, progress: Progress
) -> Draft:
    """The new package or disk, with what goes beside it."""
    inspected = delivery.inspected
    descriptor = _descriptor(delivery, progress)
    stem = _stem(output)
    facts = (stem, delivery.created, __version__, delivery.licences)
    bill = Bom(write_cyclonedx(delivery.observed, *facts))
    disks = {inspected.boot.stored.id: disk}
    draft = draft_for(inspected, output, disks, descriptor, bill, is_package)
    more = {f"{stem}{VEX_SUFFIX}": delivery.vex} if delivery.vex else {}
    more |= {f"{stem}{BOOTED_SUFFIX}": delivery.booted} if delivery.booted else {}
    if delivery.seen is not None:
        more |= {f"{stem}{CONSOLE_SUFFIX}": delivery.seen.console}
        more |= {f"{stem}{SCREEN_SUFFIX}": delivery.seen.screen} if delivery.seen.screen else {}
    if delivery.ran is not None:
        more |= {f"{stem}{RUN_LOG_SUFFIX}": delivery.ran.log}
        more |= {f"{stem}{RUN_SCREEN_SUFFIX}": delivery.ran.screen} if delivery.ran.screen else {}
    statement = _statement(draft, delivery, f"{stem}{RECEIPT_SUFFIX}")
    return replace(draft, sidecars={**draft.sidecars, **more}, statement=statement)


def draft_for(
    inspected: Inspected,
    output: Path,
    disks: Mapping[str, NewDisk],
    descriptor: Descriptor,
    bom: Bom,
    is_package: bool,
) -> Draft:
    """An image with new disks, by their ids, as a package or as one bare disk.

    Raises: as `draft_of` and `draft_of_disk`.
    """
    image, stem = inspected.image, _stem(output)
    if is_package and image.appliance is not None:
        return draft_of(image.appliance, stem, disks, {inspected.system.id: descriptor}, bom)
    disk = disks[inspected.boot.stored.id]
    name = f"{plain_name(stem)}{SUFFIXES[disk.format]}" if is_package else output.name
    own = b"" if image.appliance is not None or is_package else image.envelope_bytes
    return draft_of_disk(name, disk, descriptor, bom, envelope=own)


def _statement(draft: Draft, delivery: Delivery, name: str) -> Statement:
    """The receipt, about the disks of the package, once their digests are known."""
    virtual = {
        draft.disk_files.get(one.disk, ""): one.virtual
        for descriptor in draft.descriptors.values()
        for one in descriptor.bindings
        if one.virtual is not None
    }

    def write(digests: Mapping[str, Digest]) -> bytes:
        """The receipt for files with these digests; a disk is named by its content too."""
        subjects = [
            (file, (digest, virtual[file]) if file in virtual else (digest,))
            for file, digest in digests.items()
        ]
        return write_statement(delivery.receipt, subjects)

    key = delivery.key
    if key is None:
        return Statement(name, write)
    return Statement(name, write, lambda said: sign_statement(said, key))


def _descriptor(delivery: Delivery, progress: Progress) -> Descriptor:
    """The next generation's descriptor: what was observed, bound to the new bytes."""
    inspected, overlay = delivery.inspected, delivery.overlay
    progress.step("Hashing the virtual disk", overlay.size)
    virtual = virtual_digest(overlay, progress)
    before = new_descriptor(inspected, delivery.created, {})
    bindings = tuple(
        replaced(one, virtual=virtual) if one.disk == inspected.boot.stored.id else one
        for one in before.bindings
    )
    promised = inspected.image.promised.get(inspected.boot.stored.name)
    return replaced(
        before,
        content=delivery.observed,
        bindings=bindings,
        generation=before.generation + 1,
        parent=promised or delivery.receipt.base,
    )
