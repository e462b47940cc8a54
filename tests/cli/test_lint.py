"""`regild lint`: findings, targets, exit codes, and our own output without any."""

from collections.abc import Callable
from pathlib import Path

import pytest

from regild.ovf.lint.table import TARGETS
from tests.cli import golden
from tests.cli.conftest import Said
from tests.cli.schemas import valid

Regild = Callable[..., Said]


@pytest.fixture
def described(regild: Regild, ova: Path, tmp_path: Path) -> Path:
    assert regild("describe", ova, "-o", tmp_path / "out.ova").code == 0
    return tmp_path / "out.ova"


def test_our_own_output_has_no_finding(regild: Regild, described: Path) -> None:
    for target in ("", *TARGETS):
        said = regild("lint", described, "--target", target, "--json")
        assert said.code == 0
        assert valid("lint", said.json)["findings"] == []
    assert regild("lint", described).out == f"{described}: 0 findings\n"


def test_findings_are_12_and_say_what_helps(regild: Regild, vmdk: Path, tmp_path: Path) -> None:
    ovf = golden.envelope({"disk1": vmdk})
    path = golden.archive(tmp_path / "x.ova", [(vmdk.name, vmdk.read_bytes()), ("x.ovf", ovf)])
    said = regild("lint", path, "--json")
    assert said.code == 12
    rules = [one["rule"] for one in valid("lint", said.json)["findings"]]
    assert rules == ["ovf-first", "manifest-missing"]
    assert [regild("lint", path, "--target", one).code for one in ("harvester", "proxmox")] == [
        12
    ] * 2
    text = regild("lint", path, "--target", "harvester,vsphere").out
    assert "manifest-missing: the package has no manifest" in text
    assert "Trips  harvester" in text
    assert "(--fix does it)" in text


def test_fix_writes_a_new_package(regild: Regild, vmdk: Path, tmp_path: Path) -> None:
    ovf = golden.envelope({"disk1": vmdk})
    path = golden.archive(tmp_path / "x.ova", [(vmdk.name, vmdk.read_bytes()), ("x.ovf", ovf)])
    said = regild("lint", path, "--fix", "-o", tmp_path / "y.ova", "--json")
    assert said.code == 0
    answer = valid("lint", said.json)
    assert [one["rule"] for one in answer["fixed"]] == ["ovf-first", "manifest-missing"]
    assert regild("verify", tmp_path / "y.ova").code == 0


@pytest.mark.parametrize("name", ["cut.ova", "cut.ovf", "two.ova", "dtd.ovf"])
def test_a_package_that_cannot_be_read_is_a_finding(
    regild: Regild, ova: Path, tmp_path: Path, name: str
) -> None:
    content = {
        "cut.ova": ova.read_bytes()[:1300],
        "cut.ovf": golden.envelope({"disk1": ova})[:-20],
        "two.ova": b"",
        "dtd.ovf": b"<!DOCTYPE Envelope []><Envelope/>",
    }[name]
    path = tmp_path / name
    path.write_bytes(content)
    if name == "two.ova":
        golden.archive(path, [("readme", b"no .ovf here")])
    said = regild("lint", path, "--json")
    assert said.code == 12, said.err
    (finding,) = valid("lint", said.json)["findings"]
    assert finding["rule"] == "unreadable"
    assert finding["detail"] and finding["fix"]
    assert regild("lint", path, "--fix", "-o", tmp_path / "out.ova").code in (4, 5)


def test_wrong_use_is_2_and_no_package_is_4(regild: Regild, ova: Path, tmp_path: Path) -> None:
    assert regild("lint", ova, "--fix").code == 2
    assert regild("lint", ova, "-o", tmp_path / "y.ova").code == 2
    said = regild("lint", ova, "--target", "qemu")
    assert said.code == 2
    assert "qemu is no target" in said.err
    (tmp_path / "x").write_bytes(b"no")
    assert regild("lint", tmp_path / "x").code == 4
    assert regild("lint", tmp_path / "none").code == 4
