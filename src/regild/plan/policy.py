"""What this release leaves alone, and why; pure."""

from __future__ import annotations

import re

from regild.model.content import Package

BOOT_CHAIN = re.compile(
    r"linux-(image|modules)(-.*)?|initramfs-tools(-.*)?|dracut(-.*)?|klibc-utils"
    r"|grub(-.*|2|2-common)?|shim(-.*)?|systemd-boot(-.*)?|mdadm|lvm2|cryptsetup-initramfs"
    r"|console-setup-linux|plymouth(-.*)?|zfs-initramfs|refind|lilo|extlinux|syslinux(-.*)?"
)
"""Packages whose scripts make what the machine boots with, for the machine that they run on."""

BOOT_CHAIN_WHY = (
    "it belongs to the boot chain, which this release does not change offline "
    "(its scripts would look at this machine's devices)"
)
HELD_WHY = "it is on hold in the image"
ASKED_WHY = "it was asked to be held"
KEPT_WHY = "the package manager keeps it back: it needs something removed or held"


def boot_chain(packages: tuple[Package, ...]) -> tuple[str, ...]:
    """Names of the installed packages that belong to the boot chain."""
    return tuple(sorted({one.name for one in packages if BOOT_CHAIN.fullmatch(one.name)}))


def why_kept(name: str, held: frozenset[str], asked: frozenset[str]) -> str:
    """Why an upgrade is left out."""
    if name in asked:
        return ASKED_WHY
    if name in held:
        return HELD_WHY
    return BOOT_CHAIN_WHY if BOOT_CHAIN.fullmatch(name) else KEPT_WHY
