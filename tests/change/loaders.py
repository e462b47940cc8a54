"""A small Debian 12 that GRUB starts, with the GRUB of Debian 11: on drives for a BIOS with either
table, and on one for UEFI.

Its GRUB is two years older than what the image's own sources offer, so that an update is a real
upgrade of the real package, whose script writes the drive anew. Built once and kept beside the
demo's.
"""

from __future__ import annotations

import fcntl
import hashlib
import tempfile
from dataclasses import replace
from pathlib import Path

from demo import disk
from demo.build import KEYRING, cache_folder, read_sources
from demo.disk import Part, make_disk, volume_id
from demo.recipe import HERE, MIB, SUITES, WORKER, Recipe
from regild.host.run import run

EPOCH = 1_700_000_000
GRUB = ("grub-common", "grub-efi-amd64-bin", "grub-pc-bin", "grub2-common")
OF_DRIVES = {"gpt": "grub-pc", "mbr": "grub-pc", "efi": "grub-efi-amd64"}
"""The package whose script writes the drive."""
OLD = "bullseye"
PIN = f"""
mkdir -p "$1/etc/apt/preferences.d"
cat >"$1/etc/apt/preferences.d/older" <<'TEXT'
Package: *
Pin: release n={OLD}
Pin-Priority: 50

Package: {" ".join((*GRUB, *OF_DRIVES.values()))}
Pin: release n={OLD}
Pin-Priority: 1001
TEXT
"""
STRAY = b"stray!"
_IN_GPT = (440, 1024 + 100 * 128, 1024 * MIB - MIB // 2)
STRAYS = {"gpt": _IN_GPT, "efi": _IN_GPT, "mbr": (440, 1024 * MIB - 4096)}
"""Where the guest writes to its drive at every start: the disk's signature, an entry of the table
that is not used, and behind the last partition. Nothing of it may come into an image."""
SETTLE = """
chroot "$1" debconf-set-selections <<TEXT
grub-pc grub-pc/install_devices multiselect /dev/sda
grub-efi-amd64 grub2/force_efi_extra_removable boolean true
TEXT
cat >"$1/etc/systemd/system/stray.service" <<UNIT
[Unit]
Description=Write where no filesystem is
DefaultDependencies=no

[Service]
Type=oneshot
ExecStart=/usr/local/sbin/stray

[Install]
WantedBy=sysinit.target
UNIT
cat >"$1/usr/local/sbin/stray" <<SCRIPT
#!/bin/sh
for place in $PLACES; do
    printf 'stray!' | dd of=/dev/vda bs=1 seek=\\$place conv=notrunc
done
SCRIPT
chmod 755 "$1/usr/local/sbin/stray"
chroot "$1" systemctl enable --quiet stray.service
[ "$TABLE" != mbr ] || {
    sed -i /efi/d "$1/etc/fstab"
    chroot "$1" grub-mkimage -O i386-pc -p /boot/grub -c /boot/grub/early.cfg \\
        -o /boot/grub/i386-pc/core.img biosdisk configfile echo ext2 gzio linux ls normal \\
        part_msdos search search_fs_uuid serial terminal test
}
"""


def loader_image(table: str) -> Path:
    """The raw image on a drive with a `gpt` and a BIOS boot partition, with an `mbr` and the
    loader in the gap, or with a `gpt` that only UEFI starts from (`efi`); built if it is not there
    yet."""
    others = (one for one in WORKER.packages if not one.startswith("grub"))
    recipe = replace(
        WORKER,
        name=f"loader-{table}",
        title="A small Debian 12 with an older GRUB that writes its drive",
        packages=(*others, *GRUB, OF_DRIVES[table]),
        outdated=(),
    )
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    text = Path(__file__).read_bytes() + (HERE / "customize").read_bytes()
    image = folder / f"{recipe.name}-{hashlib.sha256(text).hexdigest()[:16]}.raw"
    with (folder / f"{recipe.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not image.exists():
            with tempfile.TemporaryDirectory(prefix=".building-", dir=folder) as scratch:
                _build(recipe, table, Path(scratch)).rename(image)
    return image


def _build(recipe: Recipe, table: str, scratch: Path) -> Path:
    tree, image = scratch / "tree.tar", scratch / "disk.raw"
    known = read_sources()
    lines = [f"deb [signed-by={KEYRING}] {known[suite]} {suite} main" for suite in SUITES]
    older = f"deb [signed-by={KEYRING}] {known['bookworm']} {OLD} main"
    serial = volume_id(recipe)
    env = {
        "SOURCE_DATE_EPOCH": str(EPOCH),
        "NAME": recipe.name,
        "SERVICES": " ".join(recipe.services),
        "SOURCES": "\n".join(lines),
        "ROOT_UUID": str(recipe.uuid("root")),
        "ESP_UUID": f"{serial[:4]}-{serial[4:]}",
        "TABLE": table,
        "PLACES": " ".join(map(str, STRAYS[table])),
    }
    options = [f"--variant={recipe.variant}", f"--include={','.join(recipe.packages)}"]
    options += ["--mode=root", "--format=tar", f"--setup-hook={PIN}"]
    options += [f'--customize-hook={HERE / "customize"} "$1"', f"--customize-hook={SETTLE}"]
    run(
        ["mmdebstrap", *options, "bookworm", tree, *lines, older],
        purpose="to build the appliance",
        env=env,
    )
    if table == "mbr":
        _make_mbr_disk(recipe, tree, image)
    else:
        make_disk(recipe, tree, image, EPOCH)
    if table == "efi":
        _leave_to_uefi(image)
    return image


def _leave_to_uefi(image: Path) -> None:
    """Take the loader for a BIOS away, and make the folder in which Debian's own lies."""
    with image.open("r+b") as file:
        file.write(bytes(440))
        file.seek(MIB)
        file.write(bytes(MIB))
    line = ["mmd", "-i", f"{image}@@{2 * MIB}", "::EFI/debian"]
    run(line, purpose="to make a folder", env={"MTOOLS_SKIP_CHECK": "1"})


def _make_mbr_disk(recipe: Recipe, tree: Path, image: Path) -> None:
    """One partition, and the loader before it, as Debian's installer leaves a drive to a BIOS."""
    with image.open("wb") as file:
        file.truncate(recipe.disk_bytes)
    root = Part("root", "83", MIB, recipe.disk_bytes - 2 * MIB)
    lines = ["label: dos", "label-id: 0x5eed5eed", "unit: sectors"]
    lines += [f"start={root.sector}, size={root.bytes // 512}, type=83, bootable"]
    line = ["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", image]
    run(line, purpose="to partition a disk", stdin="\n".join(lines).encode())
    disk._fill(recipe, root, tree, image, EPOCH)
    boot, core, _efi = disk._read_grub(tree)
    disk._write_bios_boot(image, Part("gap", "", 512, MIB - 512), boot, core)
