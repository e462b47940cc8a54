"""What a new package will hold: its files in order, its envelope and its manifest.

Pure: nothing is written here. The envelope names digests that are known only when the disks have
been written, but its length does not depend on them, so that all places can be laid out before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import msgspec

from regild.errors import MissingFile
from regild.model.appliance import (
    BomReference,
    Descriptor,
    DiskReference,
    ManifestEntry,
    ReceiptReference,
)
from regild.model.digest import Digest, sha256_of
from regild.ovf import names, template
from regild.ovf.archive import Appliance
from regild.ovf.content import insert_descriptor, strip_descriptor
from regild.ovf.envelope import read_envelope
from regild.ovf.manifest import write_manifest
from regild.ovf.rewrite import DiskPatch, add_file, patch_sizes
from regild.publish.stored import Copied, Stored, Written

UNKNOWN_DIGEST = Digest("sha256:" + "0" * 64)
BOM_SUFFIX = ".cdx.json"
BOM_MEDIA_TYPE = "application/vnd.cyclonedx+json; version=1.6"

SUFFIXES = {
    "vmdk-stream": ".vmdk",
    "vmdk-sparse": ".vmdk",
    "qcow2": ".qcow2",
    "raw": ".img",
    "vhd": ".vhd",
    "vhdx": ".vhdx",
}
"""What the file of each disk format is called."""


@dataclass(frozen=True)
class NewDisk:
    """A disk of the new package, in place of the one with the same id."""

    stored: Stored
    format: str
    """A key of `regild.ovf.template.FORMATS`."""
    virtual_bytes: int
    populated_bytes: int | None = None


@dataclass(frozen=True)
class Bom:
    """A bill of materials that goes with the package."""

    content: bytes
    location: str = "sidecar"
    """`sidecar`: a file beside the package; `package`: a member of it."""
    media_type: str = BOM_MEDIA_TYPE
    suffix: str = BOM_SUFFIX


@dataclass(frozen=True)
class Statement:
    """What is said of the package beside it, once the digests of its disks are known."""

    name: str
    """Of its file."""
    write: Callable[[Mapping[str, Digest]], bytes]
    """Its bytes, from the digests of the disks' files by name."""
    sign: Callable[[bytes], bytes] = bytes
    """What stands in the file, from those bytes."""


@dataclass(frozen=True)
class Draft:
    """A package that is ready to be written."""

    envelope_name: str
    base: bytes
    """The envelope without any content descriptor."""
    files: Mapping[str, Stored]
    """By name, in the order of References."""
    descriptors: Mapping[str, Descriptor] = field(default_factory=dict)
    """By the virtual system's id."""
    disk_files: Mapping[str, str] = field(default_factory=dict)
    """The name of each disk's file, by the disk's id."""
    sidecars: Mapping[str, bytes] = field(default_factory=dict)
    """Files that lie beside the package and belong to it."""
    notes: tuple[str, ...] = ()
    """What was left out of the old package, one sentence each."""
    statement: Statement | None = None

    @property
    def manifest_name(self) -> str:
        """The .mf's name: consumers ask for the .ovf's with another ending."""
        return self.envelope_name.removesuffix(".ovf") + ".mf"

    def envelope(self, digests: Mapping[str, Digest]) -> bytes:
        """The .ovf; a file whose digest is not given counts as not written yet.

        Raises: as `insert_descriptor`.
        """
        content = self.base
        receipt = self._receipt(digests)
        for system, descriptor in self.descriptors.items():
            bound = _bind(descriptor, self.disk_files, digests)
            if receipt is not None:
                bound = msgspec.structs.replace(bound, receipt=receipt)
            content = insert_descriptor(content, bound, system or None, self.envelope_name)
        return content

    @property
    def beside_names(self) -> tuple[str, ...]:
        """The names of the files that stand beside the package."""
        return (*self.sidecars, *((self.statement.name,) if self.statement else ()))

    def beside(self, digests: Mapping[str, Digest]) -> dict[str, bytes]:
        """The files that stand beside the package, now that the digests are known."""
        found = dict(self.sidecars)
        if self.statement is not None:
            found[self.statement.name] = self.statement.sign(self._said(digests))
        return found

    def _said(self, digests: Mapping[str, Digest]) -> bytes:
        """The statement's bytes, about the files of the disks."""
        names = [name for name in self.disk_files.values() if name in digests]
        return (
            self.statement.write({name: digests[name] for name in names}) if self.statement else b""
        )

    def _receipt(self, digests: Mapping[str, Digest]) -> ReceiptReference | None:
        """How the descriptor names the statement; its digest is as long before it is known."""
        if self.statement is None:
            return None
        known = any(name in digests for name in self.disk_files.values())
        digest = sha256_of(self._said(digests)) if known else UNKNOWN_DIGEST
        return ReceiptReference(self.statement.name, digest)

    def manifest(self, envelope: bytes, digests: Mapping[str, Digest]) -> bytes:
        """The .mf: a line for the .ovf and for every file of the package (rule W4)."""
        lines = {self.envelope_name: sha256_of(envelope)}
        lines |= {name: digests.get(name, UNKNOWN_DIGEST) for name in self.files}
        return write_manifest(ManifestEntry(name, digest) for name, digest in lines.items())


def draft_of(
    appliance: Appliance,
    stem: str,
    disks: Mapping[str, NewDisk],
    descriptors: Mapping[str, Descriptor],
    bom: Bom | None = None,
) -> Draft:
    """The successor of an appliance: some disks are new, everything else is taken over.

    `disks` is by diskId, `descriptors` by the system's id; `stem` names the bill of materials. The
    .ovf keeps its name. A certificate is left out, because it signs the old manifest (W6), and so
    are members that References do not speak of (W5).

    Raises: MissingFile, and as `strip_descriptor`, `patch_sizes`, `add_file`.
    """
    where = appliance.envelope_name
    base = strip_descriptor(appliance.envelope_bytes, where)
    old = read_envelope(base, where)
    found = {disk.id: disk for disk in old.disks}
    for disk_id in disks:
        if disk_id not in found or not found[disk_id].file:
            raise MissingFile(where=f"disk {disk_id}", why=f"{where} has no file for it")
    hrefs = dict(_new_hrefs(appliance, found, disks))
    base = _patched(base, found, disks, hrefs, where)
    new = {found[disk_id].file: disk.stored for disk_id, disk in disks.items()}
    files: dict[str, Stored] = {}
    only_name: dict[str, str] = {}
    for file in old.files:
        if names.is_address(file.href):
            continue  # it stays where it is
        parts = appliance.parts_of(file)
        if file.id in new:
            own = parts[0].name if len(parts) == 1 else file.href
            only_name[file.id] = hrefs.get(file.id, own)
            files[only_name[file.id]] = new[file.id]
            continue
        files |= {member.name: Copied((member,)) for member in parts}
        if len(parts) == 1:
            # Of a disk in chunks no one file has the digest that a binding could name.
            only_name[file.id] = parts[0].name
    draft = Draft(
        envelope_name=where,
        base=base,
        files=files,
        descriptors=descriptors,
        disk_files={disk.id: only_name.get(disk.file, "") for disk in old.disks},
        notes=tuple(_left_out(appliance)),
    )
    return with_bom(draft, bom, stem)


def draft_of_disk(
    name: str,
    disk: NewDisk,
    descriptor: Descriptor,
    bom: Bom | None = None,
    *,
    envelope: bytes = b"",
) -> Draft:
    """A bare disk with an envelope of its own beside it: an old one, or a new one.

    `name` is the disk's new file name; an old envelope is kept when it has this one disk only. The
    descriptor's first binding is taken over to the disk's id in the envelope.

    Raises: UnsafeName, and as `read_envelope`.
    """
    stem = name.rpartition(".")[0] or name
    base = _envelope_for(name, disk, envelope)
    disk_id = read_envelope(base).disks[0].id
    bindings = tuple(
        msgspec.structs.replace(binding, disk=disk_id) for binding in descriptor.bindings[:1]
    )
    draft = Draft(
        envelope_name=f"{stem}.ovf",
        base=base,
        files={name: disk.stored},
        descriptors={"": msgspec.structs.replace(descriptor, bindings=bindings)},
        disk_files={disk_id: name},
    )
    return with_bom(draft, bom, stem)


def with_bom(draft: Draft, bom: Bom | None, stem: str) -> Draft:
    """The same draft with a bill of materials, beside it or as its last file (W3, W8).

    Raises: as `add_file`.
    """
    if bom is None:
        return draft
    name = plain_name(stem) + bom.suffix
    reference = BomReference(
        location="package" if bom.location == "package" else "sidecar",
        name=name,
        media_type=bom.media_type,
        digest=sha256_of(bom.content),
    )
    descriptors = {
        system: msgspec.structs.replace(descriptor, bom=reference)
        for system, descriptor in draft.descriptors.items()
    }
    if bom.location != "package":
        return replace(draft, descriptors=descriptors, sidecars={name: bom.content})
    size = len(bom.content)
    return replace(
        draft,
        descriptors=descriptors,
        base=add_file(draft.base, names.BOM_FILE_ID, name, size, draft.envelope_name),
        files={**draft.files, name: Written(bom.content)},
    )


def plain_name(name: str) -> str:
    """A file name in letters that every consumer takes (rule W3)."""
    return re.sub(r"[^A-Za-z0-9._~+=-]", "-", name).lstrip(".-") or "image"


def _bind(
    descriptor: Descriptor, disk_files: Mapping[str, str], digests: Mapping[str, Digest]
) -> Descriptor:
    """The descriptor with the digest of each disk's file as the manifest has it."""
    bindings = tuple(
        msgspec.structs.replace(
            binding, stored=digests.get(disk_files[binding.disk], UNKNOWN_DIGEST)
        )
        if disk_files.get(binding.disk)
        else msgspec.structs.replace(binding, stored=None)
        for binding in descriptor.bindings
    )
    return msgspec.structs.replace(descriptor, bindings=bindings)


def _envelope_for(name: str, disk: NewDisk, envelope: bytes) -> bytes:
    """An envelope of one system with one disk, stored under the given name."""
    if envelope:
        base = strip_descriptor(envelope)
        old = read_envelope(base)
        if len(old.files) == len(old.disks) == len(old.systems) == 1 and old.disks[0].file:
            only = old.disks[0]
            return _patched(base, {only.id: only}, {only.id: disk}, {only.file: name}, name)
    stem = plain_name(name.rpartition(".")[0] or name)
    return template.write_envelope(stem, name, disk.stored.bytes, disk.virtual_bytes, disk.format)


def _left_out(appliance: Appliance) -> Iterator[str]:
    """What of the old package does not come into the new one."""
    if appliance.certificate_name:
        yield f"{appliance.certificate_name} is left out: it signs the old manifest"
    kept = {
        appliance.envelope_name,
        appliance.manifest_name,
        appliance.certificate_name,
        *appliance.member_names(),
    }
    for name in appliance.members:
        if name not in kept:
            yield f"{name} is left out: the envelope does not refer to it"


def _new_hrefs(
    appliance: Appliance, found: Mapping[str, DiskReference], disks: Mapping[str, NewDisk]
) -> Iterator[tuple[str, str]]:
    """New names for the files of disks whose format has another ending than before."""
    for disk_id, disk in disks.items():
        file = next(one for one in appliance.envelope.files if one.id == found[disk_id].file)
        suffix = SUFFIXES[disk.format]
        stem, dot, old = file.href.rpartition(".")
        same = f".{old}".lower() == suffix or (disk.format == "raw" and old.lower() == "raw")
        if not (dot and same):
            rest = (stem if dot else file.href).replace("/", "-").removesuffix(suffix)
            yield file.id, plain_name(rest) + suffix


def _patched(
    base: bytes,
    found: Mapping[str, DiskReference],
    disks: Mapping[str, NewDisk],
    hrefs: Mapping[str, str],
    where: str,
) -> bytes:
    sizes = {found[disk_id].file: disk.stored.bytes for disk_id, disk in disks.items()}
    patches = {
        disk_id: DiskPatch(
            populated_bytes=disk.populated_bytes,
            capacity_bytes=_new_capacity(found[disk_id], disk),
            format=_new_format(found[disk_id], disk),
        )
        for disk_id, disk in disks.items()
    }
    return patch_sizes(base, sizes, patches, where, hrefs)


def _new_capacity(old: DiskReference, disk: NewDisk) -> int | None:
    """The capacity where it changes; one that is a property stays so."""
    known = old.capacity_bytes is not None and old.capacity_bytes != disk.virtual_bytes
    return disk.virtual_bytes if known else None


def _new_format(old: DiskReference, disk: NewDisk) -> str | None:
    """The format's address where it changes; its spelling is kept where only that differs."""
    address = template.FORMATS[disk.format]
    kept = old.format.partition("#")[2].lower() == address.partition("#")[2].lower() != ""
    return None if kept or old.format == address else address
