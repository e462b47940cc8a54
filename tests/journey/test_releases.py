"""Debian 11 and 13 as their last point releases left them, brought up to date with a new kernel."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.change.laid import Laid, laid_out
from tests.change.releases import release_appliance
from tests.journey.machine import regild

pytestmark = [pytest.mark.nightly, pytest.mark.root, pytest.mark.timeout(3600)]

WHOLE = "boot menu, kernels, modules, initial RAM disks and root agree"


@pytest.mark.parametrize("release", ["bullseye", "trixie"])
def test_a_release_is_brought_up_to_date(release: str, tmp_path: Path) -> None:
    answer = regild("update", release_appliance(release), "-o", tmp_path / "new.ova")
    receipt = answer["receipt"]
    assert WHOLE in receipt["checks"]
    assert any(one["name"].startswith("linux-image-") for one in receipt["packages"])
    regild("plan", tmp_path / "new.ova")


LAYOUTS = {
    "xfs": (Laid("/", "xfs", 3500), Laid("/boot", "ext4", 300), Laid("/var", "ext4", 700)),
    "btrfs": (Laid("/", "btrfs", 3500), Laid("/var", "ext4", 700, logical=True)),
}


@pytest.mark.skipif(not shutil.which("linux.uml"), reason="user-mode-linux is not installed")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_debian_12_gets_a_new_kernel_on_other_filesystems(
    layout: str, demo_ova: Path, tmp_path: Path
) -> None:
    guest = laid_out(demo_ova, tmp_path, LAYOUTS[layout])
    output = tmp_path / "new.raw"
    receipt = regild("update", guest.disk.path, "-o", output, "--timeout", "3000")["receipt"]
    assert WHOLE in receipt["checks"]
    assert {"mount": "/", "filesystem": layout, "by": "user-mode-linux"} in receipt["writers"]
    regild("plan", output)
