"""A guest of rpm that is booted for its changes: a new kernel, and the same files as without."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.change.rpm_apps import Golden
from tests.change.rpm_boots import OPTIONS, find_booting
from tests.feeds.rpm_repositories import needs_createrepo
from tests.journey.machine import Traces, digest, regild, settled
from tests.journey.peers import differences, mounted, tree_of
from tests.journey.test_booted import NEWEST
from tests.journey.test_rpm import OWN

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.root,
    pytest.mark.timeout(3600),
    needs_createrepo,
    pytest.mark.skipif(shutil.which("dnf") is None, reason="dnf is not installed here"),
    pytest.mark.skipif(
        not Path("/usr/share/doc/systemd-sysv").exists(), reason="systemd is not installed here"
    ),
]

HELD = {
    "every changed path was read back from the image",
    "no scriptlet failed",
    "rpmdb --verifydb finds nothing",
    "every file of the plan's packages is as its package file has it",
    "boot menu, kernels, modules, initial RAM disks and root agree",
    "nothing differs but what is on record",
    "e2fsck finds the filesystems clean",
}


@pytest.fixture(scope="module")
def golden(kernel_ova: Path, worker_ova: Path) -> Golden:
    return find_booting(kernel_ova, worker_ova)


class Trip:
    """One guest on its way."""

    def __init__(self, golden: Golden, folder: Path) -> None:
        self.folder, self.image = folder, folder / "golden.raw"
        subprocess.run(["cp", "--sparse=always", golden.image, self.image], check=True)
        self.feeds = ("--offline", golden.mirror, "--cache", folder / "cache")

    def update(self, out: Path, *options: object) -> dict[str, object]:
        """Update; the receipt."""
        jobs = ("--scratch", self.folder / "jobs", "--timeout", "3000")
        answer = regild("update", self.image, "-o", out, *self.feeds, *jobs, *options)
        receipt = answer["receipt"]
        assert isinstance(receipt, dict)
        console = out.with_suffix(".booted.log")
        assert console.exists() == (receipt["carrier"] == "boot")
        if console.exists():
            assert receipt["console"] == f"sha256:{digest(console)}"
            assert b"Linux version" in console.read_bytes()
        return receipt


def names(receipt: dict[str, object]) -> set[str]:
    return {one["name"] for one in receipt["packages"]}  # type: ignore[attr-defined]  # JSON


def test_a_kernel_is_installed_by_the_booted_guest_and_starts(
    golden: Golden, tmp_path: Path, machines_gone: Callable[[], bool]
) -> None:
    trip, out = Trip(golden, tmp_path), tmp_path / "new.raw"
    before = digest(trip.image)
    receipt = trip.update(out)
    assert receipt["carrier"] == "boot"  # the kernel takes it, and nobody had to ask
    assert names(receipt) == {"extra", "kernel-core", "web"}
    assert set(receipt["checks"]) >= HELD  # type: ignore[call-overload]  # JSON
    assert digest(trip.image) == before
    assert machines_gone() and settled(tmp_path) == Traces((), (), ())
    with mounted(out, tmp_path / "mount"):
        entries = sorted((tmp_path / "mount/boot/loader/entries").iterdir())
        told = [path.read_text().rpartition("options ")[2].strip() for path in entries]
        assert told == [OPTIONS, OPTIONS]  # nothing of the boot that installed it
    regild("boot-test", out, "--expect", f"command:{NEWEST}", "--test-timeout", "1500")


def test_record_and_boot_give_the_same_files(golden: Golden, tmp_path: Path) -> None:
    trip = Trip(golden, tmp_path)
    outs = {carrier: tmp_path / f"{carrier}.raw" for carrier in ("record", "boot")}
    for carrier, out in outs.items():
        receipt = trip.update(out, "--exclude", "kernel-core", "--carrier", carrier)
        assert (receipt["carrier"], names(receipt)) == (carrier, {"extra", "web"})
    record, boot = (tree_of(out, OWN) for out in outs.values())
    assert differences(record, boot) == []
