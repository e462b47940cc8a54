"""Small bootable appliances of other Debian releases, as outdated as the archive allows.

Packages come from the release as it was at its last point, while the image names its updates and
security too. Built once and kept beside the demo's.
"""

from __future__ import annotations

import fcntl
import hashlib
import tempfile
from pathlib import Path

from demo.build import KEYRING, cache_folder, read_sources
from demo.disk import make_disk, volume_id
from demo.ova import write_ova
from demo.recipe import HERE, MIB, Recipe
from regild.host.run import run

EPOCH = 1_700_000_000
LOADER = ("grub-pc-bin", "grub-efi-amd64-bin", "grub2-common")
KERNELS = {"bullseye": "linux-image-amd64", "trixie": "linux-image-cloud-amd64"}
"""That of clouds is smaller; of bullseye's, now in long-term support, not every file is kept."""
PACKAGES = (
    *LOADER,
    "ca-certificates",
    "curl",
    "dbus",
    "openssl",
    "systemd-sysv",
    "udev",
    "xz-utils",
)


def release_appliance(release: str) -> Path:
    """The appliance of a release (`bullseye`, `trixie`), built if it is not there yet."""
    recipe = Recipe(
        name=f"release-{release}",
        title=f"A small Debian {release}",
        variant="minbase",
        packages=(*PACKAGES, KERNELS[release]),
        disk_bytes=(2560 if release == "bullseye" else 1536) * MIB,
        bootable=True,
        services=("health",),
    )
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    text = Path(__file__).read_bytes() + (HERE / "customize").read_bytes()
    ova = folder / f"{recipe.name}-{hashlib.sha256(text).hexdigest()[:16]}.ova"
    with (folder / f"{recipe.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ova.exists():
            with tempfile.TemporaryDirectory(prefix=".building-", dir=folder) as scratch:
                _build(recipe, release, Path(scratch)).rename(ova)
    return ova


def _build(recipe: Recipe, release: str, scratch: Path) -> Path:
    tree, disk, ova = (scratch / name for name in ("tree.tar", "disk.raw", "appliance.ova"))
    lines = source_lines(release)
    serial = volume_id(recipe)
    env = {
        "SOURCE_DATE_EPOCH": str(EPOCH),
        "NAME": recipe.name,
        "SERVICES": " ".join(recipe.services),
        "SOURCES": "\n".join(lines),
        "ROOT_UUID": str(recipe.uuid("root")),
        "ESP_UUID": f"{serial[:4]}-{serial[4:]}",
    }
    options = [f"--variant={recipe.variant}", f"--include={','.join(recipe.packages)}"]
    options += [f'--customize-hook={HERE / "customize"} "$1"', "--format=tar", "--mode=root"]
    options += [f'--customize-hook={DEB822} "$1"'] if release == "trixie" else []
    run(
        ["mmdebstrap", *options, release, tree, lines[0]],
        purpose="to build the appliance",
        env=env,
    )
    make_disk(recipe, tree, disk, EPOCH)
    write_ova(recipe, disk, ova, EPOCH)
    return ova


DEB822 = Path(__file__).with_name("deb822.sh")
"""Turns sources.list into the form in which new systems have it."""


def source_lines(release: str) -> list[str]:
    """The sources that an image of a release names: itself, its updates, security."""
    known = read_sources()
    main, safe = known["bookworm"], known["bookworm-security"]
    suites = ((main, release), (main, f"{release}-updates"), (safe, f"{release}-security"))
    return [f"deb [signed-by={KEYRING}] {uri} {suite} main" for uri, suite in suites]
