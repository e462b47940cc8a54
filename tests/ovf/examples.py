"""The examples of docs/spec/examples; `python -m tests.ovf.examples` writes them anew."""

from __future__ import annotations

from pathlib import Path

from regild.model.appliance import Binding, BomReference, Descriptor, Maintenance
from regild.model.content import (
    Application,
    Content,
    Keyring,
    Package,
    Planning,
    Platform,
    Source,
    TextFile,
    Unknown,
    VolumeSpace,
    Witness,
)
from regild.model.digest import sha256_of
from regild.ovf.content import insert_descriptor, strip_descriptor
from regild.ovf.template import write_envelope

FOLDER = Path(__file__).resolve().parents[2] / "docs/spec/examples"
CREATED = "2026-11-22T19:00:00Z"
ROOT = "UUID=d2ede1a0-86b5-56b7-aa13-26138219e030"
STATUS = "/var/lib/dpkg/status"


def debian(*names: str) -> Content:
    """A small Debian with a few packages."""
    versions = {"openssl": "3.0.15-1~deb12u1", "nginx": "1.22.1-9", "libstdc++6": "12.2.0-14"}
    sources = {"libstdc++6": "gcc-12"}
    packages = tuple(
        Package(
            type="deb",
            name=name,
            version=versions[name],
            arch="amd64",
            source=sources.get(name, name),
            source_version=versions[name],
            purl=f"pkg:deb/debian/{name.replace('+', '%2B')}@{versions[name]}"
            "?arch=amd64&distro=debian-12",
            auto=name.startswith("lib"),
            hold=name == "nginx",
            where=STATUS,
        )
        for name in sorted(names)
    )
    status = "".join(
        f"Package: {one.name}\nStatus: install ok installed\nArchitecture: amd64\n"
        f"Version: {one.version}\nDepends: libc6 (>= 2.34)\n\n"
        for one in packages
    )
    return Content(
        platform=Platform(
            family="linux",
            id="debian",
            version="12.8",
            codename="bookworm",
            name="Debian GNU/Linux 12 (bookworm)",
            arch="amd64",
            kernels=("6.1.0-28-cloud-amd64",),
        ),
        packages=packages,
        applications=(Application(name="web-shop", version="4.2", where="/opt/shop/VERSION"),),
        sources=(
            Source(
                type="apt",
                uri="http://mirror.example/debian-security",
                suite="bookworm-security",
                components=("main",),
                signed_by=("/usr/share/keyrings/debian-archive-keyring.gpg",),
                where="/etc/apt/sources.list:1",
            ),
        ),
        planning=Planning(
            type="deb",
            status=status,
            auto=("libstdc++6:amd64",),
            architectures=("amd64",),
            preferences=(TextFile(path="/etc/apt/preferences.d/nginx", text="Package: nginx\n"),),
            keyrings=(Keyring(path="/usr/share/keyrings/example.gpg", keys=b"\x99\x01"),),
        ),
        volumes=(
            VolumeSpace(
                mount="/",
                volume=ROOT,
                filesystem="ext4",
                block_bytes=4096,
                blocks=524288,
                free_blocks=262144,
                reserved_blocks=26214,
                free_inodes=100000,
            ),
        ),
        witnesses=(
            Witness(volume=ROOT, path=STATUS, digest=sha256_of(status.encode()), bytes=len(status)),
        ),
    )


def windows() -> Content:
    """A Windows whose updates cannot be planned yet, which is said."""
    return Content(
        platform=Platform(
            family="windows",
            id="windows-server",
            version="10.0.20348.2849",
            codename="21H2",
            name="Windows Server 2022 Standard",
            arch="amd64",
            edition="ServerStandard",
            build="20348",
            ubr=2849,
        ),
        packages=(
            Package(
                type="windows",
                name="KB5046616",
                version="20348.2849.1.13",
                arch="amd64",
                source="Package_for_RollupFix",
                where="C:\\Windows\\System32\\config\\SOFTWARE",
            ),
        ),
        unknowns=(Unknown(where="C:\\ProgramData", why="it was not looked at"),),
    )


def describing(content: Content, *disks: str) -> Descriptor:
    """A descriptor that speaks of the given disks."""
    bindings = tuple(
        Binding(disk=disk, stored=sha256_of(disk.encode()), virtual_bytes=2 << 30) for disk in disks
    )
    bom = BomReference(
        location="sidecar",
        name="golden.cdx.json",
        media_type="application/vnd.cyclonedx+json; version=1.6",
        digest=sha256_of(b"{}"),
    )
    return Descriptor(
        content=content,
        bindings=bindings,
        bom=bom,
        line="web-workers",
        generation=7,
        created=CREATED,
        tool="regild 0.1",
        maintenance=Maintenance(
            methods=("offline", "boot"), tests=("systemctl is-active nginx",), reboot="kernel"
        ),
    )


def one_machine() -> bytes:
    """One virtual system with one disk."""
    plain = write_envelope("golden", "golden-disk1.vmdk", 280_000_000, 2 << 30, "vmdk-stream")
    return insert_descriptor(plain, describing(debian("openssl", "nginx", "libstdc++6"), "vmdisk1"))


def several_disks() -> bytes:
    """One virtual system with a system disk and a data disk."""
    plain = write_envelope("golden", "golden-disk1.vmdk", 280_000_000, 2 << 30, "vmdk-stream")
    at = plain.index(b"</References>") - 2
    plain = plain[:at] + (
        b'    <File ovf:href="golden-disk2.vmdk" ovf:id="file2" ovf:size="70000"/>\n' + plain[at:]
    ).removeprefix(b"  ")
    disk = (
        b'    <Disk ovf:capacity="1" ovf:capacityAllocationUnits="byte * 2^30" '
        b'ovf:diskId="vmdisk2" ovf:fileRef="file2" ovf:format="x"/>\n'
    )
    plain = plain.replace(b"  </DiskSection>", disk + b"  </DiskSection>")
    return insert_descriptor(plain, describing(debian("openssl"), "vmdisk1", "vmdisk2"))


def several_machines() -> bytes:
    """A collection of two virtual systems, each with a descriptor of its own."""
    plain = write_envelope("web", "web-disk1.vmdk", 280_000_000, 2 << 30, "vmdk-stream")
    begin, end = plain.index(b"  <VirtualSystem "), plain.index(b"</Envelope>")
    web = plain[begin:end]
    database = web.replace(b'"web"', b'"db"').replace(b">web<", b">db<")
    database = database.replace(b"ovf:/disk/vmdisk1", b"ovf:/disk/vmdisk2")
    collection = (
        b'  <VirtualSystemCollection ovf:id="shop">\n    <Info>A web shop</Info>\n'
        + web
        + database
        + b"  </VirtualSystemCollection>\n"
    )
    disk = (
        b'    <Disk ovf:capacity="9" ovf:capacityAllocationUnits="byte * 2^30" '
        b'ovf:diskId="vmdisk2"/>\n  </DiskSection>'
    )
    plain = plain[:begin] + collection + plain[end:]
    plain = plain.replace(b"  </DiskSection>", disk)
    described = insert_descriptor(plain, describing(debian("nginx"), "vmdisk1"), "web")
    return insert_descriptor(described, describing(debian("openssl"), "vmdisk2"), "db")


def windows_machine() -> bytes:
    """A Windows guest."""
    plain = write_envelope("win", "win-disk1.vmdk", 9_000_000_000, 40 << 30, "vmdk-stream")
    return insert_descriptor(plain, describing(windows(), "vmdisk1"))


def stripped() -> bytes:
    """The first example with its descriptor taken out."""
    return strip_descriptor(one_machine())


EXAMPLES = {
    "one-machine.ovf": one_machine,
    "several-disks.ovf": several_disks,
    "several-machines.ovf": several_machines,
    "windows.ovf": windows_machine,
    "stripped.ovf": stripped,
}

if __name__ == "__main__":
    for name, make in EXAMPLES.items():
        (FOLDER / name).write_bytes(make())
