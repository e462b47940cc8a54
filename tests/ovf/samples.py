"""Envelopes, descriptors and archives that the tests of this room start from."""

from __future__ import annotations

from pathlib import Path

from regild.model.appliance import (
    Binding,
    BomReference,
    Descriptor,
    Maintenance,
    ReceiptReference,
)
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
from regild.ovf import tar

OVF_1 = "http://schemas.dmtf.org/ovf/envelope/1"
ODD = "a\t\"<&>'\n\r\x01\x1b[0m\ufffe\uffff \\u0001 \\x é 漢 😀 ]]> --"
"""A string with everything that XML finds hard."""


def envelope(systems: str = "", files: str = "", disks: str = "", extra: str = "") -> bytes:
    """A small OVF 1.x document; one machine with one disk where nothing is said."""
    files = files or '<File ovf:id="file1" ovf:href="disk1.vmdk" ovf:size="5"/>'
    disks = disks or (
        '<Disk ovf:diskId="vmdisk1" ovf:fileRef="file1" ovf:capacity="2" '
        'ovf:capacityAllocationUnits="byte * 2^30" ovf:populatedSize="7" ovf:format="x"/>'
    )
    systems = systems or system("vm", "vmdisk1")
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<!-- kept -->
<Envelope xmlns="{OVF_1}" xmlns:ovf="{OVF_1}" xmlns:rasd="urn:rasd">
  <References>
    {files}
  </References>
  <DiskSection>
    <Info>Disks</Info>
    {disks}
  </DiskSection>{extra}
  {systems}
</Envelope>
""".encode()


def system(name: str, *disks: str) -> str:
    """A virtual system that names some disks."""
    items = "".join(
        f"<Item><rasd:HostResource>ovf:/disk/{disk}</rasd:HostResource></Item>" for disk in disks
    )
    return f"""<VirtualSystem ovf:id="{name}">
    <Info>A machine</Info>
    <Name>{name}</Name>
    <VirtualHardwareSection><Info>Hardware</Info>{items}</VirtualHardwareSection>
  </VirtualSystem>"""


def rich_content() -> Content:
    """A content in which every field says something, some of it odd."""
    digest = sha256_of(b"x")
    return Content(
        platform=Platform(
            family="linux",
            id="debian",
            version="12.1",
            codename="bookworm",
            name=f"Debian {ODD}",
            arch="amd64",
            kernels=("6.1.0-9", "odd name\twith space"),
            edition="ServerStandard",
            build="20348",
            ubr=2849,
        ),
        packages=(
            Package(
                type="deb",
                name="openssl",
                version="1:3.0+dfsg~1-1",
                arch="amd64",
                source="openssl",
                source_version="1:3.0+dfsg~1-1",
                purl="pkg:deb/debian/openssl@1:3.0%2Bdfsg~1-1?arch=amd64&distro=debian-12",
                where="/var/lib/dpkg/status",
            ),
            Package(
                type="deb",
                name="libstdc++6",
                version="12",
                arch="amd64",
                source="gcc-12",
                source_version="12.2",
                purl="pkg:deb/debian/libstdc%2B%2B6@12?arch=amd64&distro=debian-12",
                state="half-configured",
                hold=True,
                auto=True,
                where="/var/lib/dpkg/status",
            ),
            Package(type="pypi", name=ODD, version="", where=ODD),
            Package(type="deb", name="x", version="1", source="x", source_version="", purl="{no}"),
        ),
        applications=(Application(name="app", version="1", where=ODD, recipe="r"),),
        sources=(
            Source(
                type="apt",
                uri="http://mirror.example/debian",
                suite="bookworm",
                components=("main", "a b"),
                architectures=("amd64",),
                signed_by=("/usr/share/keyrings/x.gpg", "-----BEGIN\nabc\n\n-----END"),
                enabled=False,
                trusted=True,
                options=("lang=none", "x=a b"),
                where="/etc/apt/sources.list:3",
            ),
        ),
        unknowns=(Unknown(where=ODD, why="no idea"),),
        planning=Planning(
            type="deb",
            status=f"Package: openssl\nDepends: libc6\n\n{ODD}",
            auto=("libstdc++6:amd64",),
            architectures=("amd64", "i386"),
            preferences=(TextFile(path="/etc/apt/preferences", text=ODD),),
            settings=(TextFile(path="x", text="APT::Default-Release"),),
            keyrings=(Keyring(path="/k", keys=bytes(range(256))),),
        ),
        volumes=(
            VolumeSpace(
                mount="/",
                volume="UUID=1",
                filesystem="ext4",
                block_bytes=4096,
                blocks=100,
                free_blocks=50,
                reserved_blocks=5,
                free_inodes=7,
                dirty=True,
            ),
        ),
        witnesses=(Witness(volume="UUID=1", path="/var/lib/dpkg/status", digest=digest, bytes=3),),
    )


def rich_descriptor() -> Descriptor:
    """A descriptor in which every field says something."""
    digest = sha256_of(b"y")
    return Descriptor(
        content=rich_content(),
        bindings=(
            Binding(disk="vmdisk1", stored=digest, virtual=None, virtual_bytes=1 << 31),
            Binding(disk="vmdisk2", virtual=digest),
        ),
        bom=BomReference(
            location="sidecar", name="x.cdx.json", media_type="application/x; v=1", digest=digest
        ),
        receipt=ReceiptReference("x.receipt.json", digest),
        line="web-workers",
        generation=7,
        parent=digest,
        created="2026-11-22T19:00:00Z",
        tool="regild 0.1",
        maintenance=Maintenance(
            methods=("offline", "boot"),
            holds=("nginx",),
            tests=("systemctl is-active nginx",),
            reboot="kernel",
        ),
    )


def write_ova(path: Path, files: dict[str, bytes]) -> Path:
    """An archive with the given files in their order."""
    places, total = tar.lay_out([(name, len(content)) for name, content in files.items()])
    with path.open("wb") as file:
        for place in places:
            file.seek(place.offset - tar.BLOCK)
            file.write(tar.header(place.name, place.bytes) + files[place.name])
        file.truncate(total)
    return path


def write_folder(path: Path, files: dict[str, bytes]) -> Path:
    """A folder with the given files."""
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path
