"""Recognising an image whatever it is: an OVA, an OVF folder, a bare disk.

All commands come in here. A package is told from a bare disk by its first bytes, never by its name.
A bare disk may have a descriptor beside it: `golden.qcow2` has `golden.ovf`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from regild.errors import (
    MissingFile,
    NotAnArchive,
    TooLarge,
    UnsupportedError,
    UnsupportedFormat,
    UsageError,
)
from regild.host.files import read_limited
from regild.host.remote import address_of, open_remote
from regild.image.keys import NO_KEYS, Keys
from regild.model.answers import Form
from regild.model.appliance import Envelope
from regild.model.digest import Digest
from regild.ovf.archive import Appliance, find_form, open_appliance
from regild.ovf.envelope import read_envelope
from regild.ovf.manifest import MAX_BYTES as MAX_MANIFEST_BYTES
from regild.ovf.manifest import read_manifest

if TYPE_CHECKING:
    from regild.image.disk import Disk

MAX_ENVELOPE_BYTES = 16 << 20
SIDECAR = ".ovf"
PARENTS_MAX = 32


Part = tuple[Path, int, int]
"""A file, and the offset and length of what is meant in it."""


class StoredDisk(msgspec.Struct, frozen=True):
    """A disk of an image and where its bytes lie."""

    id: str
    """diskId of the envelope; empty for a bare disk without one."""
    name: str
    """Of its file, or of the first of its chunks."""
    parts: tuple[Part, ...]
    """One behind another; more than one where it is stored in chunks."""
    packed: bool = False
    """It is compressed, as a file or inside its package."""
    parent: StoredDisk | None = None
    """What a delta disk holds the difference to."""
    further: tuple[str, ...] = ()
    """Files beside a bare disk that its bytes lie in too."""

    @property
    def path(self) -> Path:
        """The file that holds it, or the begin of it."""
        return self.parts[0][0]

    @property
    def bytes(self) -> int:
        """How much it takes as it is stored."""
        return sum(length for _path, _offset, length in self.parts)

    def whole(self) -> Part:
        """Where a disk lies that can be changed: whole, in one place of this machine, as it is.

        Raises: UnsupportedFormat, saying what to do first.
        """
        for wrong, why in (
            (address_of(self.path), "it lies on a server; download it first"),
            (len(self.parts) > 1, "it is stored in chunks; join them first"),
            (self.packed, "it is compressed; unpack it first"),
            (self.parent, "it is a delta disk; flatten it first"),
        ):
            if wrong:
                raise UnsupportedFormat(where=self.name, why=why)
        return self.parts[0]

    def require_one_file(self) -> None:
        """Refuse to copy a disk without the files that it leads to.

        Raises: UnsupportedFormat.
        """
        if self.further:
            names = ", ".join(self.further[:3]) + ", ..." * (len(self.further) > 3)
            why = f"its bytes lie in {names} too; make one file of it first, with regild convert"
            raise UnsupportedFormat(where=self.name, why=why)


@contextlib.contextmanager
def open_stored(stored: StoredDisk) -> Iterator[Disk]:
    """Open a disk however its package keeps it.

    Raises: as `open_parts`.
    """
    from regild.image.formats import open_parts

    with contextlib.ExitStack() as stack:
        parent = stack.enter_context(open_stored(stored.parent)) if stored.parent else None
        yield stack.enter_context(open_parts(stored.parts, stored.packed, parent))


class System(msgspec.Struct, frozen=True):
    """One virtual system of an image."""

    id: str
    """Empty for a bare disk without an envelope."""
    disks: tuple[StoredDisk, ...]
    installs: bool = False
    """It is to install itself when it is first switched on (DSP0243, InstallSection)."""


class Image(msgspec.Struct, frozen=True):
    """An image that was recognised; its disks are not open yet."""

    path: Path
    form: Form
    systems: tuple[System, ...]
    appliance: Appliance | None = None
    envelope_bytes: bytes = b""
    """Of the package, or of the sidecar of a bare disk; empty where there is none."""
    promised: Mapping[str, Digest] = msgspec.field(default_factory=dict)
    """The manifest's digests by file name."""
    envelope_name: str = ""
    keys: Keys = NO_KEYS
    """What opens its encrypted volumes."""

    @property
    def only_system(self) -> System:
        """The image's virtual system, where there is exactly one.

        Raises: UnsupportedError.
        """
        if len(self.systems) != 1:
            why = f"it holds {len(self.systems)} virtual systems; one at a time can be worked on"
            raise UnsupportedError(where=str(self.path), why=why)
        return self.systems[0]


def check_not_ours(image: Image, out: Path) -> None:
    """Even --force does not write over what belongs to an image: its envelope, its manifest, its
    disks, under whatever name.

    Raises: UsageError.
    """
    if not out.exists():
        return
    ours = {image.path}
    if image.path.name:  # `.` has none
        ours.add(image.path.with_suffix(SIDECAR))
    for system in image.systems:
        for disk in system.disks:
            ours.update(path for path, _offset, _bytes in disk.parts)
            ours.update(disk.path.with_name(name) for name in disk.further)
    if image.appliance:
        ours.update((image.appliance.path, *(one.path for one in image.appliance.members.values())))
    if any(path.exists() and out.samefile(path) for path in ours):
        what = f"{out} belongs to the image itself, which is never written to"
        raise UsageError(what=f"{what}; choose another name")


@contextlib.contextmanager
def open_image(path: Path, keys: Keys = NO_KEYS) -> Iterator[Image]:
    """Recognise an image and open its package, if it is one; `keys` are kept for its disks.

    Raises: MissingFile, NotPermitted, NotAnArchive, Truncated, Malformed, Ambiguous, UnsafeName,
    TooLarge, UnsupportedFormat.
    """
    if find_form(path) is None:
        yield replace(_bare(path), keys=keys)
        return
    with open_appliance(path) as appliance:
        yield Image(
            path=path,
            form=appliance.form,
            systems=_systems(appliance.envelope, appliance),
            appliance=appliance,
            envelope_bytes=appliance.envelope_bytes,
            envelope_name=appliance.envelope_name,
            promised={entry.name: entry.digest for entry in appliance.manifest},
            keys=keys,
        )


def _bare(path: Path) -> Image:
    """A bare disk, with the envelope beside it that speaks of it, if there is one."""
    # Loaded here, because who asks for a descriptor alone has no use for disks.
    from regild.image.formats import further_files, is_packed, open_disk
    from regild.image.volumes import read_volumes

    packed = is_packed(path)
    # What is packed is unpacked once, when it is read; until then there is nothing to look at.
    with contextlib.nullcontext() if packed else open_disk(path) as disk:
        volumes = read_volumes(disk, str(path)) if disk and disk.format == "raw" else ()
        if len(volumes) == 1 and volumes[0].number == 0 and volumes[0].kind == "unknown":
            raise NotAnArchive(where=str(path), why=volumes[0].why)
        further = tuple(further_files(path)) if disk and disk.format != "raw" else ()
        whole = ((path, 0, _bytes_of(path)),)
    sidecar = path.with_suffix(SIDECAR)
    if sidecar != path and sidecar.is_file():
        content = read_limited(sidecar, MAX_ENVELOPE_BYTES)
        found = _beside(path, read_envelope(content, str(sidecar)))
        if found is not None:
            disk_id, system_id = found
            stored = StoredDisk(disk_id, path.name, whole, packed, further=further)
            system = System(system_id, (stored,))
            promised = _promised(sidecar.with_suffix(".mf"))
            return Image(path, "disk", (system,), None, content, promised, sidecar.name)
    stored = StoredDisk("", path.name, whole, packed, further=further)
    return Image(path, "disk", (System("", (stored,)),))


def _bytes_of(path: Path) -> int:
    """The bytes of a file, here or on a server."""
    address = address_of(path)
    return open_remote(address).size if address else path.stat().st_size


def _promised(path: Path) -> Mapping[str, Digest]:
    """The digests of the manifest beside a bare disk's envelope, where there is one."""
    if not path.is_file():
        return {}
    entries = read_manifest(read_limited(path, MAX_MANIFEST_BYTES), path.name)
    return {entry.name: entry.digest for entry in entries}


def _beside(path: Path, envelope: Envelope) -> tuple[str, str] | None:
    """Ids of the disk and the system by which a sidecar speaks of a disk; None where it does
    not."""
    for disk in envelope.disks:
        if any(one.id == disk.file and one.href == path.name for one in envelope.files):
            for system in envelope.systems:
                if disk.id in system.disks:
                    return disk.id, system.id
    return None


def _systems(envelope: Envelope, appliance: Appliance) -> tuple[System, ...]:
    """The virtual systems of a package, with the disks that hold bytes."""
    stored = _stored(envelope, appliance)
    return tuple(
        System(
            system.id,
            tuple(stored[disk] for disk in system.disks if disk in stored),
            system.installs,
        )
        for system in envelope.systems
    )


def _stored(envelope: Envelope, appliance: Appliance) -> dict[str, StoredDisk]:
    """Every disk that has a file, by its id; blank disks have none."""
    sources = {disk.id: appliance.disk_source(disk) for disk in envelope.disks}
    found: dict[str, StoredDisk] = {}

    def store(disk_id: str, depth: int = 0) -> StoredDisk | None:
        """A disk with those that it is the difference to; None where it has no file."""
        # The envelope was refused before if a disk were its own ancestor.
        if depth > PARENTS_MAX:
            raise TooLarge(where=disk_id, why=f"it has more than {PARENTS_MAX} parents")
        source = sources.get(disk_id)
        if source is not None and disk_id not in found:
            parts = tuple((one.path, one.offset, one.bytes) for one in source.parts)
            name = source.parts[0].name
            parent = store(source.parent, depth + 1)
            if source.parent and parent is None:
                raise MissingFile(where=source.parent, why=f"{disk_id} is the difference to it")
            found[disk_id] = StoredDisk(disk_id, name, parts, source.packed, parent)
        return found.get(disk_id)

    for disk_id in sources:
        store(disk_id)
    return found
