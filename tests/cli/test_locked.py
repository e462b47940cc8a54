"""An encrypted image, by the command that users type: with its key, with another, with none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli import golden
from tests.cli.conftest import Said
from tests.cli.schemas import valid
from tests.image.disks import tool
from tests.image.guests import Part, disk_of, volume
from tests.image.luks_volumes import KEY, MIB, encrypted

Regild = Callable[..., Said]


def part(made: Path) -> Part:
    return Part("luks", content=made.read_bytes(), mebibytes=made.stat().st_size // MIB)


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, Path]:
    held = {"right": KEY, "wrong": b"another"}
    for name, key in held.items():
        (tmp_path / name).write_bytes(key)
    return {name: tmp_path / name for name in held}


def test_a_root_in_luks2_is_described_with_its_key_alone(
    regild: Regild, tmp_path: Path, keys: dict[str, Path]
) -> None:
    files = {path.lstrip("/"): text for path, text in golden.GUEST.items()}
    (tmp_path / "in").mkdir()
    inner = volume(tmp_path / "in/root", Part(files=files, mebibytes=8))
    image = disk_of(tmp_path, [Part(files={"grub": "x"}), part(encrypted(inner))])
    said = regild("describe", image, "--key-file", keys["right"], "--json")
    assert said.code == 0, said.err
    assert len(valid("describe", said.json)["packages"]) == 2
    for more, kind in (((), "Encrypted"), (("--key-file", keys["wrong"]), "WrongKey")):
        said = regild("describe", image, *more, "--json")
        assert said.code in (4, 5)
        assert said.json["error"]["kind"] == kind
    shown = regild("cat", image, "/etc/debian_version", "--key-file", keys["right"])
    assert (shown.code, shown.out) == (0, "12.4\n")
    assert "another" not in said.err + said.out


def test_a_var_in_luks2_without_a_key_is_an_unknown_that_says_so(
    regild: Regild, tmp_path: Path, keys: dict[str, Path]
) -> None:
    (tmp_path / "in").mkdir()
    status = {"lib/dpkg/status": golden.STATUS}
    made = encrypted(volume(tmp_path / "in/var", Part(files=status)))
    uuid = tool("cryptsetup", "luksUUID", made).strip()
    files = {
        "etc/os-release": golden.OS_RELEASE,
        "etc/crypttab": f"var_crypt UUID={uuid} none luks\n",
        "etc/fstab": "/dev/mapper/var_crypt /var ext4 defaults 0 2\n",
    }
    image = disk_of(tmp_path, [Part(files=files), part(made)])
    said = regild("describe", image, "--json")
    assert said.code == 3
    answer = valid("describe", said.json)
    whys = {one["where"]: one["why"] for one in answer["unknowns"]}
    assert answer["packages"] == []
    assert "no key was given" in whys["partition 2"]
    assert "/var" in whys
    said = regild("describe", image, "--key-file", keys["right"], "--json")
    assert said.code == 0, said.err
    assert len(said.json["packages"]) == 2
