"""Saying what a virtual system holds, and what the descriptor that it carries is worth."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import msgspec

from regild.agent.reading.belief import DiskEvidence, Evidence, believe
from regild.agent.reading.intake import Image, StoredDisk, System, open_stored
from regild.agent.reading.signature import BROKEN, signature_of
from regild.agent.reading.stated import descriptor_of, digest_like
from regild.errors import (
    InputError,
    MissingFile,
    NothingRead,
    RegildError,
    UnsupportedError,
)
from regild.image.disk import Disk
from regild.image.guest import open_guest
from regild.image.tree import Guest
from regild.image.volumes import read_volumes
from regild.model.appliance import Descriptor, DescriptorState
from regild.model.content import Content, Unknown
from regild.model.digest import Digest
from regild.model.recipe import Recipe


class OpenDisk(msgspec.Struct, frozen=True):
    """A disk that was opened, and where it is stored."""

    stored: StoredDisk
    disk: Disk


class Inspected(msgspec.Struct, frozen=True):
    """A virtual system with its disks open: what it holds, and what its descriptor is worth."""

    image: Image
    system: System
    disks: tuple[OpenDisk, ...]
    boot: OpenDisk
    """The disk that holds the guest."""
    guest: Guest
    content: Content
    descriptor: Descriptor | None
    broken: str
    """Why a descriptor that stands there cannot be read; empty otherwise."""
    state: DescriptorState

    @property
    def read_bytes(self) -> int:
        """Bytes read from the disks' files so far."""
        return sum(one.disk.bytes_read for one in self.disks)


@contextlib.contextmanager
def open_system(
    image: Image, system: System, languages: bool = True, recipes: tuple[Recipe, ...] = ()
) -> Iterator[Inspected]:
    """Open a system's disks and describe its guest, with or without packages of programming
    languages, and with the applications that `recipes` find; nothing is written.

    Raises: as `open_disk`, `open_guest` and `describe_guest`; NothingRead for a system without
    disks.
    """
    with contextlib.ExitStack() as stack:
        disks = tuple(OpenDisk(one, stack.enter_context(open_stored(one))) for one in system.disks)
        boot, guest = _found_guest(image, disks, stack)
        further = tuple(one for disk in disks if disk is not boot for one in _unread(disk))
        from regild.describe.reader import describe_guest

        content = describe_guest(guest, languages, recipes)
        if further:
            unknowns = (*content.unknowns, *further)
            content = msgspec.structs.replace(content, unknowns=unknowns)
        descriptor, broken = descriptor_of(image, system)
        yield Inspected(
            image=image,
            system=system,
            disks=disks,
            boot=boot,
            guest=guest,
            content=content,
            descriptor=descriptor,
            broken=broken,
            state=believe(descriptor, evidence_of(image, disks, content), broken),
        )


def with_further(observed: Content, inspected: Inspected) -> Content:
    """What was observed of a changed boot disk, with what is unknown of the system's other disks,
    which did not change."""
    others = tuple(one.stored.name for one in inspected.disks if one is not inspected.boot)
    further = [one for one in inspected.content.unknowns if one.where.startswith(others)]
    unknowns = dict.fromkeys((*observed.unknowns, *further))
    return msgspec.structs.replace(observed, unknowns=tuple(unknowns))


def evidence_of(
    image: Image,
    disks: tuple[OpenDisk, ...],
    content: Content | None,
    stored: Mapping[str, Digest] | None = None,
    virtual: Mapping[str, Digest] | None = None,
) -> Evidence:
    """What was seen beside a descriptor; `stored` and `virtual` are digests by diskId, as far as
    they were computed."""
    promised = image.promised.get(image.envelope_name)
    signature = signature_of(image, datetime.now(UTC))
    return Evidence(
        packaged=image.appliance is not None,
        has_manifest=bool(image.promised),
        envelope_promised=promised,
        envelope=digest_like(promised, image.envelope_bytes) if promised else None,
        broken_signature=signature.why if signature.state in BROKEN else "",
        observed=content,
        disks={
            one.stored.id: DiskEvidence(
                bytes=one.disk.size,
                promised=image.promised.get(one.stored.name),
                stored=(stored or {}).get(one.stored.id),
                virtual=(virtual or {}).get(one.stored.id),
            )
            for one in disks
        },
    )


def _found_guest(
    image: Image, disks: tuple[OpenDisk, ...], stack: contextlib.ExitStack
) -> tuple[OpenDisk, Guest]:
    """The guest, on the first disk that holds one; where none does, the first disk's error."""
    first: RegildError | None = None
    for one in disks:
        try:
            return one, stack.enter_context(open_guest(one.disk, one.stored.name, image.keys))
        except (InputError, UnsupportedError, NothingRead) as error:
            first = first or error
    raise first or MissingFile(where=f"a disk in {image.path}", why="the system has none to read")


def _unread(disk: OpenDisk) -> Iterator[Unknown]:
    """What lies on a further disk, which this release does not read."""
    try:
        volumes = read_volumes(disk.disk, disk.stored.name)
    except InputError as error:
        yield Unknown(disk.stored.name, str(error))
        return
    for volume in volumes:
        if volume.kind not in ("empty", "swap", "bios-boot"):
            what = volume.filesystem or volume.why or volume.kind
            why = f"it is on a further disk, which is not read yet ({what})"
            yield Unknown(f"{disk.stored.name}, {volume.name}", why)
