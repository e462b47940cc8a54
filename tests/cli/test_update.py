"""`regild update` as far as it comes without a guest that can run: what is refused, and nothing to
do."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli import golden
from tests.cli.conftest import Said
from tests.cli.schemas import valid
from tests.cli.test_bad_input import refused
from tests.cli.test_plan import OLD, SUITE, image, offline

Regild = Callable[..., Said]


@pytest.fixture(autouse=True)
def no_cache_of_mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_nothing_to_do_writes_nothing(regild: Regild, tmp_path: Path) -> None:
    disk = image(tmp_path / "image")
    before = disk.read_bytes()
    source = offline(tmp_path, replace(SUITE, debs=(OLD,)))
    said = regild("update", disk, "-o", tmp_path / "new.raw", *source, "--json")
    assert said.code == 0, said.err
    answer = valid("update", said.json)
    assert answer["upgraded"] == answer["differences"] == []
    assert answer["output"] is None
    assert not (tmp_path / "new.raw").exists()
    assert disk.read_bytes() == before


def test_what_the_cache_has_not_needed_for_long_goes_with_the_end_of_an_update(
    regild: Regild, tmp_path: Path
) -> None:
    disk, cache = image(tmp_path / "image"), tmp_path / "kept"
    old = cache / "sha256/a1" / ("a1" * 32)
    old.parent.mkdir(parents=True)
    old.touch()
    os.utime(old, (0, 0))
    source = offline(tmp_path, replace(SUITE, debs=(OLD,)))
    for line in (["plan", disk], ["plan", disk], ["update", disk, "-o", tmp_path / "new.raw"]):
        said = regild(*line, "--cache", cache, *source)
        assert said.code == 0, said.err
        assert not old.exists() or line[0] == "plan"
        if line[0] == "plan":  # the first of a day has cleared it, the second does not look
            old.touch()
            os.utime(old, (0, 0))
    assert len(list((cache / "sha256").rglob("*.packages"))) == 1


def test_out_is_needed(regild: Regild, ova: Path) -> None:
    refused(regild, 2, "UsageError", "update", ova)


def test_the_form_is_one_that_can_be_written(regild: Regild, ova: Path, tmp_path: Path) -> None:
    out = tmp_path / "new.ova"
    refused(regild, 2, "UsageError", "update", ova, "-o", out, "--format", "vdi")


def test_the_image_is_never_the_output(regild: Regild, ova: Path) -> None:
    for more in ([], ["--force"]):
        refused(regild, 2, "UsageError", "update", ova, "-o", ova, *more)


def test_nothing_is_replaced_unasked(regild: Regild, ova: Path, tmp_path: Path) -> None:
    out = tmp_path / "new.ova"
    out.write_text("precious")
    refused(regild, 13, "TargetExists", "update", ova, "-o", out)
    assert out.read_text() == "precious"


def test_the_folder_of_the_output_must_be_there(regild: Regild, ova: Path, tmp_path: Path) -> None:
    refused(regild, 13, "PublishError", "update", ova, "-o", tmp_path / "none" / "new.ova")


def test_damaged_bytes_are_not_updated(regild: Regild, tmp_path: Path, vmdk: Path) -> None:
    ovf, disk = golden.envelope({"disk1": vmdk}), vmdk.read_bytes()
    listed = golden.manifest({"a.ovf": ovf, vmdk.name: disk + b"x"})
    members = [("a.ovf", ovf), ("a.mf", listed), (vmdk.name, disk)]
    path = golden.archive(tmp_path / "golden.ova", members)
    refused(regild, 6, "DigestMismatch", "update", path, "-o", tmp_path / "new.ova")


def test_a_volume_that_was_not_read_keeps_the_guest_as_it_is(
    regild: Regild, tmp_path: Path
) -> None:
    fstab = "UUID=00000000-0000-0000-0000-000000000001 /var/lib ext4 defaults 0 2\n"
    disk = image(tmp_path / "image", **{"/etc/fstab": fstab})
    source = offline(tmp_path)
    said = regild("update", disk, "-o", tmp_path / "new.raw", *source, "--json")
    assert said.code == 5, said.err
    assert valid("error", said.json)["error"]["facts"]["where"] == "/var/lib"
    assert not (tmp_path / "new.raw").exists()


def test_several_systems_are_beyond_this_release(
    regild: Regild, tmp_path: Path, vmdk: Path
) -> None:
    for name in ("a.vmdk", "b.vmdk"):
        (tmp_path / name).write_bytes(vmdk.read_bytes())
    ovf = tmp_path / "two.ovf"
    disks = {"a": tmp_path / "a.vmdk", "b": tmp_path / "b.vmdk"}
    ovf.write_bytes(golden.envelope(disks, {"one": ["a"], "two": ["b"]}))
    refused(regild, 5, "UnsupportedError", "update", ovf, "-o", tmp_path / "new.ova")


def test_a_name_that_promises_another_form_is_refused(
    regild: Regild, ova: Path, tmp_path: Path
) -> None:
    told = refused(regild, 2, "UsageError", "update", ova, "-o", tmp_path / "new.qcow2")
    assert told == (
        "new.qcow2 is named like qcow2, but ova would be written: "
        "say --format qcow2, or choose another name"
    )


@pytest.mark.parametrize("name", ["new.cdx.json", "new.receipt.json", "new.ovf"])
def test_what_would_stand_beside_the_result_is_checked_before_any_work(
    regild: Regild, ova: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_text("precious")
    out = tmp_path / "new.qcow2"
    told = refused(regild, 13, "TargetExists", "update", ova, "-o", out, "--format", "qcow2")
    assert name in told


def test_not_even_force_replaces_the_envelope_of_the_image(regild: Regild, tmp_path: Path) -> None:
    disk = image(tmp_path / "image")
    envelope = disk.with_suffix(".ovf")
    described = regild("describe", disk, "-o", envelope)
    assert described.code == 0, described.err
    before = envelope.read_bytes()
    out = disk.with_suffix(".qcow2")
    refused(regild, 2, "UsageError", "update", disk, "-o", out, "--format", "qcow2", "--force")
    assert envelope.read_bytes() == before


def test_the_folder_that_holds_the_image_is_not_replaced(
    regild: Regild, tmp_path: Path, vmdk: Path
) -> None:
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "golden.ovf").write_bytes(golden.envelope({"disk1": vmdk}))
    (folder / vmdk.name).write_bytes(vmdk.read_bytes())
    for given in (folder, folder / "golden.ovf"):
        refused(regild, 2, "UsageError", "update", given, "-o", folder, "--force")


def test_a_generation_that_is_up_to_date_has_no_next_one(regild: Regild, tmp_path: Path) -> None:
    place = ["--store", str(tmp_path / "store")]
    source = offline(tmp_path, replace(SUITE, debs=(OLD,)))
    assert regild("image", "add", "web", *place).code == 0
    published = ["publish", image(tmp_path / "image"), "--image", "web", "--channel", "production"]
    assert regild(*published, *place).code == 0
    more = [*place, *source, "--scratch", str(tmp_path / "jobs")]
    said = regild("update", "web@production", *more, "--json")
    assert said.code == 0, said.err
    answer = valid("renew", said.json)
    assert (answer["base"]["number"], answer["generation"]) == (1, None)
    assert "web@1 is up to date" in regild("update", "web", *more).out
    assert not list((tmp_path / "jobs").glob("renewals/*"))


def test_where_the_result_goes_is_said_once(regild: Regild, ova: Path, tmp_path: Path) -> None:
    place = ["--store", str(tmp_path / "store")]
    for wrong in (
        ("store:web",),
        ("web", *place, "-o", str(tmp_path / "new.ova")),
        ("web", *place, "--format", "raw"),
        ("web@nowhere", *place),
        (str(ova), "--channel", "dev", "-o", str(tmp_path / "new.ova")),
    ):
        said = regild("update", *wrong, "--config", str(tmp_path / "none.toml"))
        assert said.code in (2, 4), said.err
        assert not (tmp_path / "new.ova").exists()


INSTALLS = b'<InstallSection ovf:initialBootStopDelay="300"><Info>First</Info></InstallSection>'


def test_a_system_that_is_to_install_itself_is_not_started_for_its_changes(
    regild: Regild, tmp_path: Path
) -> None:
    disk = golden.streamed(image(tmp_path / "image"))
    ovf = disk.with_name("golden.ovf")
    end = b"</VirtualSystem>"
    plain = golden.envelope({"disk1": disk})
    ovf.write_bytes(plain.replace(end, INSTALLS + end))
    source = offline(tmp_path)
    line = (
        "update",
        ovf,
        "-o",
        tmp_path / "new.ova",
        *source,
        "--carrier",
        "boot",
        "--json",
        "--format",
        "ova",
    )
    said = regild(*line)
    assert said.code == 5, said.err
    told = valid("error", said.json)["error"]
    assert told["kind"] == "InstallPending" and "it was asked for" in told["sentence"]
    assert not (tmp_path / "new.ova").exists()
    ovf.write_bytes(plain)
    assert "InstallPending" not in regild(*line).out  # it gets as far as looking for a kernel
    assert regild("plan", ovf, *source).code == 10


def test_a_carrier_that_is_not_built_is_refused_by_name(regild: Regild, tmp_path: Path) -> None:
    disk = image(tmp_path / "image")
    line = ("update", disk, "-o", tmp_path / "new.raw", *offline(tmp_path), "--carrier", "vm")
    said = regild(*line)
    assert said.code == 5
    assert "by the carrier vm" in said.err and "--carrier uml" in said.err
