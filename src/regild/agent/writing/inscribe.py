"""`describe -o`: the same image once more, with a content descriptor and a bill of materials.

The disks' bytes are taken over as they are. They are hashed against the manifest first: a new
manifest over damaged bytes would make them look sound.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import replace

from regild import __version__
from regild.agent.reading.describe import answer_of
from regild.agent.reading.inspect import Inspected, OpenDisk, open_system
from regild.agent.reading.intake import SIDECAR, Image, System, open_image
from regild.agent.reading.recipes import recipes_for
from regild.agent.reading.verify import require_manifest, virtual_digests
from regild.agent.site import Site
from regild.describe import spdx
from regild.describe.bom import write_cyclonedx
from regild.describe.licences import Licences, read_licences
from regild.errors import TargetExists, UsageError
from regild.host.files import digest_file, write_whole
from regild.host.remote import modified_at
from regild.image.keys import NO_KEYS, Keys
from regild.model.answers import DescribeAnswer, Output
from regild.model.appliance import Binding, Descriptor, DescriptorState
from regild.model.content import Content
from regild.model.digest import Digest, hex_of
from regild.model.progress import Progress
from regild.ovf.archive import Appliance
from regild.ovf.member import Member
from regild.publish.assemble import (
    Published,
    texts_of,
    write_disk,
    write_folder,
    write_ova,
)
from regild.publish.draft import SUFFIXES, Bom, Draft, NewDisk, draft_of, draft_of_disk
from regild.publish.place import check_parent
from regild.publish.stored import Copied

BELIEVED = ("claimed", "equivalent", "verified")
LAST_SECOND = 253402300799
"""The end of the year 9999, after which RFC 3339 has no times."""


@dataclass(frozen=True, slots=True)
class Place:
    """What a descriptor is written for: a system of an image, and the disk that holds its guest."""

    image: Image
    system: System
    boot: OpenDisk


def inscribe(
    path: Path,
    out: Path,
    sbom: str,
    force: bool,
    progress: Progress,
    bom_format: str = "cyclonedx",
    keys: Keys = NO_KEYS,
    site: Site | None = None,
) -> DescribeAnswer:
    """Write an image with its descriptor to `out`, in the same form, and say what it holds.

    A package becomes an OVA where `out` ends in .ova, and otherwise keeps its form. For a bare
    disk an `out` that ends in .ovf is the envelope beside it, and the disk is not copied. `sbom` is
    where a bill of materials goes (`sidecar`, `embed`, `none`), `bom_format` is `cyclonedx` or
    `spdx`.

    Raises: UsageError, TargetExists, DigestMismatch, UnsupportedError for several systems; as
    `open_image`, `open_system` and the writers of `publish`.
    """
    check_target(path, out, force)
    with open_image(path, keys) as image:
        _check_form(image, out)
        require_manifest(image, progress)
        progress.step(f"Reading {path.name}")
        recipes = recipes_for(image, site).used if site else ()
        with open_system(image, image.only_system, recipes=recipes) as inspected:
            created = created_of(path)
            descriptor = new_descriptor(inspected, created, virtual_digests(inspected, progress))
            licences = licences_of(inspected, progress) if sbom != "none" else {}
            bom = new_bom(image, inspected.content, out, created, sbom, bom_format, licences)
            place = Place(image, inspected.system, inspected.boot)
            published = write_described(place, descriptor, bom, out, force, progress)
            return answer_written(answer_of(inspected), published)


def new_descriptor(inspected: Inspected, created: str, virtual: Mapping[str, Digest]) -> Descriptor:
    """The descriptor of a system as it is; one that is believed keeps its line and generation.

    `virtual` gives the digests of the virtual disks by diskId; the stored ones come with writing.
    """
    old = inspected.descriptor if inspected.state.state in BELIEVED else None
    return Descriptor(
        content=inspected.content,
        bindings=tuple(
            Binding(one.stored.id, None, virtual.get(one.stored.id), one.disk.size)
            for one in inspected.disks
        ),
        line=old.line if old else inspected.system.id or inspected.image.path.stem,
        generation=old.generation if old else 1,
        parent=old.parent if old else "",
        created=created,
        tool=f"regild {__version__}",
    )


def check_target(path: Path, out: Path, force: bool) -> None:
    """The input is never written to, nothing is replaced unasked, and there is a folder to write
    into.

    Raises: UsageError, TargetExists, PublishError, NotPermitted.
    """
    check_parent(out)
    if not os.path.lexists(out):
        return
    is_there = path.exists() and out.exists()
    if is_there and (out.samefile(path) or path.resolve().is_relative_to(out.resolve())):
        raise UsageError(what=f"{out} is the image itself, which is never written to")
    if not force:
        raise TargetExists(where=str(out), why="it would be replaced")


def _check_form(image: Image, out: Path) -> None:
    """A bare disk does not become an OVA by its name."""
    if image.appliance is None and out.suffix == ".ova":
        own = out.with_suffix(image.path.suffix or ".raw").name
        why = f"a name such as {own}, or {out.with_suffix('.ovf').name} for its envelope alone"
        raise UsageError(what=f"{out} would be a bare disk like {image.path.name}: say {why}")


def created_of(path: Path) -> str:
    """The time to write into the result: SOURCE_DATE_EPOCH where it is set, else that of the
    image, so that equal input gives equal bytes (RFC 3339, UTC).

    Raises: UsageError where it is no such time.
    """
    told = os.environ.get("SOURCE_DATE_EPOCH", "")
    if told and not (told.isascii() and told.isdigit() and int(told[:20]) <= LAST_SECOND):
        raise UsageError(what=f"SOURCE_DATE_EPOCH is {told[:40]!r}, which is no time in seconds")
    seconds = int(told) if told else min(max(0, modified_at(path)), LAST_SECOND)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def new_bom(
    image: Image,
    content: Content,
    out: Path,
    created: str,
    sbom: str,
    bom_format: str,
    licences: Licences,
) -> Bom | None:
    """The bill of materials for what is written, in the place and format that are wished.

    Raises: UsageError where there is no package to put it into.
    """
    if sbom == "none":
        return None
    if sbom == "embed" and image.appliance is None:
        raise UsageError(what="a bare disk has no package that a bill of materials could lie in")
    location = "package" if sbom == "embed" else "sidecar"
    if bom_format == "spdx":
        bill = spdx.write_spdx(content, out.stem, created, __version__, licences)
        return Bom(bill, location, spdx.MEDIA_TYPE, spdx.SUFFIX)
    return Bom(write_cyclonedx(content, out.stem, created, __version__, licences), location)


def licences_of(inspected: Inspected, progress: Progress) -> Licences:
    """The licences of the packages of a system, as far as its guest states them."""
    progress.step("Reading licences")
    return read_licences(inspected.guest, inspected.content.packages)


def write_described(
    place: Place,
    descriptor: Descriptor,
    bom: Bom | None,
    out: Path,
    force: bool,
    progress: Progress,
) -> Published:
    """Write an image once more with a descriptor, in the form that fits.

    Raises: UsageError, TargetExists, UnsupportedFormat; as the writers of `publish`.
    """
    appliance = place.image.appliance
    if appliance is None:
        if out.suffix == SIDECAR:
            return _write_sidecar(place, descriptor, bom, out, force, progress)
        for one in place.system.disks:
            one.require_one_file()
        draft = _disk_draft(place, descriptor, bom, out.name)
        names = (draft.envelope_name, draft.manifest_name, *draft.sidecars)
        check_beside(out, names, force)
        return write_disk(draft, out, progress, replace=force)
    draft = draft_of(appliance, out.stem, {}, {place.system.id: descriptor}, bom)
    return write_draft(draft, appliance, out, force, progress)


def write_draft(
    draft: Draft, appliance: Appliance, out: Path, force: bool, progress: Progress
) -> Published:
    """Write a package that is ready, in the form of the old one, or as an OVA where `out` says so.

    Raises: TargetExists; as the writers of `publish`.
    """
    for note in draft.notes:
        progress.note(note)
    if appliance.form == "ova" or out.suffix == ".ova":
        check_beside(out, draft.sidecars, force)
        return write_ova(draft, out, progress, replace=force)
    return write_folder(draft, out, progress, replace=force)


def check_beside(out: Path, names: Iterable[str], force: bool) -> None:
    """What comes to stand beside the result replaces nothing unasked either.

    Raises: TargetExists.
    """
    for name in names:
        if not force and os.path.lexists(out.with_name(name)):
            raise TargetExists(where=str(out.with_name(name)), why="it would be replaced")


def _disk_draft(place: Place, descriptor: Descriptor, bom: Bom | None, name: str) -> Draft:
    """The draft of a bare disk that is taken over as it is, under a name."""
    boot = place.boot
    if boot.disk.format not in SUFFIXES:
        raise UsageError(f"{boot.disk.format} disks are read and not written; convert it before")
    stored = Copied((Member(name, *boot.stored.whole()),))
    disk = NewDisk(stored, boot.disk.format, boot.disk.size)
    envelope = place.image.envelope_bytes
    return draft_of_disk(name, disk, descriptor, bom, envelope=envelope)


def _write_sidecar(
    place: Place,
    descriptor: Descriptor,
    bom: Bom | None,
    out: Path,
    force: bool,
    progress: Progress,
) -> Published:
    """Write only the envelope and its manifest beside a bare disk, which stays where it is."""
    disk = place.boot.stored
    wanted = disk.path.with_suffix(SIDECAR)
    if out.name != wanted.name or not out.parent.samefile(disk.path.parent):
        raise UsageError(what=f"the envelope of {disk.path} belongs beside it, as {wanted}")
    draft = _disk_draft(place, descriptor, bom, disk.name)
    check_beside(out, (draft.manifest_name, *draft.sidecars), force)
    progress.step(f"Hashing {disk.name}", disk.bytes)
    texts = texts_of(draft, {disk.name: digest_file(disk.path, progress.advance)})
    content = texts.pop(draft.envelope_name)
    beside = []
    for name, text in texts.items():
        write_whole(out.with_name(name), text)
        beside.append(Published(out.with_name(name), None, len(text)))
    write_whole(out, content)
    return Published(out, digest_file(out), len(content), tuple(beside))


def answer_written(answer: DescribeAnswer, published: Published) -> DescribeAnswer:
    """An answer about an image, for what was written of it."""
    bom = next((one for one in published.sidecars if one.path.suffix == ".json"), None)
    return replace(
        answer,
        descriptor=DescriptorState("verified", "it was written just now, beside hashed bytes"),
        output=output_of(published),
        bom=output_of(bom) if bom else None,
    )


def output_of(published: Published) -> Output:
    """A written file as it stands in an answer."""
    digest = hex_of(published.digest) if published.digest else ""
    return Output(str(published.path), digest, published.bytes)
