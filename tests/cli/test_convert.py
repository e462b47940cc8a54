"""`regild convert`: another form, the same bytes for the guest."""

from __future__ import annotations

import gzip
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from regild.image.formats import open_disk
from regild.image.merkle import virtual_digest
from tests.cli.conftest import Said
from tests.cli.schemas import valid
from tests.cli.test_bad_input import refused
from tests.image.disks import tool
from tests.journey.machine import digest

Regild = Callable[..., Said]
FORMS = {
    "vmdk-stream": (".vmdk", "vmdk"),
    "vmdk-sparse": (".vmdk", "vmdk"),
    "qcow2": (".qcow2", "qcow2"),
    "raw": (".img", "raw"),
    "vhd": (".vhd", "vpc"),
    "vhdx": (".vhdx", "vhdx"),
}


def virtual(path: Path) -> str:
    with open_disk(path) as disk:
        return virtual_digest(disk)


@pytest.mark.parametrize("form", FORMS)
def test_an_appliance_becomes_a_disk_of_every_form_and_an_appliance_again(
    regild: Regild, ova: Path, raw: Path, tmp_path: Path, form: str
) -> None:
    before = digest(ova)
    suffix, kind = FORMS[form]
    out = tmp_path / f"disk{suffix}"
    said = regild("convert", ova, out, "--format", form, "--json")
    assert said.code == 0, said.err
    answer = valid("convert", said.json)
    (row,) = answer["disks"]
    assert (row["was"], row["becomes"]) == ("vmdk-stream", form)
    assert row["virtual"] == virtual(raw) == virtual(out)
    tool("qemu-img", "convert", "-f", kind, "-O", "raw", out, tmp_path / "back.raw")
    assert (tmp_path / "back.raw").read_bytes() == raw.read_bytes()
    assert regild("verify", out).code == 0
    assert regild("describe", out, "--json").json["descriptor"]["state"] == "equivalent"

    again, package = tmp_path / "again.ova", regild("describe", ova, "--json").json
    assert regild("convert", out, again, "--format", "ova").code == 0
    told = regild("describe", again, "--json").json
    assert told["packages"] == package["packages"]
    assert regild("verify", again).code == 0
    assert digest(ova) == before
    assert not [one for one in tmp_path.iterdir() if one.name.startswith(".")]


@pytest.mark.parametrize("form", [*FORMS, "ova", "ovf"])
def test_the_same_once_more_is_the_same_byte_for_byte(
    regild: Regild, ova: Path, tmp_path: Path, form: str
) -> None:
    made = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
        out = folder / f"golden{FORMS.get(form, ('.ova',))[0]}"
        assert regild("convert", ova, out, "--format", form).code == 0
        made.append({
            str(one.relative_to(folder)): one.read_bytes()
            for one in sorted(folder.rglob("*")) if one.is_file()
        })  # fmt: skip
    assert made[0] == made[1]
    assert len(made[0]) >= 2


@pytest.mark.parametrize("form", FORMS)
def test_the_disks_of_a_package_have_the_form_that_is_wished(
    regild: Regild, ova: Path, tmp_path: Path, form: str
) -> None:
    out = tmp_path / "new.ova"
    line = ("convert", ova, out, "--format", "ova", "--disk-format", form)
    assert regild(*line).code == 0
    (disk,) = regild("describe", out, "--json").json["disks"]
    assert disk["format"] == form
    assert regild("verify", out).code == 0


def test_what_its_package_compresses_is_written_plain(
    regild: Regild, ova: Path, vmdk: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "packed"
    folder.mkdir()
    (folder / "golden.vmdk.gz").write_bytes(gzip.compress(vmdk.read_bytes(), mtime=0))
    envelope = golden_envelope(regild, ova, tmp_path)
    packed = rb'href="golden.vmdk.gz" \1ovf:compression="gzip" ovf:size="%d"'
    packed %= (folder / "golden.vmdk.gz").stat().st_size
    plain = rb'href="[^"]*" ([^>]*?)ovf:size="\d+"'
    (folder / "golden.ovf").write_bytes(re.sub(plain, packed, envelope, count=1))
    out = tmp_path / "new.ova"
    said = regild("convert", folder, out, "--format", "ova")
    assert said.code == 0, said.err
    written = regild("verify", out, "--json")
    assert written.code == 0, written.err
    (disk,) = regild("describe", out, "--json").json["disks"]
    assert (disk["name"], disk["format"]) == ("golden.vmdk", "vmdk-stream")


def golden_envelope(regild: Regild, ova: Path, tmp_path: Path) -> bytes:
    """The envelope of an appliance."""
    folder = tmp_path / "plain"
    assert regild("convert", ova, folder, "--format", "ovf").code == 0
    (path,) = folder.glob("*.ovf")
    content = path.read_bytes()
    shutil.rmtree(folder)
    return content


def test_what_cannot_be_written_is_said_before_any_work(
    regild: Regild, ova: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    refused(regild, 2, "UsageError", "convert", ova, out, "--format", "vdi")
    refused(regild, 2, "UsageError", "convert", ova, out, "--format", "raw", "--disk-format", "raw")
    refused(regild, 2, "UsageError", "convert", ova, ova, "--format", "raw")
    out.write_text("precious")
    refused(regild, 13, "TargetExists", "convert", ova, out, "--format", "raw")
    assert out.read_text() == "precious"


def test_without_qemu_img_the_package_is_named(
    regild: Regild, ova: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from regild.host import run

    found = shutil.which
    monkeypatch.setattr(
        run.shutil,
        "which",
        lambda name, path=None: None if name == "qemu-img" else found(name, path=path),
    )
    said = regild("convert", ova, tmp_path / "x.vhd", "--format", "vhd", "--json")
    assert said.code == 15
    assert json.loads(said.out)["error"]["facts"]["package"] == "qemu-utils"
    assert list(tmp_path.iterdir()) == []
