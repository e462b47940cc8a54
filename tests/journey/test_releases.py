"""Debian 11 to 13 as their last point releases left them, brought up to date with a new kernel, and
started with it; Debian 12 also as its installer lays it out in LVM."""

from __future__ import annotations

import fcntl
import hashlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from demo.build import cache_folder, find_appliance
from demo.disk import BIOS_BOOT, Part, _write_bios_boot
from demo.recipe import MIB, RECIPES, WORKER
from regild.change.apply import DiskFile
from regild.change.extract import open_part
from regild.image.formats import open_disk
from tests.change import laid
from tests.change.guests import parts_in
from tests.change.laid import Laid, laid_out
from tests.change.releases import release_appliance
from tests.journey.machine import digest, regild
from tests.journey.peers import differences, tree_in
from tests.journey.test_booted import UNEQUAL

pytestmark = [pytest.mark.nightly, pytest.mark.root, pytest.mark.timeout(3600)]

WHOLE = "boot menu, kernels, modules, initial RAM disks and root agree"
NEW_KERNEL = re.compile(r"linux-image-(\d.*)")


def new_kernel(answer: dict[str, object]) -> str:
    """The kernel that an update brought."""
    receipt = answer["receipt"]
    assert WHOLE in receipt["checks"]  # type: ignore[index]  # JSON
    names = [one["name"] for one in receipt["packages"]]  # type: ignore[index]  # JSON
    (found,) = [match[1] for match in map(NEW_KERNEL.fullmatch, names) if match]
    return found


@pytest.mark.parametrize("release", ["bullseye", "trixie"])
def test_a_release_is_brought_up_to_date(release: str, tmp_path: Path) -> None:
    output = tmp_path / "new.ova"
    kernel = new_kernel(regild("update", release_appliance(release), "-o", output))
    regild("plan", output)
    expect = ("--expect", f"command:test $(uname -r) = {kernel}", "--test-timeout", "1500")
    regild("boot-test", output, *expect)


LAYOUTS = {
    "xfs": (Laid("/", "xfs", 3500), Laid("/boot", "ext4", 300), Laid("/var", "ext4", 700)),
    "btrfs": (Laid("/", "btrfs", 4000),),
    "lvm": (Laid("/", "ext4", 3500), Laid("/var", "ext4", 700, logical=True)),
    "installer": (
        Laid("/", "ext4", 1000, logical=True),
        Laid("/boot", "ext2", 300),
        Laid("/var", "ext4", 400, logical=True),
    ),
}
STARTED = ("xfs", "btrfs")
"""Those that come up: the demo's guest has no LVM of its own."""


@pytest.mark.skipif(not shutil.which("linux.uml"), reason="user-mode-linux is not installed")
@pytest.mark.parametrize("layout", ("xfs", "btrfs", "lvm"))
def test_debian_12_gets_a_new_kernel_on_other_filesystems(
    layout: str, demo_ova: Path, tmp_path: Path
) -> None:
    output = tmp_path / "new.raw"
    image = laid_appliance(demo_ova, layout)
    answer = regild("update", image, "-o", output, "--timeout", "3000")
    kernel = new_kernel(answer)
    by = {one["mount"]: one["by"] for one in answer["receipt"]["writers"]}  # type: ignore[index]
    assert by["/"] == ("libext2fs" if layout == "lvm" else "user-mode-linux")
    regild("plan", output)
    if layout in STARTED:  # nobody is put into these filesystems: what they say is listened to
        expect = ("--expect", f"console:Linux version {kernel}", "--expect", "console: login:")
        regild("boot-test", output, *expect, "--test-timeout", "1500")


IN_LVM = (
    "findmnt -no SOURCE / | grep -x /dev/mapper/golden-root",
    "findmnt -no SOURCE /var | grep -x /dev/mapper/golden-var",
    "findmnt -no FSTYPE /boot | grep -x ext2",
)
"""What a machine says that came up from the volumes as the installer lays them out."""


@pytest.fixture(scope="module")
def installed() -> Path:
    """A small Debian 12 as Debian's installer lays it out with LVM: /boot outside of the group,
    root and /var in it; with the kernel of its last point release."""
    recipe = replace(
        WORKER,
        name="lvm",
        title="A small Debian 12 that can start from LVM",
        packages=(*WORKER.packages, "lvm2"),
        suites=("bookworm",),
        outdated=(),
    )
    appliance = find_appliance(RECIPES.setdefault(recipe.name, recipe).name)
    return laid_appliance(appliance, "installer")


def test_debian_12_in_lvm_gets_a_new_kernel_and_starts_with_it(
    installed: Path, tmp_path: Path
) -> None:
    output = tmp_path / "new.raw"
    answer = regild("update", installed, "-o", output, "--timeout", "3000")
    kernel = new_kernel(answer)
    assert answer["receipt"]["carrier"] == "record"  # type: ignore[index]  # JSON
    by = {one["mount"]: one["by"] for one in answer["receipt"]["writers"]}  # type: ignore[index]
    assert by == dict.fromkeys(("/", "/boot", "/var"), "libext2fs")
    regild("plan", output)
    started_from_lvm(output, kernel)


def test_debian_12_in_lvm_is_booted_for_its_changes_and_gets_the_same_files(
    installed: Path, tmp_path: Path, machines_gone: Callable[[], bool]
) -> None:
    before, trees = digest(installed), []
    for carrier in ("record", "boot"):
        output = tmp_path / f"{carrier}.raw"
        line = ("-o", output, "--carrier", carrier, "--timeout", "3000")
        answer = regild("update", installed, *line)
        receipt = answer["receipt"]
        assert receipt["carrier"] == carrier  # type: ignore[index]  # JSON
        checks = {WHOLE, "nothing differs but what is on record"}
        assert set(receipt["checks"]) >= checks  # type: ignore[index]  # JSON
        kernel = new_kernel(answer)
        trees.append(volumes_in(output))
    assert digest(installed) == before
    assert machines_gone()
    different = differences(*trees)
    assert [one for one in different if not UNEQUAL.fullmatch(one.partition(": ")[0])] == []
    regild("plan", output)
    started_from_lvm(output, kernel)


def volumes_in(image: Path) -> dict[str, tuple[object, ...]]:
    """Every path of a guest on all of its volumes, but for logs and caches."""
    found = {}
    with open_disk(image) as disk:
        for part in parts_in(DiskFile(image, 0, image.stat().st_size)):
            volume = open_part(disk, part)
            try:
                rows = tree_in(volume, ())
            finally:
                volume.close()
            mount = part.mount.rstrip("/")
            found |= {f"{mount}{path}": facts for path, facts in rows.items()}
    return found


def started_from_lvm(image: Path, kernel: str) -> None:
    """Boot an image by its own loader: it has to come up from its volumes, with a kernel."""
    commands = (f"test $(uname -r) = {kernel}", *IN_LVM)
    expect = [word for command in commands for word in ("--expect", f"command:{command}")]
    regild("boot-test", image, *expect, "--test-timeout", "1500")


def laid_appliance(appliance: Path, layout: str) -> Path:
    """An appliance laid out anew, with a loader that starts it; made once, kept beside it."""
    made_by = (Path(__file__), Path(laid.__file__))
    text = appliance.name.encode() + b"".join(path.read_bytes() for path in made_by)
    folder = cache_folder()
    image = folder / f"laid-{layout}-{hashlib.sha256(text).hexdigest()[:16]}.raw"
    with (folder / f"laid-{layout}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not image.exists():
            for older in folder.glob(f"laid-{layout}-*.raw"):
                older.unlink()
            with tempfile.TemporaryDirectory(prefix=".building-", dir=folder) as scratch:
                loader = Loader()
                guest = laid_out(appliance, Path(scratch), LAYOUTS[layout], loader.make)
                loader.put(guest.disk.path)
                guest.disk.path.rename(image)
    return image


class Loader:
    """GRUB for a disk that was laid out anew: it finds its menu wherever /boot is."""

    MODULES = "biosdisk btrfs configfile echo ext2 gzio linux ls normal part_gpt search "
    MODULES += "search_fs_uuid serial terminal test xfs"

    def __init__(self) -> None:
        self.boot = self.core = b""

    def make(self, root: Path) -> None:
        """Make its core in the mounted tree."""
        rows = [line.split() for line in (root / "etc/fstab").read_text().splitlines()]
        device = {mount: name for name, mount, *_ in rows}
        own = "/boot" in device
        menu = "/grub" if own else "/boot/grub"
        uuid = device["/boot" if own else "/"].removeprefix("UUID=")
        told = root / "boot/grub/grub.cfg"  # of where the guest lay before
        told.write_text(re.sub(r"root=UUID=\S+", f"root={device['/']}", told.read_text()))
        early = root / "boot/grub/early.cfg"
        early.write_text(
            f"search.fs_uuid {uuid} root\nset prefix=($root){menu}\nconfigfile $prefix/grub.cfg\n"
        )
        line = ["chroot", str(root), "grub-mkimage", "-O", "i386-pc", "-p", menu]
        line += ["-c", "/boot/grub/early.cfg", "-o", "/boot/grub/i386-pc/core.img"]
        subprocess.run([*line, *self.MODULES.split()], check=True)
        place = root / "boot/grub/i386-pc"
        self.boot, self.core = ((place / name).read_bytes() for name in ("boot.img", "core.img"))

    def put(self, disk: Path) -> None:
        """Put it before the first partition."""
        _write_bios_boot(disk, Part("bios", BIOS_BOOT, MIB, MIB), self.boot, self.core)
