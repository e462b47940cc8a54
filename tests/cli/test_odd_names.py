"""Names in a guest that are no UTF-8: each is told or unknown, and never breaks the answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli import golden
from tests.cli.conftest import Said
from tests.cli.schemas import valid
from tests.describe.test_jars import LOG4J, POM, jar
from tests.image.disks import tool

Regild = Callable[..., Said]

ODD = "caf\udce9"
"""As Latin-1 has it: a byte that no UTF-8 begins like that."""
PYTHON = "/usr/local/lib/python3.11/dist-packages"
NODE = "/usr/local/lib/node_modules"

FILES: dict[str, str | bytes] = {
    f"{PYTHON}/good-1.0.dist-info/METADATA": "Name: good\n",
    f"{PYTHON}/{ODD}-1.0.dist-info/METADATA": b"Name: caf\xe9\n",
    f"{PYTHON}/~ood-0.9.dist-info/METADATA": "Name: good\n",
    f"{NODE}/{ODD}/package.json": '{"name": "inside", "version": "1.2.3"}',
    f"{NODE}/bad/package.json": b'{"name": "caf\xe9", "version": "1.0.0"}',
    f"/var/lib/gems/3.1.0/specifications/{ODD}-1.0.gemspec": "",
    "/var/lib/gems/3.1.0/specifications/rack-3.0.8.gemspec": "",
    f"/opt/app/{ODD}.jar": jar({POM: LOG4J}),
    f"/opt/{ODD}/VERSION": "1.0\n",
    f"/etc/apt/sources.list.d/{ODD}.list": "deb http://second.example/debian bookworm main\n",
}


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return golden.filesystem(tmp_path, {**golden.GUEST, **FILES})


def test_they_are_told_or_unknown(regild: Regild, image: Path) -> None:
    said = regild("describe", image, "--json")
    assert said.code == 3, said.err
    answer = valid("describe", said.json)
    found = {(one["type"], one["name"], one["version"]) for one in answer["packages"]}
    wanted = {("pypi", "good", "1.0"), ("npm", "inside", "1.2.3"), ("gem", "rack", "3.0.8")}
    assert wanted <= found
    assert any(kind == "maven" and "log4j" in name for kind, name, _ in found)
    unknown = {one["where"] for one in answer["unknowns"]}
    assert any(where.startswith(f"{NODE}/bad") for where in unknown)
    assert "/opt" in unknown
    assert rf"{PYTHON}/caf\xe9-1.0.dist-info" in unknown
    assert not any("~ood" in where for where in unknown)
    said.out.encode()  # no lone surrogate is left in what is printed


def test_they_are_shown_and_written(regild: Regild, image: Path, tmp_path: Path) -> None:
    assert regild("describe", image).code == 3
    out = tmp_path / "root.ovf"
    assert regild("describe", image, "-o", out).code == 3
    verified = regild("verify", image, "--json")
    assert verified.code == 3, verified.err
    assert verified.json["descriptors"][0]["state"] == "verified"


def test_they_are_listed_and_copied(regild: Regild, image: Path, tmp_path: Path) -> None:
    listed = regild("ls", image, NODE)
    assert listed.code == 0
    assert "caf" in listed.out
    assert regild("cp", image, NODE, tmp_path / "copy").code == 0
    assert (tmp_path / "copy" / ODD / "package.json").read_text().startswith('{"name": "inside"')


def test_the_same_bytes_are_named_the_same_on_every_filesystem(
    regild: Regild, image: Path, tmp_path: Path
) -> None:
    packed = tmp_path / "disk.squashfs"
    tool("mksquashfs", tmp_path / "tree", packed, "-quiet", "-no-progress")
    one, two = (regild("describe", path, "--json").json for path in (image, packed))
    assert one["packages"] == two["packages"]
    assert one["applications"] == two["applications"]
