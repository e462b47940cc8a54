"""From a tree in a tar file to a bootable disk: GPT, EFI system partition, ext4, GRUB for BIOS.

Nothing is mounted and no loop device is used: many kernels, those of containers and micro virtual
machines above all, see no partitions in a loop device, and `grub-install` cannot work there.
"""

from __future__ import annotations

import os
import tarfile
from dataclasses import dataclass
from pathlib import Path

from demo.recipe import MIB, Recipe
from regild.host.run import run

SECTOR_BYTES = 512

# UEFI specification 2.10, table 5.7; GRUB manual, "BIOS installation"; UAPI group's
# Discoverable Partitions Specification for the root of x86-64.
BIOS_BOOT = "21686148-6449-6E6F-744E-656564454649"
EFI_SYSTEM = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
ROOT_X86_64 = "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"

FEATURES = "^orphan_file,^metadata_csum_seed"
"""As Debian 12 makes its filesystems, whatever the mke2fs of this machine would choose."""

FILL = """
set -eu
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
tar --extract --file "$1" --directory "$tree" --numeric-owner --same-permissions \\
    --xattrs --xattrs-include='*' --exclude='./dev/*'
shift
mke2fs -q -F -t ext4 -b 4096 -d "$tree" "$@"
"""
"""Unpacks a tree as root, or as the root of a user name space, and makes a filesystem of it."""

NAMESPACE_ROOT = ("unshare", "--map-root-user", "--map-auto")


@dataclass(frozen=True, slots=True)
class Part:
    """One partition: where it lies (bytes) and what the table says of it."""

    name: str
    type: str
    offset: int
    bytes: int

    @property
    def sector(self) -> int:
        return self.offset // SECTOR_BYTES


def parts_of(recipe: Recipe) -> tuple[Part, ...]:
    """The partitions of a recipe's disk, aligned to 1 MiB; the root is the last one."""
    boot = (
        (Part("bios", BIOS_BOOT, MIB, MIB), Part("esp", EFI_SYSTEM, 2 * MIB, 64 * MIB))
        if recipe.bootable
        else ()
    )
    start = boot[-1].offset + boot[-1].bytes if boot else MIB
    return (*boot, Part("root", ROOT_X86_64, start, recipe.disk_bytes - MIB - start))


def volume_id(recipe: Recipe) -> str:
    """The FAT serial number of the EFI system partition, eight hexadecimal digits."""
    return f"{recipe.uuid('esp').fields[0]:08X}"


def make_disk(recipe: Recipe, tree: Path, disk: Path, epoch: int) -> None:
    """Write a raw disk with everything on it; times are `epoch` where the tools allow."""
    with disk.open("wb") as file:
        file.truncate(recipe.disk_bytes)
    parts = parts_of(recipe)
    _partition(recipe, parts, disk)
    _fill(recipe, parts[-1], tree, disk, epoch)
    if recipe.bootable:
        bios, esp, _ = parts
        boot, core, efi = _read_grub(tree)
        _write_bios_boot(disk, bios, boot, core)
        _write_esp(recipe, esp, efi, disk, epoch)


def _partition(recipe: Recipe, parts: tuple[Part, ...], disk: Path) -> None:
    lines = ["label: gpt", f"label-id: {recipe.uuid('disk')}", "unit: sectors"]
    lines += [
        f"start={part.sector}, size={part.bytes // SECTOR_BYTES}, type={part.type}, "
        f"uuid={recipe.uuid(part.name + ' partition')}, name={part.name}"
        for part in parts
    ]
    run(
        ["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", disk],
        purpose="to partition the appliance's disk",
        stdin="\n".join(lines).encode(),
    )


def _fill(recipe: Recipe, part: Part, tree: Path, disk: Path, epoch: int) -> None:
    """Make the root filesystem straight in the disk; owners and attributes are those of `tree`."""
    become_root = () if os.geteuid() == 0 else NAMESPACE_ROOT
    names = ["-L", "root", "-U", str(recipe.uuid("root"))]
    layout = ["-O", FEATURES, "-E", f"offset={part.offset},hash_seed={recipe.uuid('hash')}"]
    size = f"{part.bytes // 1024}k"
    run(
        [*become_root, "sh", "-c", FILL, "fill", tree, *names, *layout, disk, size],
        purpose="to make the appliance's root filesystem",
        env={"E2FSPROGS_FAKE_TIME": str(epoch), "SOURCE_DATE_EPOCH": str(epoch)},
    )


def _read_grub(tree: Path) -> tuple[bytes, bytes, bytes]:
    """boot.img, core.img for BIOS and the EFI program, as the tree's own GRUB made them."""
    wanted = {
        "./boot/grub/i386-pc/boot.img": b"",
        "./boot/grub/i386-pc/core.img": b"",
        "./boot/grub/x86_64-efi/core.efi": b"",
    }
    with tarfile.open(tree) as archive:
        for member in archive:
            if member.name in wanted:
                file = archive.extractfile(member)
                wanted[member.name] = file.read() if file else b""
    boot, core, efi = wanted.values()
    return boot, core, efi


def _write_bios_boot(disk: Path, bios: Part, boot: bytes, core: bytes) -> None:
    """Put GRUB where a BIOS finds it: boot.img in sector 0, core.img in the BIOS boot partition.

    Offsets: GRUB, include/grub/i386/pc/boot.h. KERNEL_SECTOR 0x5c says where core.img begins;
    DRIVE_CHECK 0x66 becomes two NOPs, as grub-bios-setup does for hard disks; the last 12 bytes of
    core.img's first sector say where the rest of it lies. The table in sector 0 stays.
    """
    first = bytearray(boot[:440])
    first[0x5C:0x64] = bios.sector.to_bytes(8, "little")
    first[0x66:0x68] = b"\x90\x90"
    rest = bytearray(core)
    rest[500:508] = (bios.sector + 1).to_bytes(8, "little")
    with disk.open("r+b") as file:
        file.write(first)
        file.seek(bios.offset)
        file.write(rest)


def _write_esp(recipe: Recipe, esp: Part, efi: bytes, disk: Path, epoch: int) -> None:
    """Make the EFI system partition with GRUB under the name that every firmware tries."""
    volume, program = disk.with_suffix(".esp"), disk.with_suffix(".efi")
    program.write_bytes(efi)
    os.utime(program, (epoch, epoch))
    env = {"SOURCE_DATE_EPOCH": str(epoch), "MTOOLS_SKIP_CHECK": "1"}
    purpose = "to make the appliance's EFI system partition"
    kind = ["-F", "32", "-s", "1", "-n", "ESP", "-i", volume_id(recipe)]
    size = str(esp.bytes // 1024)
    run(["mkfs.vfat", "--invariant", *kind, "-C", volume, size], purpose=purpose, env=env)
    run(["mmd", "-i", volume, "::EFI", "::EFI/BOOT"], purpose=purpose, env=env)
    target = "::EFI/BOOT/BOOTX64.EFI"
    run(["mcopy", "-m", "-i", volume, program, target], purpose=purpose, env=env)
    with disk.open("r+b") as file:
        file.seek(esp.offset)
        file.write(volume.read_bytes())
