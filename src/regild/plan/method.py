"""Whether a package can be changed while the image is offline, or the machine has to be booted for
it, and why; pure.

The rules are a literal table, in order of trial; the first that fits decides. They come from what
the packages' own scripts and hooks do: Debian 11 to 13, read in the packages and run apart
(docs/adr/0053).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from regild.model.plan import Method

KERNEL: Final = re.compile(r"linux-(image|modules)(-.*)?")
INITRAMFS: Final = re.compile(
    r"initramfs-tools(-.*)?|klibc-utils|busybox(-static)?|lvm2|mdadm|plymouth(-.*)?"
    r"|console-setup-linux|multipath-tools-boot|.*-initramfs"
)
"""What the initial RAM disk is made by and of."""

LOADER: Final = re.compile(r"grub2-common")
"""Every kind of GRUB 2 needs it, for it holds update-grub. Without it nobody here knows what
starts the kernel."""

OWN_LOADER: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    (
        re.compile(r"shim(-.*)?|grub-efi-[a-z0-9]+-signed"),
        "its script puts it into the EFI system partition and tells the firmware of it",
    ),
    (
        re.compile(r"grub-(pc|coreboot|ieee1275|xen|efi|efi-[a-z0-9]+|legacy|cloud-[a-z0-9]+)"),
        "its script writes the boot loader to the drive that the machine boots from",
    ),
)
"""Packages that need the machine themselves; a new kernel beside them does not."""

_OTHER_LOADER: Final = re.compile(
    r"systemd-boot|refind|lilo|extlinux|u-boot-menu|flash-kernel|s390-tools|raspi-firmware"
)

OTHER_MAKER: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    (
        re.compile(r"dracut|tiny-initramfs|booster|zfs-initramfs"),
        "it makes the initial RAM disk of what it finds on the running machine",
    ),
    (
        _OTHER_LOADER,
        "it is a boot loader that is not known here well enough to be served unseen",
    ),
)
"""Packages that need the machine, and with which a new kernel needs it too."""

_FILES_ONLY: Final = re.compile(r"(grub|shim)-.*(-bin|-common|-dbg|-unsigned)|grub-rescue-pc")
"""Names that only look like those: files for others, which run nothing of their own."""

MENU_WHY: Final = (
    "initial RAM disk and boot menu are made once, at the end, for the guest's own volumes"
)
INITRAMFS_WHY: Final = "the initial RAM disk is made anew, once, with the drivers of any machine"
FILES_WHY: Final = "it brings the boot loader's files; what the machine starts from stays"
SCRIPTS_WHY: Final = "its scripts need no machine of their own; all that they change is recorded"
UNKNOWN_LOADER_WHY: Final = "no boot loader that is known here is installed"


def choose_method(name: str, installed: Iterable[str]) -> tuple[Method, str]:
    """How one package is changed and why, given the names of all that is or will be installed."""
    if why := _why_booted(name, (*OWN_LOADER, *OTHER_MAKER)):
        return "boot", why
    if KERNEL.fullmatch(name) or INITRAMFS.fullmatch(name):
        names = sorted(set(installed))
        for other in names:
            if why := _why_booted(other, OTHER_MAKER):
                return "boot", f"{other} is installed: {why}"
        if KERNEL.fullmatch(name) and not any(LOADER.fullmatch(other) for other in names):
            return "boot", UNKNOWN_LOADER_WHY
        return "offline", MENU_WHY if KERNEL.fullmatch(name) else INITRAMFS_WHY
    return "offline", FILES_WHY if name.startswith("grub") else SCRIPTS_WHY


_OF_RPM: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    (
        re.compile(
            r"kernel(-(rt|64k|debug|default|desktop|azure|uek|lt|ml|PAE))*"
            r"(-(core|modules(-core|-extra|-internal)?|base|uki-virt))?"
        ),
        "its scripts have dracut make the initial RAM disk of what is found on the running machine",
    ),
    (re.compile(r"dracut(-.*)?"), "it makes the initial RAM disk of the running machine"),
    (
        re.compile(r"shim(-.*)?|grub2-(pc|efi-.*|tools-efi)|systemd-boot(-.*)?|sdubby|grubby"),
        "it is what the machine starts from",
    ),
)


LOADERS_OF_RPM: Final = re.compile(r"grub2-efi-[a-z0-9]+(-cdboot)?|systemd-boot-unsigned")
"""Their files, or those that their scripts write, lie in the EFI system partition."""


def rpm_method(name: str) -> tuple[Method, str]:
    """How one package of rpm is changed and why."""
    why = next((why for pattern, why in _OF_RPM if pattern.fullmatch(name)), "")
    return ("boot", why) if why else ("offline", SCRIPTS_WHY)


APK_KERNEL: Final = re.compile(r"linux-(?!pam|headers|firmware)[a-z0-9]+|mkinitfs")
"""Kernels, and what makes the initial RAM disk: of features that a file names, and nothing of the
machine is looked at."""
APK_LOADERS: Final = re.compile(
    r"syslinux|grub(-(bios|efi|xenhost))?|limine(-.*)?|systemd-boot|efi-mkuki|secureboot-hook"
    r"|u-boot(-.*)?|raspberrypi-bootloader(-.*)?|gummiboot|stubbyboot|kernel-hooks"
)
APK_OTHER_MAKER: Final = re.compile(r"dracut(-.*)?|booster|tiramisu|zfs-lts")
APK_LOADER_WHY: Final = "its trigger or script writes what the machine starts from"
APK_MAKER_WHY: Final = "it makes the initial RAM disk of what it finds on the running machine"
APK_MENU_WHY: Final = "its trigger makes the initial RAM disk of the features that the guest names"


def apk_method(name: str, installed: Iterable[str]) -> tuple[Method, str]:
    """How one package of apk is changed and why, given the names of all that is or will be
    installed."""
    if APK_LOADERS.fullmatch(name):
        return "boot", APK_LOADER_WHY
    if APK_OTHER_MAKER.fullmatch(name):
        return "boot", APK_MAKER_WHY
    if APK_KERNEL.fullmatch(name):
        for other in sorted(set(installed)):
            if APK_LOADERS.fullmatch(other) or APK_OTHER_MAKER.fullmatch(other):
                why = APK_LOADER_WHY if APK_LOADERS.fullmatch(other) else APK_MAKER_WHY
                return "boot", f"{other} is installed: {why}"
        return "offline", APK_MENU_WHY
    return "offline", SCRIPTS_WHY


def loader_is_written(changed: Iterable[str], installed: Iterable[str]) -> bool:
    """Whether the scripts of what is changed write a boot loader, or what it starts, outside of the
    guest's filesystems: their own, or one that is told of every kernel."""
    told = any(_TOLD_OF_KERNELS.fullmatch(one) or _OTHER_LOADER.fullmatch(one) for one in installed)
    return told or any(map(writes_loader, changed))


def writes_loader(name: str) -> bool:
    """Whether a package's script writes a boot loader outside of the guest's filesystems."""
    if any(one.fullmatch(name) for one in (LOADERS_OF_RPM, APK_LOADERS, _OTHER_LOADER)):
        return True
    return bool(_why_booted(name, OWN_LOADER))


_TOLD_OF_KERNELS: Final = re.compile(
    r"systemd-boot-unsigned|syslinux|limine(-.*)?|efi-mkuki|secureboot-hook|kernel-hooks"
    r"|gummiboot|stubbyboot"
)
"""Loaders of rpm and apk that kernels are put beside, wherever firmware finds them."""


def _why_booted(name: str, rules: tuple[tuple[re.Pattern[str], str], ...]) -> str:
    """The first rule's reason that fits; empty where there is none."""
    if _FILES_ONLY.fullmatch(name):
        return ""
    return next((why for pattern, why in rules if pattern.fullmatch(name)), "")
