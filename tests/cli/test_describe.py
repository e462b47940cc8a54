"""`regild describe` on good images of every form."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli import golden
from tests.cli.conftest import Said
from tests.cli.schemas import valid
from tests.image.disks import tool

Regild = Callable[..., Said]


def packages(answer: dict[str, object]) -> list[tuple[str, str]]:
    listed = answer["packages"]
    assert isinstance(listed, list)
    return [(one["name"], one["version"]) for one in listed]


WANTED = [("libssl3", "3.0.11-1~deb12u2"), ("openssl", "3.0.11-1~deb12u2")]


def test_an_ova_is_described_in_place(regild: Regild, ova: Path) -> None:
    before = sorted(ova.parent.iterdir())
    said = regild("describe", ova, "--json")
    assert said.code == 0
    answer = valid("describe", said.json)
    assert packages(answer) == WANTED
    assert answer["form"] == "ova"
    assert answer["system"] == "golden"
    assert answer["platform"]["codename"] == "bookworm"
    assert answer["descriptor"]["state"] == "absent"
    assert 0 < answer["read_bytes"] < 200_000
    assert sorted(ova.parent.iterdir()) == before


def test_a_person_reads_a_table_and_progress_stays_off_stdout(regild: Regild, ova: Path) -> None:
    said = regild("describe", ova)
    assert said.code == 0
    assert "openssl  3.0.11-1~deb12u2  amd64" in said.out
    assert "Reading golden.ova" in said.err


@pytest.mark.parametrize("form", ["raw", "vmdk", "qcow2", "folder", "ovf"])
def test_every_form_gives_the_same_list(
    regild: Regild, raw: Path, vmdk: Path, tmp_path: Path, form: str
) -> None:
    if form == "raw":
        image = raw
    elif form == "vmdk":
        image = vmdk
    elif form == "qcow2":
        image = golden.converted(shutil.copy(raw, tmp_path / "a.raw"), "qcow2")
    else:
        shutil.copy(vmdk, tmp_path / vmdk.name)
        image = tmp_path / "golden.ovf"
        image.write_bytes(golden.envelope({"disk1": vmdk}))
        image = image if form == "ovf" else tmp_path
    answer = valid("describe", regild("describe", image, "--json").json)
    assert packages(answer) == WANTED


def test_what_a_file_is_called_does_not_matter(regild: Regild, ova: Path, tmp_path: Path) -> None:
    odd = Path(shutil.copy(ova, tmp_path / "image.qcow2"))
    assert valid("describe", regild("describe", odd, "--json").json)["form"] == "ova"


def test_several_images_give_an_array_and_a_bad_one_does_not_stop_the_rest(
    regild: Regild, ova: Path, raw: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.ova"
    bad.write_bytes(b"not a tar")
    said = regild("describe", bad, ova, raw, "--json")
    assert said.code == 4
    first, second, third = said.json
    assert valid("error", first)["error"]["kind"] == "NotAnArchive"
    assert valid("describe", second)["image"] == str(ova)
    assert valid("describe", third)["form"] == "disk"


def test_two_systems_are_described_each_for_itself(
    regild: Regild, vmdk: Path, tmp_path: Path
) -> None:
    for name in ("a.vmdk", "b.vmdk"):
        shutil.copy(vmdk, tmp_path / name)
    ovf = tmp_path / "two.ovf"
    disks = {"a": tmp_path / "a.vmdk", "b": tmp_path / "b.vmdk"}
    ovf.write_bytes(golden.envelope(disks, {"one": ["a"], "two": ["b"]}))
    said = regild("describe", ovf, "--json")
    assert said.code == 0
    assert [one["system"] for one in said.json] == ["one", "two"]


def test_a_further_disk_is_unknown_unless_it_is_empty(
    regild: Regild, vmdk: Path, tmp_path: Path
) -> None:
    shutil.copy(vmdk, tmp_path / "a.vmdk")
    blank = tmp_path / "blank.raw"
    blank.write_bytes(bytes(golden.MIB))
    disks = {"a": tmp_path / "a.vmdk", "b": golden.streamed(blank)}
    ovf = tmp_path / "two.ovf"
    ovf.write_bytes(golden.envelope(disks))
    assert regild("describe", ovf).code == 0
    shutil.copy(vmdk, tmp_path / "blank.vmdk")
    ovf.write_bytes(golden.envelope(disks))
    said = regild("describe", ovf, "--json")
    assert said.code in (3, 4)


def test_an_unknown_beside_a_good_root_is_3_with_an_answer(
    regild: Regild, raw: Path, tmp_path: Path
) -> None:
    disk = golden.partitioned(tmp_path, raw.read_bytes(), b"\x5a" * golden.MIB)
    said = regild("describe", disk, "--json")
    assert said.code == 3
    answer = valid("describe", said.json)
    assert packages(answer) == WANTED
    assert [one["where"] for one in answer["unknowns"]] == ["partition 2"]
    assert "!!! UNKNOWN: 1 thing could not be read" in regild("describe", disk).out


def test_hostile_names_in_a_guest_are_neutralised(regild: Regild, tmp_path: Path) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\u202e\x9b31m"
    files = {
        **golden.GUEST,
        "/etc/os-release": f'ID=debian\nVERSION_ID=12\nPRETTY_NAME="{evil}"\n',
        "/etc/apt/sources.list": f"deb http://mirror.example/{evil} bookworm main\n",
    }
    disk = golden.filesystem(tmp_path, files)
    for argv in (["describe", disk], ["describe", disk, "--json"]):
        said = regild(*argv)
        for sign in "\x1b\x07\u202e\x9b":
            assert sign not in said.out + said.err


def test_the_wrong_use_of_o_is_a_usage_error(regild: Regild, ova: Path, tmp_path: Path) -> None:
    assert regild("describe", ova, ova, "-o", tmp_path / "x.ova").code == 2
    assert regild("describe", ova, "-o", tmp_path / "x.ova", "--sbom", "embedded").code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_descriptor_is_taken_out_again(regild: Regild, ova: Path, tmp_path: Path) -> None:
    out, plain = tmp_path / "d.ova", tmp_path / "p.ovf"
    assert regild("describe", ova, "-o", out, "--sbom", "embed", "--sbom-format", "spdx").code == 0
    said = regild("describe", out, "--strip", "-o", plain, "--json")
    assert said.code == 0
    assert valid("strip", said.json)["removed_bytes"] > 1000
    assert b"ContentDescriptorSection" not in plain.read_bytes()


def test_a_bill_makes_a_descriptor(regild: Regild, ova: Path, tmp_path: Path) -> None:
    assert regild("describe", ova, "-o", tmp_path / "d.ova").code == 0
    argv = ["--from-sbom", tmp_path / "d.cdx.json", "-o", tmp_path / "e.ova", "--json"]
    said = regild("describe", ova, *argv)
    assert said.code == 3
    answer = valid("describe", said.json)
    assert answer["descriptor"]["state"] == "claimed"
    assert packages(answer) == WANTED


def test_options_that_do_not_fit_are_usage_errors(
    regild: Regild, ova: Path, tmp_path: Path
) -> None:
    out = ["-o", tmp_path / "x.ova"]
    for argv in (
        ["--strip"],
        ["--from-sbom", ova],
        ["--strip", "--from-sbom", ova, *out],
        ["--sbom-format", "x", *out],
    ):
        assert regild("describe", ova, *argv).code == 2


def test_a_descriptor_can_be_asked_alone(regild: Regild, ova: Path, tmp_path: Path) -> None:
    assert regild("describe", ova, "-o", tmp_path / "d.ova").code == 0
    said = regild("describe", tmp_path / "d.ova", "--basis", "descriptor", "--json")
    assert said.code == 0
    answer = valid("describe", said.json)
    assert (packages(answer), answer["descriptor"]["state"]) == (WANTED, "claimed")
    assert answer["disks"] == []
    assert regild("describe", ova, "--basis", "descriptor").code == 3
    assert regild("describe", ova, "--basis", "hearsay").code == 2


def test_packages_of_languages_can_be_left_out_but_not_of_a_descriptor(
    regild: Regild, tmp_path: Path
) -> None:
    site = tmp_path / "tree/usr/local/lib/python3.11/dist-packages/requests-2.31.0.dist-info"
    site.mkdir(parents=True)
    (tmp_path / "tree/etc").mkdir()
    (tmp_path / "tree/etc/os-release").write_text("ID=debian\nVERSION_ID=12\n")
    image = tmp_path / "disk"
    tool("mke2fs", "-q", "-F", "-t", "ext4", "-d", tmp_path / "tree", image, "8M")
    known, less = (regild("describe", image, "--json", *more) for more in ((), ("--no-languages",)))
    assert packages(known.json) == [("requests", "2.31.0")]
    assert packages(less.json) == []
    refused = regild("describe", image, "-o", tmp_path / "x.ova", "--no-languages")
    assert refused.code == 2
    assert not (tmp_path / "x.ova").exists()
