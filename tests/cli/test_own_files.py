"""What belongs to an image is never written to, under whatever name and with whatever option."""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Said

Regild = Callable[..., Said]


@pytest.fixture
def folder(ova: Path, tmp_path: Path) -> Path:
    """A package as a folder, with further names of its disk beside it."""
    package = tmp_path / "package"
    package.mkdir()
    with tarfile.open(ova) as archive:
        for name in archive.getnames():
            member = archive.extractfile(name)
            assert member is not None
            (package / name).write_bytes(member.read())
    (disk,) = package.glob("*.vmdk")
    os.link(disk, tmp_path / "hard.vmdk")
    (tmp_path / "soft.vmdk").symlink_to(disk)
    return package


def sums(package: Path) -> dict[str, str]:
    return {one.name: hashlib.sha256(one.read_bytes()).hexdigest() for one in package.iterdir()}


@pytest.mark.parametrize(
    "out",
    ["package/root.vmdk", "package/golden.ovf", "package/golden.mf", "hard.vmdk", "soft.vmdk"],
)
@pytest.mark.parametrize(
    "line",
    [
        ("convert", "IMAGE", "OUT", "--format", "ova"),
        ("convert", "IMAGE", "OUT", "--format", "vmdk-stream"),
        ("resize", "IMAGE", "+1M", "-o", "OUT", "--format", "ova"),
        ("cp", "IMAGE", "/etc/os-release", "OUT"),
        ("describe", "IMAGE", "--strip", "-o", "OUT"),
    ],
    ids=lambda line: " ".join(line),
)
def test_force_does_not_write_over_the_images_own_files(
    regild: Regild, folder: Path, tmp_path: Path, line: tuple[str, ...], out: str
) -> None:
    before = sums(folder)
    words = {"IMAGE": str(folder), "OUT": str(tmp_path / out)}
    said = regild(*(words.get(word, word) for word in line), "--force")
    assert said.code in (2, 13), said.err
    assert sums(folder) == before


def test_neither_a_copy_nor_a_plan_takes_the_place_of_the_image(
    regild: Regild, raw: Path, tmp_path: Path
) -> None:
    image, other = tmp_path / "root.raw", tmp_path / "other.raw"
    image.write_bytes(raw.read_bytes())
    os.link(image, other)
    for out in (image, other):
        assert regild("cp", image, "/etc/os-release", out, "--force").code == 2
        assert regild("plan", image, "--out", out, "--force").code == 2
    assert image.read_bytes() == raw.read_bytes()
