"""Guests that are booted for a test, by `regild boot-test` and at the end of an update."""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Said
from tests.cli.schemas import valid
from tests.cli.test_bad_input import refused
from tests.journey.machine import digest

Regild = Callable[..., Said]
PNG = b"\x89PNG\r\n\x1a\n"


def check_picture(path: Path) -> None:
    """It is a PNG with a picture that somebody could look at."""
    content = path.read_bytes()
    assert content.startswith(PNG)
    width, height = struct.unpack_from(">II", content, 16)
    assert (width, height) >= (320, 200)
    assert zlib.crc32(content[12:29]) == struct.unpack_from(">I", content, 29)[0]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_does_not_come_up_is_told_with_console_and_screen(
    regild: Regild, small_ova: Path, tmp_path: Path, machines_gone: Callable[[], bool]
) -> None:
    before = digest(small_ova)
    jobs = tmp_path / "jobs"
    said = regild(
        "boot-test", small_ova, "--expect", "console:login:", "--test-timeout", "10",
        "--scratch", jobs, "--json",
    )  # fmt: skip
    assert said.code == 9
    error = valid("error", said.json)["error"]
    assert error["kind"] == "BootTestFailed"
    assert "10 seconds had passed; console:login:: it was not seen" in error["sentence"]
    assert error["hint"]
    console = Path(error["log"])
    assert console.is_relative_to(jobs)
    assert console.is_file()
    check_picture(console.parent / "boot-test.png")
    assert not list(console.parent.glob("guest"))
    assert digest(small_ova) == before
    assert machines_gone()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_an_update_publishes_what_came_up_and_says_how(
    regild: Regild, worker_ova: Path, tmp_path: Path, machines_gone: Callable[[], bool]
) -> None:
    out = tmp_path / "out" / "worker-2.ova"
    out.parent.mkdir()
    said = regild(
        "update", worker_ova, "-o", out, "--scratch", tmp_path / "jobs", "--json", "--test-boot",
        "--expect", "unit:say-health.service", "--expect", "console:HEALTH ok",
        "--expect", "command:openssl version", "--expect", "running", "--test-timeout", "1500",
    )  # fmt: skip
    assert said.code == 0, said.err
    receipt = valid("update", said.json)["receipt"]
    told = receipt["boot_test"]
    assert (told["reached"], told["state"]) == ("graphical.target", "running")
    assert (told["firmware"], told["bus"], told["failed"]) == ("bios", "virtio", [])
    assert [(one["expected"]["kind"], one["held"]) for one in told["met"]] == [
        ("unit", True), ("console", True), ("command", True), ("running", True),
    ]  # fmt: skip
    assert "it was booted by bios and reached graphical.target" in receipt["checks"]
    console, screen = (out.with_name(f"worker-2{one}") for one in (".console.log", ".screen.png"))
    for path, name in ((console, "console"), (screen, "screenshot")):
        assert told[name] == "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
    assert b"GRUB" in console.read_bytes()
    check_picture(screen)
    written = json.loads(out.with_name("worker-2.receipt.json").read_bytes())
    assert written["predicate"]["boot_test"] == told
    verified = regild("verify", out, "--json").json
    assert verified["receipts"][0]["state"] == "unsigned"
    # The test left nothing in what was published.
    assert regild("ls", out, "/etc/systemd/system/regild-boot-test.service").code == 4
    assert machines_gone()


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_ports_and_pages_of_a_guest_are_asked(
    regild: Regild, demo_ova: Path, tmp_path: Path
) -> None:
    expected = ("tcp:22", "http:80/", "tcp:23", "http:80/none")
    more = [word for one in expected for word in ("--expect", one)]
    said = regild(
        "boot-test", demo_ova, *more, "--scratch", tmp_path / "jobs", "--test-timeout", "2400",
        "--json",
    )  # fmt: skip
    assert said.code == 9
    sentence = said.json["error"]["sentence"]
    assert "tcp:23: no connection is accepted" in sentence
    assert "http:80/none: it answers with 404" in sentence
    assert "tcp:22" not in sentence
    assert "http:80/:" not in sentence


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_a_guest_that_is_made_for_uefi_is_booted_by_it(
    regild: Regild, worker_ova: Path, tmp_path: Path
) -> None:
    bare = tmp_path / "worker.raw"
    assert regild("cp", worker_ova, "/etc/hostname", tmp_path / "hostname").code == 0
    made = regild("boot-test", uefi_only(worker_ova, bare), "--scratch", tmp_path / "jobs",
                  "--test-timeout", "2400", "--json")  # fmt: skip
    assert made.code == 0, made.err
    assert valid("boot-test", made.json)["boot"]["firmware"] == "efi"


def uefi_only(ova: Path, bare: Path) -> Path:
    """The appliance's disk with no boot loader for a BIOS."""
    from regild.image.convert import write_raw
    from regild.image.formats import open_disk
    from regild.model.progress import Silent
    from tests.change.guests import guest_of

    place = guest_of(ova).disk
    with open_disk(place.path, place.offset, place.bytes) as disk, bare.open("xb") as file:
        write_raw(disk, file, Silent())
        file.seek(0)
        file.write(bytes(440))
    return bare


def test_expectations_are_for_a_test_boot(regild: Regild, ova: Path, tmp_path: Path) -> None:
    refused(regild, 2, "UsageError", "update", ova, "-o", tmp_path / "x", "--expect", "running")
    out = tmp_path / "new.ova"
    refused(regild, 2, "UsageError", "update", ova, "-o", out, "--test-boot", "--expect", "ping:1")
    refused(regild, 2, "UsageError", "boot-test", ova, "--expect", "tcp:99999")


def test_a_guest_that_nobody_can_look_into_is_said_before_it_is_booted(
    regild: Regild, ova: Path, tmp_path: Path
) -> None:
    said = refused(regild, 5, "UnsupportedFilesystem", "boot-test", ova, "--scratch", tmp_path)
    assert "systemd" in said


def test_the_site_says_what_is_expected(regild: Regild, ova: Path, tmp_path: Path) -> None:
    site = tmp_path / "regild.toml"
    site.write_text('[test]\nexpect = ["tcp:0"]\n')
    refused(regild, 2, "UsageError", "boot-test", ova, "--config", site)
    site.write_text("[test]\nboots = true\n")
    refused(regild, 2, "SettingRefused", "boot-test", ova, "--config", site)
