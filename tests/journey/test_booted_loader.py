"""A boot loader that the booted guest wrote to its drive: taken over whole, nothing else beside it,
and what starts the result."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from regild.image.formats import open_disk
from regild.image.guest import open_guest
from regild.image.overlay import Overlay
from tests.change.loaders import GRUB, OF_DRIVES, STRAY, STRAYS, loader_image
from tests.journey.machine import digest, regild

pytestmark = [pytest.mark.nightly, pytest.mark.root, pytest.mark.timeout(3600)]

MIB = 1 << 20
CORE = {"gpt": (MIB, 2 * MIB), "mbr": (512, MIB), "efi": (2 * MIB, 66 * MIB)}
"""Where the loader lies: a BIOS boot partition, the gap, or the EFI system partition."""
OF_BIOS = ("/boot/grub/i386-pc/core.img",)
OF_UEFI = (
    "/boot/grub/x86_64-efi/core.efi",
    "/boot/efi/EFI/debian/grubx64.efi",
    "/boot/efi/EFI/BOOT/BOOTX64.EFI",
)
FILES = {"gpt": OF_BIOS, "mbr": OF_BIOS, "efi": OF_UEFI}
HEAD_BYTES = 2048
"""What grub-bios-setup changes of it, at its beginning: where it lies, and how it is protected."""


@pytest.mark.parametrize("table", ["gpt", "mbr", "efi"])
def test_a_loader_is_written_by_its_package_and_starts_the_result(
    table: str, tmp_path: Path, machines_gone: Callable[[], bool]
) -> None:
    image, out, jobs = loader_image(table), tmp_path / "new.raw", tmp_path / "jobs"
    before = digest(image)
    answer = regild(
        *("update", image, "-o", out, "--scratch", jobs, "--keep-job", "--timeout", "3000")
    )
    receipt = answer["receipt"]
    assert receipt["carrier"] == "boot"  # type: ignore[index]  # JSON
    moved = {one["name"]: one for one in receipt["packages"]}  # type: ignore[index]  # JSON
    assert moved.keys() >= {*GRUB, OF_DRIVES[table]}
    assert digest(image) == before
    assert machines_gone()
    check_drive(table, image, out, next(jobs.glob("*/guest/booted")))
    regild("plan", out)
    package, version = OF_DRIVES[table], moved[OF_DRIVES[table]]["to"]
    console = ("--expect", f"console:GNU GRUB  version {version}")
    command = (
        "--expect",
        f"command:dpkg-query -Wf '${{Version}}' {package} | grep -Fx '{version}'",
    )
    tested = regild("boot-test", out, *console, *command, "--test-timeout", "1500")
    assert tested["boot"]["firmware"] == ("efi" if table == "efi" else "bios")  # type: ignore[index]  # JSON


def check_drive(table: str, image: Path, out: Path, booted: Path) -> None:
    """What of the drive is as the guest wrote it, and what is as it was before."""
    first, end = CORE[table]
    with (
        open_disk(image) as was,
        open_disk(out) as now,
        Overlay.open(booted, was) as left,
    ):
        assert now.read(0, 440) == left.read(0, 440)
        core = now.read(first, end - first)
        assert core == left.read(first, end - first)
        assert core != was.read(first, end - first)
        with open_guest(now) as guest:
            files = [guest.tree.read(path, MIB * 8) for path in FILES[table]]
        if table == "efi":
            assert files[0] == files[1] == files[2]
        else:
            assert core[HEAD_BYTES : len(files[0])] == files[0][HEAD_BYTES:]
        for place in STRAYS[table]:
            assert left.read(place, len(STRAY)) == STRAY
            assert now.read(place, len(STRAY)) == was.read(place, len(STRAY))
