"""Small golden images, made in a moment: a guest of a few files, its disk, and the package."""

from __future__ import annotations

import hashlib
import io
import struct
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

MIB = 1 << 20
DISK_BYTES = 8 * MIB

OS_RELEASE = (
    'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\nPRETTY_NAME="Debian GNU/Linux 12"\n'
)
STATUS = """Package: openssl
Status: install ok installed
Architecture: amd64
Version: 3.0.11-1~deb12u2
Description: tools

Package: libssl3
Status: install ok installed
Architecture: amd64
Source: openssl
Version: 3.0.11-1~deb12u2
Description: library
"""
GUEST = {
    "/etc/os-release": OS_RELEASE,
    "/etc/debian_version": "12.4\n",
    "/etc/apt/sources.list": "deb http://mirror.example/debian bookworm main\n",
    "/var/lib/dpkg/status": STATUS,
    "/var/lib/dpkg/info/openssl.list": "/usr/bin/openssl\n",
}

DISK_XML = """<Disk ovf:capacity="{capacity}" ovf:diskId="{id}" ovf:fileRef="{id}-file"
  ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/>"""
ITEM_XML = """<Item><rasd:ElementName>disk</rasd:ElementName>
  <rasd:HostResource>ovf:/disk/{id}</rasd:HostResource><rasd:InstanceID>{number}</rasd:InstanceID>
  <rasd:ResourceType>17</rasd:ResourceType></Item>"""
SYSTEM_XML = """<VirtualSystem ovf:id="{id}"><Info>A machine</Info>
<VirtualHardwareSection><Info>Hardware</Info>{items}</VirtualHardwareSection></VirtualSystem>"""
ENVELOPE_XML = """<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1"
  xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
  xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData">
<References>{files}</References>
<DiskSection><Info>Disks</Info>{disks}</DiskSection>
{systems}
</Envelope>
"""


def filesystem(
    folder: Path, files: Mapping[str, str | bytes] = GUEST, size: int = DISK_BYTES
) -> Path:
    """A raw disk that is one ext4 filesystem with these files."""
    tree = folder / "tree"
    tree.mkdir()
    for path, content in files.items():
        place = tree / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content.encode() if isinstance(content, str) else content)
    disk = folder / "root.raw"
    mke2fs = ["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-E", "root_owner=0:0"]
    subprocess.run([*mke2fs, "-d", str(tree), str(disk), f"{size >> 10}k"], check=True)
    return disk


def partitioned(folder: Path, *contents: bytes) -> Path:
    """A raw disk with an MBR and one primary partition of type Linux for each content."""
    disk = folder / "disk.raw"
    table = bytearray(512)
    with disk.open("wb") as file:
        start = MIB
        for number, content in enumerate(contents):
            length = -(-len(content) // MIB) * MIB
            entry = struct.pack("<B3sB3sII", 0, b"", 0x83, b"", start // 512, length // 512)
            table[446 + 16 * number : 462 + 16 * number] = entry
            file.seek(start)
            file.write(content)
            start += length
        table[510:512] = b"\x55\xaa"
        file.truncate(start)
        file.seek(0)
        file.write(table)
    return disk


def converted(disk: Path, form: str, *options: str) -> Path:
    """The same disk in another of qemu-img's formats."""
    made = disk.with_suffix(f".{form}")
    line = ["qemu-img", "convert", "-f", "raw", "-O", form, *options, str(disk), str(made)]
    subprocess.run(line, check=True)
    return made


def streamed(disk: Path) -> Path:
    """The same disk as a streamOptimized VMDK."""
    return converted(disk, "vmdk", "-o", "subformat=streamOptimized")


def envelope(disks: Mapping[str, Path], systems: Mapping[str, list[str]] | None = None) -> bytes:
    """An .ovf for disks by id; by default one system holds them all."""
    machines = systems if systems is not None else {"golden": list(disks)}
    files = "".join(
        f'<File ovf:id="{name}-file" ovf:href="{path.name}" ovf:size="{path.stat().st_size}"/>'
        for name, path in disks.items()
    )
    return ENVELOPE_XML.format(
        files=files,
        disks="".join(DISK_XML.format(id=name, capacity=DISK_BYTES) for name in disks),
        systems=_collection([_system(name, held) for name, held in machines.items()]),
    ).encode()


def _system(name: str, disks: list[str]) -> str:
    items = "".join(ITEM_XML.format(id=disk, number=3 + n) for n, disk in enumerate(disks))
    return SYSTEM_XML.format(id=name, items=items)


def _collection(systems: list[str]) -> str:
    if len(systems) == 1:
        return systems[0]
    inner = "".join(systems)
    return (
        f'<VirtualSystemCollection ovf:id="all"><Info>All</Info>{inner}</VirtualSystemCollection>'
    )


def manifest(members: Mapping[str, bytes]) -> bytes:
    """A .mf of the given members."""
    lines = (f"SHA256({n})= {hashlib.sha256(c).hexdigest()}\n" for n, c in members.items())
    return "".join(lines).encode()


def archive(path: Path, members: list[tuple[str, bytes]]) -> Path:
    """A USTAR archive of the given members in their order."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in members:
            head = tarfile.TarInfo(name)
            head.size = len(content)
            tar.addfile(head, io.BytesIO(content))
    return path


def ova(folder: Path, disk: Path, name: str = "golden") -> Path:
    """A whole OVA around a disk: envelope, manifest, disk."""
    ovf = envelope({"disk1": disk})
    content = disk.read_bytes()
    listed = {f"{name}.ovf": ovf, disk.name: content}
    members = [(f"{name}.ovf", ovf), (f"{name}.mf", manifest(listed)), (disk.name, content)]
    return archive(folder / f"{name}.ova", members)
