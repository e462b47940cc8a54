#!/usr/bin/env python3
"""Write the conformance kit into a folder: `python docs/spec/conformance/make_kit.py DIR`.

Needs regild in the same Python, and mke2fs for the packages that have a disk. What is written are
packages and `kit.json`, which says of each what a reader of descriptors has to do with it, and
which states an agent that also checks manifest, signature and disk has to give.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from regild.agent.writing.inscribe import inscribe
from regild.model.appliance import Binding, Descriptor, Maintenance
from regild.model.content import Content, Package, Planning, Platform, Source, Unknown, Witness
from regild.model.digest import sha256_of
from regild.model.progress import Silent
from regild.ovf.content import insert_descriptor, read_descriptor, strip_descriptor
from regild.ovf.template import write_envelope

DISK = b"no disk, only its digest matters here"
OVF, MF, VMDK = "vm.ovf", "vm.mf", "vm-disk1.vmdk"
SECTION = re.compile(rb"<rg:ContentDescriptorSection.*</rg:ContentDescriptorSection>", re.DOTALL)
Files = dict[str, bytes]


class Kit:
    """The packages written so far, and their labels."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cases: list[dict[str, object]] = []

    def label(
        self, file: str, why: str, descriptor: str, states: Mapping[str, str], basis: str
    ) -> None:
        self.cases.append(
            {
                "file": file,
                "why": why,
                "descriptor": descriptor,
                "states": dict(states),
                "basis": basis,
            }
        )

    def ova(
        self,
        name: str,
        why: str,
        files: Files,
        state: str,
        descriptor: str = "read",
        system: str = "vm",
        basis: str = "descriptor",
    ) -> None:
        pack(self.folder / f"{name}.ova", files)
        states = {"": state} if state == "refused" else dict.fromkeys(system.split(), state)
        self.label(f"{name}.ova", why, descriptor, states, basis)


def pack(path: Path, files: Files) -> None:
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def unpack(path: Path) -> Files:
    with tarfile.open(path) as archive:
        return {one.name: archive.extractfile(one).read() for one in archive}  # type: ignore[union-attr]


def manifest(files: Files, algorithm: str = "sha256") -> bytes:
    digests = {name: hashlib.new(algorithm, content).hexdigest() for name, content in files.items()}
    return "".join(f"{algorithm.upper()}({n})= {d}\n" for n, d in digests.items()).encode()


def package(ovf: bytes, algorithm: str = "sha256") -> Files:
    return {OVF: ovf, MF: manifest({OVF: ovf, VMDK: DISK}, algorithm), VMDK: DISK}


def content() -> Content:
    status = (
        "Package: zlib1g\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:1.2\n\n"
    )
    return Content(
        platform=Platform(
            family="linux", id="debian", version="12.8", name="Debian 12", arch="amd64"
        ),
        packages=(
            Package(
                type="deb",
                name="zlib1g",
                version="1:1.2",
                arch="amd64",
                source="zlib",
                source_version="1:1.2",
                purl="pkg:deb/debian/zlib1g@1:1.2?arch=amd64",
                auto=True,
                where="/var/lib/dpkg/status",
            ),
            Package(type="pypi", name='odd \t"<&\x01\\u0001', version="1", purl="", where="/x"),
        ),
        sources=(
            Source(
                type="apt",
                uri="http://mirror.example/debian",
                suite="bookworm",
                components=("main",),
                enabled=False,
                trusted=True,
            ),
        ),
        unknowns=(Unknown("partition 3", "nobody knows this filesystem"),),
        planning=Planning(type="deb", status=status, architectures=("amd64",)),
        witnesses=(
            Witness("UUID=1", "/var/lib/dpkg/status", sha256_of(status.encode()), len(status)),
        ),
    )


def described(system: str = "vm", **changes: object) -> bytes:
    plain = write_envelope("vm", VMDK, len(DISK), 1 << 30, "vmdk-stream")
    binding = Binding("vmdisk1", sha256_of(DISK), None, 1 << 30)
    descriptor = Descriptor(
        content(),
        (binding,),
        line="vm",
        generation=1,
        maintenance=Maintenance(methods=("offline",)),
    )
    return insert_descriptor(plain, descriptor, system)


def good(kit: Kit) -> None:
    ovf = described()
    kit.ova("plain", "a descriptor in OVF 1.x", package(ovf), "claimed")
    kit.ova(
        "prefix",
        "another prefix for the namespace",
        package(ovf.replace(b"rg:", b"cd:").replace(b"xmlns:rg", b"xmlns:cd")),
        "claimed",
    )
    later = ovf.replace(b'schemaVersion="1.0"', b'schemaVersion="1.7" mood="good"')
    later = later.replace(b"<rg:Platform ", b'<rg:Platform shoe="9" ')
    later = later.replace(
        b"</rg:ContentDescriptorSection>", b'<rg:Later x="1"/></rg:ContentDescriptorSection>'
    )
    kit.ova(
        "later",
        "a later 1.y with attributes and elements that 1.0 does not know",
        package(later),
        "claimed",
    )
    stranger = b'<x:Later xmlns:x="urn:x">x</x:Later></rg:ContentDescriptorSection>'
    kit.ova(
        "stranger",
        "an element of another namespace inside",
        package(ovf.replace(b"</rg:ContentDescriptorSection>", stranger)),
        "claimed",
    )
    kit.ova(
        "ovf-2",
        "an envelope of OVF 2.x",
        package(ovf.replace(b"/ovf/envelope/1", b"/ovf/envelope/2")),
        "claimed",
    )
    bare = strip_descriptor(ovf)
    kit.ova("absent", "no descriptor", package(bare), "absent", "absent")
    empty = Descriptor(Content(Platform()), (Binding("vmdisk1", sha256_of(DISK)),))
    kit.ova(
        "empty",
        "a descriptor that knows nothing",
        package(insert_descriptor(bare, empty)),
        "claimed",
    )
    begin, end = bare.index(b"  <VirtualSystem "), bare.index(b"</Envelope>")
    first = bare[begin:end]
    second = first.replace(b'ovf:id="vm"', b'ovf:id="db"')
    both = b'<VirtualSystemCollection ovf:id="all"><Info>x</Info>%s</VirtualSystemCollection>'
    two = bare[:begin] + both % (first + second) + bare[end:]
    descriptor = read_descriptor(ovf)
    assert descriptor is not None
    for system in ("vm", "db"):
        two = insert_descriptor(two, descriptor, system)
    kit.ova(
        "two", "two virtual systems, each with its own", package(two), "claimed", system="vm db"
    )


def damaged(kit: Kit) -> None:
    """Descriptors that every reader refuses."""
    ovf = described()

    def broken(name: str, why: str, before: bytes, after: bytes, state: str = "tampered") -> None:
        assert before in ovf, name
        kit.ova(name, why, package(ovf.replace(before, after, 1)), state, "refused")

    broken(
        "list-changed",
        "a version was changed, its state was not",
        b'version="1:1.2"',
        b'version="1:1.3"',
    )
    broken("count-wrong", "the count is not that of the list", b'count="1"', b'count="2"')
    broken(
        "version-2",
        "another generation of the section",
        b'schemaVersion="1.0"',
        b'schemaVersion="2.0"',
        "refused",
    )
    broken("version-none", "no schemaVersion", b' schemaVersion="1.0"', b"")
    broken(
        "platform-twice",
        "Platform stands there twice",
        b"<rg:Platform ",
        b"<rg:Platform/><rg:Platform ",
    )
    broken("truth-odd", "a truth value that is none", b'trusted="true"', b'trusted="yes"')
    size = b' bytes="%d"/>' % content().witnesses[0].bytes
    broken("number-odd", "a number that is none", size, b' bytes="-1"/>')
    broken("encoding-odd", "an encoding that nobody knows", b'"gzip+base64"', b'"rot13"')
    broken("dtd", "a DTD", b"<Envelope", b"<!DOCTYPE Envelope><Envelope", "refused")
    expanding = (
        b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><Envelope'
    )
    broken("entities", "entities that expand", b"<Envelope", expanding, "refused")
    section = SECTION.search(ovf)
    assert section is not None
    broken(
        "twice",
        "two descriptors speak of one system",
        b"</VirtualSystem>",
        section[0] + b"</VirtualSystem>",
    )
    kit.ova(
        "wide",
        "an envelope in UTF-16",
        package(b"\xff\xfe" + ovf.decode().replace("UTF-8", "UTF-16").encode("utf-16-le")),
        "refused",
        "refused",
    )
    planning = re.compile(rb'(<rg:PlanningState [^>]*digest=")[^"]*("[^>]*>)[^<]*')

    def replanned(name: str, why: str, packed: bytes, plain: bytes) -> None:
        digest, text = sha256_of(plain).encode(), base64.b64encode(packed)
        changed = planning.sub(lambda m: m[1] + digest + m[2] + text, ovf)
        kit.ova(name, why, package(changed), "tampered", "refused")

    replanned(
        "planning-digest",
        "a planning state that its digest does not name",
        gzip.compress(b"{}"),
        b"x",
    )
    replanned(
        "planning-two", "a planning state of two gzip members", gzip.compress(b"{}") * 2, b"{}{}"
    )
    replanned(
        "planning-bomb",
        "a planning state that unpacks to more than 64 MiB",
        gzip.compress(bytes(65 << 20)),
        bytes(65 << 20),
    )
    replanned("planning-no-json", "a planning state that is no JSON", gzip.compress(b"{"), b"{")
    replanned(
        "planning-cut",
        "a planning state that is cut off",
        gzip.compress(b"{}" * 99)[:-9],
        b"{}" * 99,
    )


def doubted(kit: Kit) -> None:
    """Descriptors that can be read and must not be believed."""
    ovf = described()
    files = package(ovf)
    kit.ova("manifest-gone", "no manifest", {OVF: ovf, VMDK: DISK}, "detached")
    other = manifest({OVF: ovf, VMDK: b"another disk"})
    kit.ova("other-disk", "the manifest lists another disk", {**files, MF: other}, "detached")
    kit.ova(
        "unlisted-disk",
        "the manifest does not list the disk",
        {**files, MF: manifest({OVF: ovf})},
        "detached",
    )
    kit.ova(
        "other-digest", "the manifest was rewritten with SHA-1", package(ovf, "sha1"), "detached"
    )
    kit.ova(
        "no-such-disk",
        "it speaks of a disk that is not there",
        package(ovf.replace(b'<rg:Binding disk="vmdisk1"', b'<rg:Binding disk="vmdisk9"')),
        "detached",
    )
    unbound = re.sub(rb"\s*<rg:Binding [^>]*/>", b"", ovf)
    kit.ova("unbound", "it speaks of no disk", package(unbound), "detached")
    kit.ova(
        "ovf-changed",
        "the .ovf was changed after the manifest was written",
        {**files, OVF: ovf.replace(b"<Info>A virtual", b"<Info>One virtual")},
        "tampered",
    )
    kit.ova(
        "signature-broken",
        "a certificate that cannot be read",
        {**files, "vm.cert": b"x"},
        "tampered",
    )


def on_disk(kit: Kit) -> None:
    """Packages with a real disk, a megabyte of ext4."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        disk = filesystem(folder / "one", "1.0")
        ovf = write_envelope("vm", "vm-disk1.img", len(disk), len(disk), "raw")
        pack(folder / "plain.ova", {OVF: ovf, "vm-disk1.img": disk})
        inscribe(folder / "plain.ova", folder / "d.ova", "none", False, Silent())
        files = unpack(folder / "d.ova")
        kit.ova("equivalent", "all witnesses match", files, "equivalent", basis="disk")
        kit.ova("verified", "all bytes were hashed and match", files, "verified", basis="deep")
        damaged_disk = disk[:-1] + bytes([disk[-1] ^ 1])
        kit.ova(
            "disk-changed",
            "a byte of the disk was changed after the manifest was written",
            {**files, "vm-disk1.img": damaged_disk},
            "tampered",
            basis="deep",
        )
        newer = filesystem(folder / "two", "2.0")
        for name, bytes_, state in (("beside", disk, "equivalent"), ("updated", newer, "stale")):
            (kit.folder / f"{name}.img").write_bytes(bytes_)
            beside = files[OVF].replace(b"vm-disk1.img", f"{name}.img".encode())
            (kit.folder / f"{name}.ovf").write_bytes(beside)
            kit.label(
                f"{name}.img",
                f"an envelope beside a bare disk: {state}",
                "read",
                {"vm": state},
                "disk",
            )


def filesystem(folder: Path, version: str) -> bytes:
    """A disk that is one ext4 filesystem with a guest of one package."""
    status = f"Package: a\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n"
    for name, text in (
        ("etc/os-release", 'ID=debian\nVERSION_ID="12"\n'),
        ("var/lib/dpkg/status", status),
    ):
        (folder / "tree" / name).parent.mkdir(parents=True)
        (folder / "tree" / name).write_text(text)
    made = folder / "disk"
    line = [
        "mke2fs",
        "-q",
        "-t",
        "ext4",
        "-b",
        "1024",
        "-O",
        "^has_journal",
        "-E",
        "root_owner=0:0",
    ]
    uuid = ["-U", "d2ede1a0-86b5-56b7-aa13-26138219e030"]
    # Debian keeps mke2fs where an ordinary user's PATH does not look.
    env = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
    subprocess.run(
        [*line, *uuid, "-d", str(folder / "tree"), str(made), "1024k"],
        check=True,
        env=env,
        stdout=subprocess.DEVNULL,
    )
    return made.read_bytes()


def make_kit(folder: Path) -> int:
    """Write the whole kit and return the number of its cases."""
    folder.mkdir(parents=True, exist_ok=True)
    kit = Kit(folder)
    parts: tuple[Callable[[Kit], None], ...] = (good, damaged, doubted, on_disk)
    for part in parts:
        part(kit)
    (folder / "kit.json").write_text(json.dumps({"version": "1.0", "cases": kit.cases}, indent=1))
    return len(kit.cases)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(f"{make_kit(Path(sys.argv[1]))} cases in {sys.argv[1]}")
