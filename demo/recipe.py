"""What the appliances of the demo and of the tests are made of, as plain values."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass, field
from pathlib import Path

MIB = 1 << 20
HERE = Path(__file__).parent
BUILDERS = ("recipe.py", "build.py", "disk.py", "ova.py", "customize")
"""The files whose text decides what comes out; a change in one of them builds everything anew."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """One appliance: which packages from which suites, on a disk of which size."""

    name: str
    title: str
    variant: str
    """mmdebstrap's word for how much of Debian is in it."""
    packages: tuple[str, ...]
    disk_bytes: int
    bootable: bool = False
    """With BIOS boot partition, EFI system partition, kernel and GRUB."""
    suites: tuple[str, ...] = ("bookworm",)
    """The suites that the packages come from; the image itself always names all of SUITES."""
    outdated: tuple[str, ...] = field(default=())
    """Packages that are taken from `bookworm` even where another suite has a newer one."""
    services: tuple[str, ...] = ()
    """What runs in it besides its packages' own: `keys` for ssh, `health` on the console."""

    def uuid(self, what: str) -> uuid.UUID:
        """The same UUID in every build, for a partition, a filesystem or the disk."""
        return uuid.uuid5(uuid.NAMESPACE_OID, f"regild {self.name} {what}")


SUITES = ("bookworm", "bookworm-updates", "bookworm-security")

DEMO = Recipe(
    name="demo",
    title="A web server on Debian 12 as it was at its last point release",
    variant="important",
    packages=(
        "ca-certificates",
        "curl",
        "git",
        "grub-efi-amd64-bin",
        "grub-pc-bin",
        "grub2-common",
        "linux-image-cloud-amd64",
        "nginx",
        "openssh-server",
        "openssl",
        "python3",
        "rsync",
        "sudo",
        "systemd-sysv",
        "xz-utils",
    ),
    disk_bytes=4096 * MIB,
    bootable=True,
    services=("keys",),
)

SMALL = Recipe(
    name="small",
    title="A very small Debian 12 with three old packages",
    variant="minbase",
    packages=("unzip", "xz-utils", "zip"),
    disk_bytes=512 * MIB,
    suites=SUITES,
    outdated=("unzip", "xz-utils", "zip"),
)

WORKER = Recipe(
    name="worker",
    title="The smallest Debian 12 that boots and says how it is, with an old OpenSSL",
    variant="minbase",
    packages=(
        "dbus",
        "grub-efi-amd64-bin",
        "grub-pc-bin",
        "grub2-common",
        "linux-image-cloud-amd64",
        "openssl",
        "systemd-sysv",
        "udev",
    ),
    disk_bytes=1024 * MIB,
    bootable=True,
    suites=SUITES,
    outdated=("libssl3", "openssl"),
    services=("health",),
)

RECIPES = {recipe.name: recipe for recipe in (DEMO, SMALL, WORKER)}


def digest_of(recipe: Recipe, sources: list[str], releases: list[bytes]) -> str:
    """Names the result before it is built: recipe, builder's text, mirrors and what they offer."""
    parts = [repr(recipe).encode(), *(line.encode() for line in sources), *releases]
    parts += [(HERE / name).read_bytes() for name in BUILDERS]
    lengths = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    return hashlib.sha256(lengths).hexdigest()
