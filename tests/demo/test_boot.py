"""The demo's appliance boots by itself, under emulation without help from the host."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from demo.trip import disk_inside

SECONDS = 600


def boot(ova: Path, folder: Path) -> str:
    """What the serial console says until the login prompt; the disk stays as it was."""
    console = folder / "console"
    disk = disk_inside(ova).replace(",", ",,")
    machine = ["-accel", "tcg", "-m", "1024", "-no-reboot", "-nic", "none", "-display", "none"]
    outside = ["-monitor", "none", "-serial", f"file:{console}"]
    process = subprocess.Popen(
        ["qemu-system-x86_64", *machine, *outside, "-snapshot", "-drive", f"file={disk},if=virtio"],
        cwd=ova.parent,
        env={**os.environ, "TMPDIR": str(folder)},
    )
    try:
        begun = time.monotonic()
        text = ""
        while time.monotonic() - begun < SECONDS and " login:" not in text:
            assert process.poll() is None, text
            time.sleep(2)
            text = console.read_text(errors="replace") if console.exists() else ""
    finally:
        process.kill()
        process.wait()
    return text


@pytest.mark.nightly
@pytest.mark.timeout(SECONDS + 60)
def test_it_comes_up_through_its_own_grub_to_a_login_prompt(demo_ova: Path, tmp_path: Path) -> None:
    text = boot(demo_ova, tmp_path)
    assert "GRUB" in text
    assert "regild-demo login:" in text
    assert "nginx.service" in text
    assert "Failed to start" not in text
