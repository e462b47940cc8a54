"""A Windows on a real NTFS: described in every container, claimed in a descriptor, not planned."""

import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli import golden
from tests.cli.conftest import Said
from tests.cli.schemas import valid
from tests.describe.hives import MACHINE, SERVER_2022, hive
from tests.image.disks import blank, tool
from tests.image.mounted import ntfs_mounted

pytestmark = pytest.mark.root
Regild = Callable[..., Said]
MIB = 1 << 20


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A GPT with an EFI system partition, a reserved one, Windows and its recovery, as Windows
    itself lays it out."""
    folder = tmp_path_factory.mktemp("windows")
    path = blank(folder / "windows.raw", 160 * MIB)
    parts = ("1:2048:+34M", "2:0:+16M", "3:0:+80M", "4:0:0")
    types = ("1:ef00", "2:0c01", "3:0700", "4:2700")
    tool("sgdisk", *(f"-n{one}" for one in parts), *(f"-t{one}" for one in types), path)
    tool("mkfs.vfat", "-F", "32", "--offset", 2048, path, 34 * 1024)
    whole, recovery = blank(folder / "c", 80 * MIB), blank(folder / "r", 16 * MIB)
    for one in (whole, recovery):
        tool("mkntfs", "-q", "-F", one)
    with ntfs_mounted(whole, folder / "m") as root:
        config = root / "Windows/System32/config"
        config.mkdir(parents=True)
        (config / "SOFTWARE").write_bytes(hive(folder / "SOFTWARE", SERVER_2022))
        (config / "SYSTEM").write_bytes(hive(folder / "SYSTEM", MACHINE))
        (root / "pagefile.sys").write_bytes(bytes(MIB))
    with ntfs_mounted(recovery, folder / "m") as root:
        (root / "Recovery/WindowsRE").mkdir(parents=True)
    with path.open("r+b") as file:
        for one, at in ((whole, 51), (recovery, 131)):
            file.seek(at * MIB)
            file.write(one.read_bytes())
    yield path


@pytest.mark.parametrize("form", ["raw", "qcow2", "vhdx", "ova"])
def test_a_windows_is_described_in_every_container(
    regild: Regild, disk: Path, tmp_path: Path, form: str
) -> None:
    image = disk
    if form == "ova":
        image = golden.ova(tmp_path, golden.streamed(disk))
    elif form != "raw":
        image = tmp_path / f"disk.{form}"
        tool("qemu-img", "convert", "-O", form, disk, image)
    said = regild("describe", image, "--json")
    assert (said.code, said.err.count("unknown")) == (0, 0), said.err
    answer = valid("describe", said.json)
    platform = answer["platform"]
    assert (platform["build"], platform["ubr"]) == ("20348", 2849)
    assert platform["name"] == "Windows Server 2022 Standard"
    updates = {one["name"]: one["state"] for one in answer["packages"]}
    assert updates["KB5046616"] == "installed"
    assert "7-Zip 24.08 (x64)" in {one["name"] for one in answer["applications"]}
    assert answer["sources"][0]["uri"] == "http://wsus.example:8530"


def test_a_person_reads_product_and_release(regild: Regild, disk: Path) -> None:
    said = regild("describe", disk)
    assert "Windows Server 2022 Standard, release 10.0.20348.2849, amd64" in said.out


def test_its_descriptor_says_the_same(regild: Regild, disk: Path, tmp_path: Path) -> None:
    image = golden.ova(tmp_path, golden.streamed(disk))
    assert regild("describe", image, "-o", tmp_path / "described.ova").code == 0
    claimed = regild("describe", tmp_path / "described.ova", "--basis", "descriptor", "--json")
    known = regild("describe", image, "--json").json
    for part in ("platform", "packages", "applications", "sources"):
        assert claimed.json[part] == known[part]
    bill = json.loads((tmp_path / "described.cdx.json").read_text())
    assert "KB5046616" in {one["name"] for one in bill["components"]}


def test_a_plan_is_refused_because_updates_are_only_listed(regild: Regild, disk: Path) -> None:
    said = regild("plan", disk)
    assert said.code == 5
    assert "windows" in said.err


def test_files_of_windows_are_listed_in_any_case(regild: Regild, disk: Path) -> None:
    said = regild("ls", disk, "/windows/system32/CONFIG", "--json")
    assert said.code == 0
    assert [one["name"] for one in said.json["entries"]] == ["SOFTWARE", "SYSTEM"]


def test_a_dirty_windows_ends_with_3(regild: Regild, disk: Path, tmp_path: Path) -> None:
    """The flag of $Volume, which stands in the fourth record of the master file table."""
    content = bytearray(disk.read_bytes())
    at = 51 * MIB
    sector, cluster = struct.unpack_from("<HB", content, at + 11)
    table = struct.unpack_from("<Q", content, at + 48)[0] * sector * cluster
    record = at + table + 3 * 1024
    field = content.index(bytes((3, 1, 0, 0)), record, record + 1024)
    content[field + 2] |= 1
    image = tmp_path / "dirty.raw"
    image.write_bytes(content)
    said = regild("describe", image)
    assert said.code == 3
    assert "marked as dirty" in said.out
