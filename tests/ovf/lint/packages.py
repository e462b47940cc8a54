"""A clean package in parts, and how to pack it well or badly."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

from msgspec.structs import replace

from regild.model.appliance import Binding, Descriptor
from regild.model.digest import sha256_of
from regild.ovf.content import insert_descriptor
from regild.ovf.template import write_envelope
from tests.ovf.samples import rich_content

DISK = b"a disk, as far as lint looks"
OVF = "vm.ovf"
MF = "vm.mf"
VMDK = "vm-disk1.vmdk"

Files = dict[str, bytes]


def envelope(described: bool = True) -> bytes:
    """The envelope of one machine with one disk, as regild writes it."""
    plain = write_envelope("vm", VMDK, len(DISK), 1 << 30, "vmdk-stream")
    binding = Binding("vmdisk1", sha256_of(DISK), None, 1 << 30)
    content = replace(rich_content(), unknowns=())
    return insert_descriptor(plain, Descriptor(content, (binding,))) if described else plain


def manifest(files: Mapping[str, bytes], algorithm: str = "sha256") -> bytes:
    """A manifest that tells the truth."""
    lines = [
        f"{algorithm.upper()}({name})= {hashlib.new(algorithm, content).hexdigest()}\n"
        for name, content in files.items()
        if not name.endswith((".mf", ".cert"))
    ]
    return "".join(lines).encode()


def clean(ovf: bytes | None = None) -> Files:
    """The parts of a clean package in their order, around an envelope."""
    content = envelope() if ovf is None else ovf
    return {OVF: content, MF: manifest({OVF: content, VMDK: DISK}), VMDK: DISK}


def changed(before: bytes, after: bytes, described: bool = False, count: int = 1) -> Files:
    """A package whose envelope has other words somewhere, with a manifest that fits."""
    content = envelope(described)
    assert before in content
    return clean(content.replace(before, after, count))


def with_file(name: str, element: bytes, place: bytes = b"</References>") -> Files:
    """A package with one more file, which the manifest lists."""
    files = changed(place, element + place)
    files[name] = b"more"
    files[MF] = manifest(files)
    return files


def pack(
    path: Path, files: Mapping[str, bytes], style: int = tarfile.USTAR_FORMAT, folder: str = ""
) -> Path:
    """A tar file of some parts in their order."""
    with tarfile.open(path, "w", format=style) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        if folder:
            member = tarfile.TarInfo(folder)
            member.type = tarfile.DIRTYPE
            archive.addfile(member)
    return path
