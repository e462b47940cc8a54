"""A disk that its package keeps packed, in chunks or as a difference is read like any other."""

from __future__ import annotations

import bz2
import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli import golden
from tests.cli.conftest import Said
from tests.cli.schemas import valid
from tests.host.ranges import serve_ranges
from tests.image.disks import tool

Regild = Callable[..., Said]
Members = list[tuple[str, bytes]]


def chunks(name: str, content: bytes) -> Members:
    step = 700
    pieces = [content[at : at + step] for at in range(0, len(content), step)]
    assert len(pieces) > 3
    return [(f"{name}.{number:09}", piece) for number, piece in enumerate(pieces)]


PACKAGINGS: dict[str, Callable[[str, bytes], tuple[Members, str]]] = {
    "gzip": lambda name, content: ([(name, gzip.compress(content))], 'ovf:compression="gzip"'),
    "bzip2": lambda name, content: ([(name, bz2.compress(content))], 'ovf:compression="bzip2"'),
    "identity": lambda name, content: ([(name, content)], 'ovf:compression="identity"'),
    "chunks": lambda name, content: (chunks(name, content), 'ovf:chunkSize="700"'),
    "both": lambda name, content: (
        chunks(name, gzip.compress(content)),
        'ovf:compression="gzip" ovf:chunkSize="700"',
    ),
}


def packaged(folder: Path, disk: Path, packaging: str) -> tuple[str, Members]:
    """The envelope and the members of a package that keeps its disk so."""
    members, attributes = PACKAGINGS[packaging](disk.name, disk.read_bytes())
    size = sum(len(content) for _, content in members)
    text = golden.envelope({"disk1": disk}).decode()
    said = f'ovf:size="{disk.stat().st_size}"'
    assert said in text
    ovf = text.replace(said, f'ovf:size="{size}" {attributes}').encode()
    listed = golden.manifest({"golden.ovf": ovf, **dict(members)})
    return "golden.ovf", [("golden.ovf", ovf), ("golden.mf", listed), *members]


@pytest.mark.parametrize("form", ["ova", "folder"])
@pytest.mark.parametrize("packaging", PACKAGINGS)
def test_it_is_described_verified_and_described_anew(
    regild: Regild, tmp_path: Path, ova: Path, vmdk: Path, packaging: str, form: str
) -> None:
    name, members = packaged(tmp_path, vmdk, packaging)
    if form == "ova":
        path = golden.archive(tmp_path / "golden.ova", members)
    else:
        path = tmp_path / "package" / name
        path.parent.mkdir()
        for member, content in members:
            (path.parent / member).write_bytes(content)
    plain, said = regild("describe", ova, "--json"), regild("describe", path, "--json")
    assert said.code == 0, said.err
    assert valid("describe", said.json)["packages"] == plain.json["packages"] != []
    assert said.json["state"] == plain.json["state"]
    verified = regild("verify", path, "--json")
    assert (verified.code, verified.json["manifest"]["state"]) == (0, "whole")
    # With a descriptor, the disk stays as it is kept.
    out = tmp_path / ("out.ova" if form == "ova" else "out")
    assert regild("describe", path, "-o", out, "--sbom", "none").code == 0
    again = regild("verify", "--deep", out, "--json")
    assert again.code == 0, again.err
    assert again.json["descriptors"][0]["state"] == "verified"


@pytest.mark.parametrize("packaging", ["chunks", "both"])
def test_a_chunk_that_is_missing_is_not_passed_over(
    regild: Regild, tmp_path: Path, vmdk: Path, packaging: str
) -> None:
    _, members = packaged(tmp_path, vmdk, packaging)
    for gone in (-1, 3):
        left = [one for number, one in enumerate(members) if number != gone % len(members)]
        path = golden.archive(tmp_path / "golden.ova", left)
        assert regild("describe", path).code == 4


def test_a_delta_disk_is_read_with_its_parent(regild: Regild, tmp_path: Path, raw: Path) -> None:
    parent, child = tmp_path / "parent.vmdk", tmp_path / "child.vmdk"
    tool("qemu-img", "convert", "-f", "raw", "-O", "vmdk", raw, parent)
    tool("qemu-img", "create", "-q", "-f", "vmdk", "-F", "vmdk", "-b", parent, child)
    status = golden.STATUS.replace("3.0.11-1~deb12u2", "3.0.15-1~deb12u1").encode()
    at = raw.read_bytes().index(golden.STATUS.encode())
    (tmp_path / "new").write_bytes(status)
    tool("qemu-io", "-f", "vmdk", "-c", f"write -s {tmp_path / 'new'} {at} {len(status)}", child)
    text = golden.envelope({"base": parent, "top": child}, {"golden": ["top"]}).decode()
    text = text.replace('ovf:diskId="top"', 'ovf:diskId="top" ovf:parentRef="base"')
    members = [("golden.ovf", text.encode())]
    members += [(one.name, one.read_bytes()) for one in (parent, child)]
    path = golden.archive(tmp_path / "golden.ova", members)
    said = regild("describe", path, "--json")
    assert said.code == 0, said.err
    assert {one["version"] for one in said.json["packages"]} == {"3.0.15-1~deb12u1"}
    lost = text.replace('ovf:fileRef="base-file"', "").encode()
    path = golden.archive(tmp_path / "lost.ova", [("golden.ovf", lost), *members[1:]])
    assert "base" in regild("describe", path).err
    ring = text.replace('ovf:diskId="base"', 'ovf:diskId="base" ovf:parentRef="top"').encode()
    path = golden.archive(tmp_path / "ring.ova", [("golden.ovf", ring), *members[1:]])
    assert regild("describe", path).code == 4


def test_a_disk_at_a_server_is_read_only_when_its_server_is_named(
    regild: Regild, tmp_path: Path, ova: Path, vmdk: Path
) -> None:
    with serve_ranges(vmdk.parent) as shelf:
        href = f"{shelf.url}/{vmdk.name}"
        text = golden.envelope({"disk1": vmdk}).replace(
            f'href="{vmdk.name}"'.encode(), f'href="{href}"'.encode()
        )
        path = golden.archive(tmp_path / "golden.ova", [("golden.ovf", text)])
        folder = tmp_path / "golden.ovf"
        folder.write_bytes(text)
        for image in (path, folder):
            for follow in ([], ["--follow", "other.example"]):
                said = regild("describe", image, *follow, "--json")
                assert said.code == 5
                assert said.json["error"]["kind"] == "ExternalFile"
                assert "--follow" in said.err
            assert shelf.requests == []
            said = regild("describe", image, "--follow", "127.0.0.1", "--json")
            assert said.code == 0, said.err
            packages = regild("describe", ova, "--json").json["packages"]
            assert said.json["packages"] == packages
            assert regild("cat", image, "/etc/debian_version", "--follow", "127.0.0.1").code == 0
            shelf.requests.clear()
        # What is written keeps the address, and does not claim to have the file.
        out = tmp_path / "out.ova"
        line = ("describe", path, "-o", out, "--sbom", "none", "--follow", "127.0.0.1")
        assert regild(*line).code == 0
        assert regild("describe", out).code == 5
        said = regild("verify", "--deep", out, "--follow", "127.0.0.1", "--json")
        assert said.code == 3
        assert [one["where"] for one in said.json["unknowns"]] == [href]
        assert said.json["descriptors"][0]["state"] == "verified"


def test_a_disk_in_chunks_is_claimed_like_any_other(
    regild: Regild, tmp_path: Path, vmdk: Path
) -> None:
    _, members = packaged(tmp_path, vmdk, "chunks")
    path = golden.archive(tmp_path / "golden.ova", members)
    out = tmp_path / "out.ova"
    assert regild("describe", path, "-o", out, "--sbom", "none").code == 0
    said = regild("describe", "--basis", "descriptor", out, "--json")
    assert said.json["descriptor"]["state"] == "claimed"
    assert regild("describe", out, "--json").json["descriptor"]["state"] == "equivalent"
