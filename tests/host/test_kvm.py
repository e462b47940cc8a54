"""Whether KVM works is tried and not guessed; the trial itself is right wherever it is emulated."""

import os
import shutil
from pathlib import Path

import pytest

from regild.host import kvm
from regild.host.run import run

needs_qemu = pytest.mark.skipif(
    shutil.which("qemu-system-x86_64") is None, reason="QEMU is not installed"
)


def ended(sector: bytes) -> int:
    handle = os.memfd_create("trial")
    os.write(handle, sector.ljust(510, b"\0") + b"\x55\xaa")
    line = kvm.trial_line(handle, "tcg", "max")
    try:
        return run(line, purpose="to test", timeout_seconds=60, pass_fds=[handle], check=False).code
    finally:
        os.close(handle)


@needs_qemu
def test_the_trial_ends_well_on_a_processor_that_works() -> None:
    assert ended(kvm._CODE) == kvm.GOOD_CODE


@needs_qemu
def test_a_guest_that_crashes_is_no_success() -> None:
    # A jump to long mode without page tables: a triple fault.
    assert ended(kvm._CODE.replace(bytes.fromhex("c70600100320"), b"\x90" * 6)) != kvm.GOOD_CODE


def test_without_the_device_nothing_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kvm, "DEVICE", Path("/dev/there-is-none"))
    kvm.is_kvm_usable.cache_clear()
    assert not kvm.is_kvm_usable()
    kvm.is_kvm_usable.cache_clear()


@needs_qemu
def test_a_guest_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # There may be no KVM here: a device that is there, and an accelerator that works, stand for it.
    (tmp_path / "kvm").touch()
    monkeypatch.setattr(kvm, "DEVICE", tmp_path / "kvm")
    monkeypatch.setattr(kvm, "TRIAL_SECONDS", 1.0)
    monkeypatch.setattr(kvm, "_CODE", bytes.fromhex("ebfe"))  # jump to itself
    line = kvm.trial_line
    monkeypatch.setattr(kvm, "trial_line", lambda handle, *_: line(handle, "tcg", "max"))
    kvm.is_kvm_usable.cache_clear()
    assert not kvm.is_kvm_usable()
    kvm.is_kvm_usable.cache_clear()
