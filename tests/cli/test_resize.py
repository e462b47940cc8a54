"""`regild resize`: a larger disk that holds the same."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from regild.agent.changing.resize import read_size
from regild.errors import DiskTooSmall, GuestFull, UsageError
from regild.image.convert import write_raw
from regild.image.formats import open_disk
from tests.cli import golden
from tests.cli.conftest import Said
from tests.cli.schemas import valid
from tests.cli.test_bad_input import refused
from tests.image.disks import blank, tool
from tests.journey.machine import digest

Regild = Callable[..., Said]
MIB = 1 << 20


def raw_of(regild: Regild, image: Path, folder: Path) -> Path:
    folder.mkdir()
    out = folder / "whole.img"
    assert regild("convert", image, out, "--format", "raw").code == 0
    return out


def blocks_of(filesystem: Path) -> int:
    tool("e2fsck", "-f", "-n", filesystem)
    told = tool("dumpe2fs", "-h", filesystem)
    rows = dict(line.split(":", 1) for line in told.splitlines() if ":" in line)
    return int(rows["Block count"]) * int(rows["Block size"])


def test_an_appliance_gets_a_larger_disk_that_holds_the_same(
    regild: Regild, ova: Path, tmp_path: Path
) -> None:
    before, out = digest(ova), tmp_path / "larger.ova"
    said = regild("resize", ova, "+24M", "-o", out, "--scratch", tmp_path / "jobs", "--json")
    assert said.code == 0, said.err
    answer = valid("resize", said.json)
    assert (answer["disk_was"], answer["disk_becomes"]) == (8 * MIB, 32 * MIB)
    assert answer["volume_becomes"] == 32 * MIB
    assert regild("verify", out).code == 0
    told = regild("describe", out, "--json").json
    assert told["packages"] == regild("describe", ova, "--json").json["packages"]
    assert [one["virtual_bytes"] for one in told["disks"]] == [32 * MIB]
    assert told["descriptor"]["state"] == "equivalent"
    assert blocks_of(raw_of(regild, out, tmp_path / "raw")) == 32 * MIB
    assert digest(ova) == before
    assert list((tmp_path / "jobs").iterdir()) == []

    again = tmp_path / "again" / "larger.ova"
    again.parent.mkdir()
    assert regild("resize", ova, "32M", "-o", again, "--scratch", tmp_path / "jobs").code == 0
    assert again.read_bytes() == out.read_bytes()


def test_of_several_disks_only_the_one_that_changed_is_written_anew(
    regild: Regild, vmdk: Path, tmp_path: Path
) -> None:
    more = tmp_path / "more.raw"
    more.write_bytes(bytes(MIB) + b"payload" * 1000 + bytes(MIB - 7000))
    tool("mke2fs", "-q", "-F", "-t", "ext4", more, "2m")
    further = golden.streamed(more)
    ovf = golden.envelope({"disk1": vmdk, "disk2": further})
    contents = {"golden.ovf": ovf, vmdk.name: vmdk.read_bytes(), further.name: further.read_bytes()}
    members = [("golden.ovf", ovf), ("golden.mf", golden.manifest(contents))]
    members += list(contents.items())[1:]
    given, out = golden.archive(tmp_path / "golden.ova", members), tmp_path / "larger.ova"
    said = regild("resize", given, "+8M", "-o", out, "--scratch", tmp_path / "jobs")
    assert said.code == 3, said.err  # what lies on the further disk is not read
    with tarfile.open(out) as archive:
        held = {one.name: archive.extractfile(one).read() for one in archive}  # type: ignore[union-attr]  # files only
    assert list(held)[2:] == [vmdk.name, further.name]
    assert held[further.name] == contents[further.name]
    assert held[vmdk.name] != contents[vmdk.name]
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in held.items()}
    manifest = held["golden.mf"].decode()
    assert all(digests[name] in manifest for name in (vmdk.name, further.name))


@pytest.mark.parametrize("form", ["qcow2", "raw", "vmdk-sparse", "vhd"])
def test_a_partition_of_a_bare_disk_grows_with_it(
    regild: Regild, raw: Path, tmp_path: Path, form: str
) -> None:
    disk = blank(tmp_path / "disk.raw", 10 * MIB)
    tool("sfdisk", "--quiet", disk, text="label: gpt\nstart=2048, size=16384\n")
    with disk.open("r+b") as file, open_disk(raw) as inner:
        file.seek(MIB)
        file.write(inner.read(0, inner.size))
    given = disk
    if form != "raw":
        given = tmp_path / f"disk.{form}"
        assert regild("convert", disk, given, "--format", form).code == 0
        disk.unlink()
    out = tmp_path / f"larger.{form}"
    line = ("resize", given, "+32M", "-o", out, "--format", form, "--scratch", tmp_path / "jobs")
    said = regild(*line)
    assert said.code == 0, said.err
    whole = raw_of(regild, out, tmp_path / "whole")
    assert "No problems found" in tool("sgdisk", "-v", whole)
    with open_disk(whole) as again, (tmp_path / "part").open("xb") as file:
        from regild.image.longer import Stretch

        assert again.size == 42 * MIB
        write_raw(Stretch(again, MIB, 40 * MIB), file)
    assert blocks_of(tmp_path / "part") == 40 * MIB
    assert regild("cat", out, "/etc/debian_version").out == "12.4\n"


def test_sizes_are_read_as_people_write_them() -> None:
    assert read_size("+2G", 1 << 30) == 3 << 30
    assert read_size("12G", 1 << 30) == 12 << 30
    assert read_size("+512MiB", 0) == 512 << 20
    assert read_size("+1", 1024) == 1536
    for wrong in ("2G", "1G", "-1G", "+0", "G", "+1.5G", "+99999999T", ""):
        with pytest.raises(UsageError):
            read_size(wrong, 2 << 30)


def test_what_cannot_grow_is_said_and_writes_nothing(
    regild: Regild, ova: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.ova"
    refused(regild, 2, "UsageError", "resize", ova, "1M", "-o", out)
    refused(regild, 2, "UsageError", "resize", ova, "+1G", "-o", out, "--mount", "/var")
    refused(regild, 2, "UsageError", "resize", ova, "+1G", "-o", ova)


@pytest.mark.parametrize("kind", [DiskTooSmall, GuestFull])
def test_a_full_guest_is_told_of_it(kind: type[DiskTooSmall | GuestFull]) -> None:
    assert "regild resize IMAGE +2G" in kind("/", "it is full").advice
