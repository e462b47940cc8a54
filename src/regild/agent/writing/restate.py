"""Descriptors without looking into the disk: taken out again, or made from a bill of materials."""

from __future__ import annotations

import contextlib
from pathlib import Path

from regild import __version__
from regild.agent.reading.inspect import OpenDisk
from regild.agent.reading.intake import Image, check_not_ours, open_image, open_stored
from regild.agent.reading.verify import require_manifest
from regild.agent.writing.inscribe import (
    Place,
    answer_written,
    check_target,
    created_of,
    new_bom,
    output_of,
    write_described,
    write_draft,
)
from regild.describe.bom_reader import MAX_BYTES, read_bom
from regild.errors import MissingFile
from regild.host.files import digest_file, read_limited, write_whole
from regild.image.merkle import virtual_digest
from regild.model.answers import DescribeAnswer, DiskAnswer, Output, StripAnswer
from regild.model.appliance import Binding, Descriptor, DescriptorState
from regild.model.content import Content
from regild.model.digest import hex_of
from regild.model.progress import Progress
from regild.ovf.content import strip_descriptor
from regild.publish.draft import draft_of

ENVELOPE = ".ovf"


def strip(path: Path, out: Path, force: bool, progress: Progress) -> StripAnswer:
    """Write an image without its content descriptors; an `out` that ends in .ovf gets the envelope
    alone, every byte as it was before it was described.

    Raises: UsageError, TargetExists, MissingFile where there is no envelope, DigestMismatch; as
    `open_image` and the writers of `publish`.
    """
    check_target(path, out, force)
    with open_image(path) as image:
        if not image.envelope_bytes:
            raise MissingFile(where=f"an envelope of {path}", why="a bare disk has none")
        plain = strip_descriptor(image.envelope_bytes, image.envelope_name)
        removed = len(image.envelope_bytes) - len(plain)
        if image.appliance is not None:
            check_not_ours(image, out)
        if image.appliance is None or out.suffix == ENVELOPE:
            write_whole(out, plain)
            return StripAnswer(str(path), removed, _output(out, len(plain)))
        require_manifest(image, progress)
        draft = draft_of(image.appliance, out.stem, {}, {})
        published = write_draft(draft, image.appliance, out, force, progress)
        return StripAnswer(str(path), removed, output_of(published))


def from_bom(
    path: Path,
    bill: Path,
    out: Path,
    sbom: str,
    force: bool,
    progress: Progress,
    bom_format: str = "cyclonedx",
) -> DescribeAnswer:
    """Write an image with a descriptor that says what a bill of materials says of it.

    The disks are hashed, so that the descriptor is bound to them; their guest is not looked at, and
    an Unknown says so.

    Raises: UsageError, TargetExists, MissingFile, Malformed, UnsupportedFormat, TooLarge,
    DigestMismatch; as `open_image` and the writers of `publish`.
    """
    check_target(path, out, force)
    content = read_bom(read_limited(bill, MAX_BYTES), bill.name)
    with open_image(path) as image, contextlib.ExitStack() as stack:
        require_manifest(image, progress)
        system = image.only_system
        if not system.disks:
            raise MissingFile(where=f"a disk in {path}", why="there is none to speak of")
        disks = [OpenDisk(one, stack.enter_context(open_stored(one))) for one in system.disks]
        bindings = []
        for one in disks:
            progress.step(f"Hashing the virtual disk {one.stored.id}".rstrip(), one.disk.size)
            virtual = virtual_digest(one.disk, progress)
            bindings.append(Binding(one.stored.id, None, virtual, one.disk.size))
        created = created_of(path)
        descriptor = Descriptor(
            content=content,
            bindings=tuple(bindings),
            line=system.id or path.stem,
            generation=1,
            created=created,
            tool=f"regild {__version__}",
        )
        bom = new_bom(image, content, out, created, sbom, bom_format, {})
        place = Place(image, system, disks[0])
        published = write_described(place, descriptor, bom, out, force, progress)
        answer = answer_written(_answer(image, content, disks), published)
        claimed = DescriptorState("claimed", f"{bill.name} says so; the guest was not looked at")
        return _claiming(answer, claimed)


def _claiming(answer: DescribeAnswer, state: DescriptorState) -> DescribeAnswer:
    from msgspec.structs import replace

    return replace(answer, descriptor=state)


def _answer(image: Image, content: Content, disks: list[OpenDisk]) -> DescribeAnswer:
    return DescribeAnswer(
        image=str(image.path),
        form=image.form,
        system=image.only_system.id,
        platform=content.platform,
        packages=content.packages,
        applications=content.applications,
        sources=content.sources,
        unknowns=content.unknowns,
        descriptor=DescriptorState("claimed", ""),
        disks=tuple(
            DiskAnswer(one.stored.name, one.disk.format, one.disk.size, one.stored.bytes)
            for one in disks
        ),
        read_bytes=sum(one.disk.bytes_read for one in disks),
        state=content.state,
    )


def _output(path: Path, size: int) -> Output:
    return Output(str(path), hex_of(digest_file(path)), size)
