"""The volumes of a disk and what each of them holds, told by content first and type second.

A volume that holds no filesystem by design (BIOS boot, PReP, swap, an empty one) is recognised and
not an unknown. Sources of the magic numbers: the formats' own documentation, in `SIGNATURES`.
"""

from __future__ import annotations

import struct
import uuid as uuids
from collections.abc import Callable, Iterator
from typing import Literal

import msgspec
from msgspec.structs import replace

from regild.errors import Malformed, TooLarge, Truncated
from regild.image.disk import Disk
from regild.image.partitions import (
    Partition,
    printable,
    read_partitions,
    read_partitions_of_4096,
)
from regild.image.spans import Places
from regild.model.content import Value

VolumeKind = Literal[
    "filesystem", "bios-boot", "swap", "empty", "encrypted", "unlocked", "lvm", "unknown"
]
"""`unlocked` is an encrypted volume whose content is a volume of its own."""

Recognised = tuple[VolumeKind, str, str, str, str]
"""Kind, filesystem, uuid, label, and why for an unknown."""

HEAD_BYTES = 4096
BTRFS_AT = 65536
EMPTY_SCAN_BYTES = 64 << 20
"""So much of the allocated but blank volumes of a disk is read to prove that they are empty."""

BOOT_TYPES = {
    "21686148-6449-6E6F-744E-656564454649": "BIOS boot partition",
    "9E1A2D38-C612-4316-AA26-8B49521E5A8B": "PReP boot partition",
    "E3C9E316-0B5C-4DB8-817D-F92DF00215AE": "Microsoft reserved partition",
    "41": "PReP boot partition",
}
"""Partition types whose content is code or nothing (UEFI 2.10 table 5-7; GRUB manual 3.4)."""


class Volume(Value, frozen=True):
    """A part of the disk that could hold a filesystem, and what it does hold."""

    number: int
    """The partition's number; 0 for a disk without a table."""
    name: str
    """`partition 3`, or `the whole disk`."""
    offset: int
    bytes: int
    kind: VolumeKind
    filesystem: str = ""
    """`ext2`, `ext3`, `ext4`, `vfat`, `xfs`, `btrfs`, ... by the name that mount(8) uses."""
    uuid: str = ""
    """As UUID stands in fstab(5)."""
    label: str = ""
    partition_uuid: str = ""
    partition_label: str = ""
    partition_type: str = ""
    """As `regild.image.partitions.Partition.type`."""
    device: str = ""
    """A volume's name in /dev/mapper, where it has one."""
    layer: str = ""
    """`LVM` or `LUKS` for a volume inside of others; its place is behind the disk's end."""
    why: str = ""
    """What an unknown volume looked like."""
    places: Places = ()
    """Where the bytes of a logical volume lie on the disk; none where that cannot be told."""

    @property
    def on_disk(self) -> Places:
        """Where the volume's bytes lie on the disk; none for what lies in a layer that hides it."""
        return self.places if self.layer else ((self.offset, self.bytes),)


class Signature(msgspec.Struct, frozen=True):
    """A format's mark: `magic` at `offset` of the volume."""

    offset: int
    magic: bytes
    kind: VolumeKind
    name: str
    named: Callable[[bytes], tuple[str, str]] | None = None
    """Reads uuid and label from the volume's first bytes."""


def read_volumes(disk: Disk, where: str = "the disk") -> tuple[Volume, ...]:
    """All volumes of a disk in order of their number.

    Raises: Malformed when the partition table cannot be right, TooLarge, Truncated.
    """
    whole = (Partition(number=0, offset=0, bytes=disk.size, type=""),)
    blank = _BlankCheck(disk)
    refusal = None
    volumes: tuple[Volume, ...] = ()
    try:
        partitions = read_partitions(disk, where)
        volumes = tuple(_volume(disk, one, blank) for one in partitions or whole)
        if partitions is None or {one.filesystem for one in volumes} - {"", "vfat"}:
            return volumes
    except (Malformed, TooLarge, Truncated) as error:
        refusal = error
    # A table of 4096-byte sectors looks like one of 512, and a bootable ISO 9660 has a table that
    # is for firmware only; both show by what is found where the table, read so, leads.
    for other in (read_partitions_of_4096(disk, where), whole):
        found = tuple(_volume(disk, one, blank) for one in other)
        holding = [one for one in found if one.kind == "filesystem"]
        if holding and (other is not whole or holding[0].filesystem == "iso9660"):
            return found
    if refusal is not None:
        raise refusal
    return volumes


def logical_volume(disk: Disk, number: int, offset: int, size: int, name: str) -> Volume:
    """What lies in a part of a disk that no partition table names.

    Raises: nothing; what cannot be read is an unknown volume.
    """
    partition = Partition(number=number, offset=offset, bytes=size, type="")
    return replace(_volume(disk, partition, _BlankCheck(disk)), name=name)


def _volume(disk: Disk, partition: Partition, blank: _BlankCheck) -> Volume:
    """One partition and what it holds; what cannot be read is an unknown volume."""
    try:
        kind, filesystem, uuid, label, why = _recognised(disk, partition, blank)
    except (Malformed, TooLarge, Truncated) as error:
        kind, filesystem, uuid, label, why = "unknown", "", "", "", str(error)
    return Volume(
        number=partition.number,
        name=f"partition {partition.number}" if partition.number else "the whole disk",
        offset=partition.offset,
        bytes=partition.bytes,
        kind=kind,
        filesystem=filesystem,
        uuid=uuid,
        label=label,
        partition_uuid=partition.uuid,
        partition_label=partition.label,
        partition_type=partition.type,
        why=why,
    )


def _recognised(disk: Disk, partition: Partition, blank: _BlankCheck) -> Recognised:
    """Kind, filesystem, uuid, label and reason of what lies in a partition."""
    end = partition.offset + partition.bytes
    if end > disk.size:
        return "unknown", "", "", "", f"it reaches {end - disk.size} bytes over the disk's end"
    head = disk.read(partition.offset, min(HEAD_BYTES, partition.bytes))
    found = [*_marked(head), *_ext(head), *_fat(head)] or _late(disk, partition)
    if len({one[:2] for one in found}) > 1:
        looks = " and ".join(one[1] or one[0] for one in found)
        return "unknown", "", "", "", f"it looks like {looks} at once"
    if found:
        return found[0]
    if partition.type in BOOT_TYPES:
        return "bios-boot", "", "", "", BOOT_TYPES[partition.type]
    if blank.is_empty(partition):
        return "empty", "", "", "", ""
    return "unknown", "", "", "", "its content is of no format that regild knows"


def _marked(head: bytes) -> Iterator[Recognised]:
    """What the marks of the first 4 KiB say."""
    for signature in SIGNATURES:
        if head[signature.offset :].startswith(signature.magic):
            if signature.kind == "unknown":
                yield "unknown", "", "", "", f"it is a {signature.name}"
            else:
                uuid, label = signature.named(head) if signature.named else ("", "")
                yield signature.kind, signature.name, uuid, label, ""


def _ext(head: bytes) -> Iterator[Recognised]:
    """ext2, ext3 and ext4 (linux Documentation/filesystems/ext4/super.rst)."""
    if len(head) < 2048 or head[1080:1082] != b"\x53\xef":
        return
    compatible, incompatible, read_only = struct.unpack_from("<III", head, 1024 + 0x5C)
    if incompatible & 0x8:
        yield "unknown", "", "", "", "it is the external journal of another filesystem"
        return
    # extents, 64bit, mmp, flex_bg, inline data ...: all that only ext4 has; then ext3's journal.
    if incompatible & ~0x16 or read_only & ~0x7:
        name = "ext4"
    else:
        name = "ext3" if compatible & 0x4 else "ext2"
    uuid = _dashed(head[1024 + 0x68 : 1024 + 0x78])
    yield "filesystem", name, uuid, _text(head[1024 + 0x78 : 1024 + 0x88]), ""


def _fat(head: bytes) -> Iterator[Recognised]:
    """FAT12, FAT16 and FAT32 (ECMA-107; Microsoft FAT32 specification 1.03)."""
    if len(head) < 512 or head[510:512] != b"\x55\xaa" or head[0] not in (0xEB, 0xE9):
        return
    sector, cluster, reserved, copies = struct.unpack_from("<HBHB", head, 11)
    if sector not in (512, 1024, 2048, 4096) or cluster == 0 or cluster & (cluster - 1):
        return
    if not reserved or copies not in (1, 2) or head[21] < 0xF0:
        return
    at = 67 if head[82:87] == b"FAT32" else 39
    serial = struct.unpack_from("<I", head, at)[0]
    label = _text(head[at + 4 : at + 15])
    uuid = f"{serial >> 16:04X}-{serial & 0xFFFF:04X}"
    yield "filesystem", "vfat", uuid, "" if label == "NO NAME" else label, ""


def _late(disk: Disk, partition: Partition) -> list[Recognised]:
    """What has its mark further inside: btrfs, ISO 9660, swap of larger pages."""
    if partition.bytes < BTRFS_AT + HEAD_BYTES:
        return []
    superblock = disk.read(partition.offset + BTRFS_AT, HEAD_BYTES)
    if superblock[0x40:0x48] == b"_BHRfS_M":
        uuid, label = _dashed(superblock[0x20:0x30]), _text(superblock[0x12B:0x22B])
        return [("filesystem", "btrfs", uuid, label, "")]
    if disk.read(partition.offset + 32769, 5) == b"CD001":
        described = disk.read(partition.offset + 32768, 2048)
        return [("filesystem", "iso9660", _iso_date(described), _text(described[40:72]), "")]
    for page in (8192, 16384, 65536):
        if disk.read(partition.offset + page - 10, 10) == b"SWAPSPACE2":
            return [("swap", "", "", "", "")]
    return []


def _iso_date(described: bytes) -> str:
    """When an ISO 9660 volume was made (ECMA-119, 8.4.26), which is what stands for its uuid."""
    digits = described[813:829]
    if not digits.isdigit():
        return ""
    text = digits.decode()
    return "-".join((text[:4], *(text[at : at + 2] for at in range(4, 16, 2))))


class _BlankCheck:
    """Proves that volumes are empty, within one budget for the whole disk."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._left = EMPTY_SCAN_BYTES

    def is_empty(self, partition: Partition) -> bool:
        """Whether a volume holds zeros only; one that takes too long to prove is not."""
        begin, end = partition.offset, partition.offset + partition.bytes
        for offset, length in self._disk.extents():
            if offset >= end:
                break
            first, last = max(offset, begin), min(offset + length, end)
            while first < last:
                count = min(1 << 20, last - first)
                self._left -= count
                if self._left < 0 or self._disk.read(first, count) != bytes(count):
                    return False
                first += count
        return True


def _dashed(content: bytes) -> str:
    return str(uuids.UUID(bytes=content)) if any(content) else ""


def _text(content: bytes) -> str:
    return printable(content.decode("utf-8", "replace"))


def _xfs_names(head: bytes) -> tuple[str, str]:
    return _dashed(head[32:48]), _text(head[108:120])


def _ntfs_names(head: bytes) -> tuple[str, str]:
    return f"{struct.unpack_from('<Q', head, 72)[0]:016X}", ""


def _apfs_names(head: bytes) -> tuple[str, str]:
    return _dashed(head[72:88]), ""


def _luks_names(head: bytes) -> tuple[str, str]:
    return _text(head[168:208]), ""


def _swap_names(head: bytes) -> tuple[str, str]:
    return _dashed(head[1036:1052]), _text(head[1052:1068])


SIGNATURES: tuple[Signature, ...] = (
    Signature(0, b"LUKS\xba\xbe", "encrypted", "LUKS", _luks_names),
    Signature(3, b"-FVE-FS-", "encrypted", "BitLocker"),
    Signature(0, b"XFSB", "filesystem", "xfs", _xfs_names),
    Signature(512, b"LABELONE", "lvm", "LVM2"),
    Signature(0, b"LABELONE", "lvm", "LVM2"),
    Signature(1024, b"LABELONE", "lvm", "LVM2"),
    Signature(1536, b"LABELONE", "lvm", "LVM2"),
    Signature(4086, b"SWAPSPACE2", "swap", "", _swap_names),
    Signature(4086, b"SWAP-SPACE", "swap", ""),
    Signature(3, b"NTFS    ", "filesystem", "ntfs", _ntfs_names),
    Signature(3, b"EXFAT   ", "filesystem", "exfat"),
    Signature(0, b"hsqs", "filesystem", "squashfs"),
    Signature(1024, b"\x10\x20\xf5\xf2", "filesystem", "f2fs"),
    Signature(1024, b"H+\x00\x04", "filesystem", "hfsplus"),
    Signature(1024, b"HX\x00\x05", "filesystem", "hfsplus"),
    Signature(32, b"NXSB", "filesystem", "apfs", _apfs_names),
    Signature(1024, b"\xe2\xe1\xf5\xe0", "filesystem", "erofs"),
    Signature(0, b"\xfc\x4e\x2b\xa9", "unknown", "member of a Linux RAID"),
)
"""Marks in a volume's first 4 KiB, in order of trial; ext and FAT need more than a mark."""
