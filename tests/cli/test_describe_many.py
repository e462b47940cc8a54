"""`regild describe` for folders, patterns and many images."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Said
from tests.cli.schemas import valid
from tests.image.disks import tool

Regild = Callable[..., Said]


@pytest.fixture
def folder(ova: Path, raw: Path, vmdk: Path, tmp_path: Path) -> Path:
    """Six images, two of them broken, among files that are none."""
    made = tmp_path / "images"
    (made / "package").mkdir(parents=True)
    shutil.copy(ova, made / "a.ova")
    shutil.copy(ova, made / "b.ova")
    shutil.copy(raw, made / "c.raw")
    shutil.copy(vmdk, made / "d.vmdk")
    (made / "e.ova").write_bytes(ova.read_bytes()[:3000])
    (made / "notes.txt").write_text("no image")
    (made / "x.xml").write_text("<x/>")
    (made / "empty.raw").write_bytes(b"")
    return made


def names(said: Said) -> list[str]:
    return [Path(one.get("image", "error")).name for one in said.json]


def test_a_folder_stands_for_its_images(regild: Regild, folder: Path) -> None:
    said = regild("describe", folder, "--json")
    assert said.code == 4
    assert names(said) == ["a.ova", "b.ova", "c.raw", "d.vmdk", "error", "error"]
    for one in said.json[:4]:
        assert valid("describe", one)["packages"]


def test_a_pattern_stands_for_the_files_that_fit(regild: Regild, folder: Path) -> None:
    said = regild("describe", folder / "[ab].*", folder / "a.ova", "--json")
    assert said.code == 0
    assert names(said) == ["a.ova", "b.ova"]


def test_many_are_shown_in_one_table(regild: Regild, folder: Path) -> None:
    said = regild("describe", folder)
    lines = said.out.splitlines()
    assert lines[0].split() == ["IMAGE", "PLATFORM", "ARCH", "PACKAGES", "DESCRIPTOR", "UNKNOWN"]
    assert sum("Debian" in line for line in lines) == 4
    assert "e.ova" in said.err


def test_what_is_named_like_an_image_and_is_none_is_not_passed_over(
    regild: Regild, folder: Path
) -> None:
    (folder / "f.qcow2").write_bytes(b"noise" * 1000)
    said = regild("describe", folder)
    assert said.code == 4
    assert "f.qcow2 is not an OVA" in said.err
    assert "empty.raw is cut off" in said.err


def test_extents_are_no_images_and_a_base_is_one(regild: Regild, raw: Path, tmp_path: Path) -> None:
    made = tmp_path / "images"
    made.mkdir()
    for name, subformat in (("split", "twoGbMaxExtentSparse"), ("flat", "monolithicFlat")):
        option = ("-o", f"subformat={subformat}")
        tool("qemu-img", "convert", "-f", "raw", "-O", "vmdk", *option, raw, made / f"{name}.vmdk")
    create = ("qemu-img", "create", "-q", "-f", "vmdk", "-F", "vmdk")
    tool(*create, "-b", "flat.vmdk", made / "top.vmdk")
    said = regild("describe", made, "--json")
    assert said.code == 0, said.err
    assert names(said) == ["flat.vmdk", "split.vmdk", "top.vmdk"]
    packages = {str(one["packages"]) for one in said.json}
    assert len(packages) == 1
    assert packages != {"[]"}


@pytest.mark.parametrize("name", ["package", "none*"])
def test_what_stands_for_nothing_is_an_error(regild: Regild, folder: Path, name: str) -> None:
    assert regild("describe", folder / name).code == 4


def test_what_has_no_size_is_no_image_and_no_obstacle(regild: Regild, folder: Path) -> None:
    """A link to one of the files of /proc, as /etc has in mtab."""
    (folder / "mounts").symlink_to("/proc/self/mounts")
    assert regild("describe", folder / "mounts").code == 4
    assert regild("describe", folder).code != 15
