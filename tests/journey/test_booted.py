"""An appliance updated with its new kernel by the booted guest and without booting it: the same
packages, the same files but for logs, times and caches, and it comes up with the new kernel."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from regild.change.extract import open_part
from regild.host.run import run
from regild.image.ext import ExtVolume
from regild.image.formats import open_disk
from tests.change.guests import guest_of
from tests.change.test_boot import essence
from tests.journey.machine import Traces, digest, killed_after, regild, settled

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(3600)]

UNEQUAL = re.compile(
    r"/var/(log|cache)/.*|/var/lib/(dpkg|apt|ucf|initramfs-tools)/.*|/boot/initrd\.img-.*"
    r"|/boot/grub/grub(\.cfg|env)|.*\.pyc|/etc/ld\.so\.cache|/etc/[^/]*-|/lost\+found"
)
"""Where times, addresses or orders stand inside of files; the boot chain is proven by itself."""


NEWEST = 'test "$(uname -r)" = "$(ls /lib/modules | sort -V | tail -n 1)"'
"""The kernel that runs is the newest one that is installed."""


def updated(image: Path, folder: Path, carrier: str) -> Path:
    """Update by a carrier, proven and not tested: that would boot it once more."""
    output = folder / f"{carrier}.ova"
    line = [sys.executable, "-m", "regild", "update", image, "-o", output, "--json"]
    line += ["--carrier", carrier, "--scratch", folder / "jobs", "--timeout", "3000"]
    done = subprocess.run([str(word) for word in line], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    receipt = json.loads(done.stdout)["receipt"]
    assert receipt["carrier"] == carrier
    assert any(row["name"].startswith("linux-image-6") for row in receipt["packages"])
    assert "boot menu, kernels, modules, initial RAM disks and root agree" in receipt["checks"]
    return output


def test_record_and_boot_give_the_same(kernel_ova: Path, tmp_path: Path) -> None:
    record, boot = (updated(kernel_ova, tmp_path, carrier) for carrier in ("record", "boot"))
    said = run([sys.executable, "-m", "regild", "diff", record, boot], purpose="to compare")
    assert b"the same packages" in said.stdout
    one, two = files_of(record), files_of(boot)
    differing = sorted(path for path in one.keys() | two.keys() if one.get(path) != two.get(path))
    assert [path for path in differing if not UNEQUAL.fullmatch(path)] == []
    regild("boot-test", boot, "--expect", f"command:{NEWEST}", "--test-timeout", "1500")


def test_a_boot_that_is_killed_leaves_nothing_and_is_done_again(
    worker_ova: Path, tmp_path: Path, machines_gone: Callable[[], bool]
) -> None:
    before, jobs, target = digest(worker_ova), tmp_path / "jobs", tmp_path / "new.ova"
    arguments = ("update", worker_ova, "-o", target, "--scratch", jobs, "--carrier", "boot",
                 "--timeout", "3000")  # fmt: skip
    assert killed_after(1800, *arguments, when=lambda: is_booted(jobs)) < 0
    assert settled(tmp_path) == Traces((), (), ())
    assert machines_gone()
    assert not target.exists()
    (job,) = regild("jobs", "list", "--scratch", jobs)["jobs"]  # type: ignore[misc]  # JSON
    assert job["phase"] == "planned"
    answer = regild("jobs", "resume", job["name"], "--scratch", jobs)
    assert answer["receipt"]["carrier"] == "boot"  # type: ignore[index]  # JSON
    assert target.is_file()
    assert digest(worker_ova) == before
    assert list(jobs.iterdir()) == []


def is_booted(jobs: Path) -> bool:
    """Whether the guest of the one job in a folder is running commands."""
    return any(b"regild begin" in path.read_bytes() for path in jobs.glob("*/guest/guest.log"))


def files_of(image: Path) -> dict[str, object]:
    """What every path of a guest is, but for times."""
    opened = Opened(image)
    try:
        return {path: essence(opened, path) for path in opened.paths}  # type: ignore[arg-type]
    finally:
        opened.close()


class Opened:
    """A guest's root, opened for looking."""

    def __init__(self, image: Path) -> None:
        guest = guest_of(image)
        place = guest.disk
        self._disk = open_disk(place.path, place.offset, place.bytes)
        self.volume: ExtVolume = open_part(self._disk.__enter__(), guest.parts[0])
        self.paths = dict(self.volume.walk())

    def content(self, path: str) -> bytes:
        return b"".join(piece for _, piece in self.volume.read_content(self.paths[path]))

    def close(self) -> None:
        self.volume.close()
        self._disk.__exit__(None, None, None)
