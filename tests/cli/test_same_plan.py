"""The plan from a descriptor alone has the same id as the plan from the disk, for fifty guests."""

from __future__ import annotations

import random
import tarfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.cli import golden
from tests.cli.conftest import Said
from tests.feeds.repositories import KEYRING, Deb, Suite, certificate, publish

Regild = Callable[..., Said]

NAMES = [f"pkg{number:02}" for number in range(40)]
GUESTS = 50


def mirror(folder: Path) -> Path:
    """Two suites: one that offers newer versions, and backports that are not automatic."""
    offers = [
        Deb(name, "2.0", fields={"Depends": f"{NAMES[number - 1]} (>= 1.0)"} if number else {})
        for number, name in enumerate(NAMES)
    ]
    offers += [Deb(f"new-{name}", "1.0") for name in NAMES[:5]]
    offers += [
        Deb(name, "3.0~foreign", arch="i386", fields={"Multi-Arch": "same"}) for name in NAMES[5:10]
    ]
    yesterday = datetime.now(UTC) - timedelta(days=1)
    archs = ("amd64", "i386")
    publish(folder, Suite(offers, date=yesterday, architectures=archs))
    later = [Deb(name, "9.0~bpo") for name in NAMES[::3]]
    backports = Suite(
        later,
        name="stable-backports",
        date=yesterday,
        architectures=archs,
        extra="NotAutomatic: yes\nButAutomaticUpgrades: yes\n",
    )
    publish(folder, backports)
    return folder


def guest(dice: random.Random) -> dict[str, str | bytes]:
    """A guest of its own: packages, holds, marks, pins, settings, sources and keys vary."""
    chosen = sorted(dice.sample(NAMES, dice.randint(3, 25)))
    states = ["install ok installed"] * 8 + ["hold ok installed", "deinstall ok config-files"]
    status = "\n".join(
        Deb(name, dice.choice(["1.0", "1.0+b1", "2.0", "2.1", "1:0.5"])).status(dice.choice(states))
        for name in chosen
    )
    marks = "".join(
        f"Package: {name}\nArchitecture: amd64\nAuto-Installed: 1\n\n" for name in chosen[::2]
    )
    line = "deb http://mirror.example/debian stable main\n"
    files: dict[str, str | bytes] = {
        "/etc/os-release": golden.OS_RELEASE,
        "/var/lib/dpkg/status": status,
        "/var/lib/apt/extended_states": marks,
    }
    if dice.random() < 0.5:
        line += "deb http://mirror.example/debian stable-backports main\n"
    if dice.random() < 0.5:
        files[KEYRING] = certificate()
        files["/etc/apt/sources.list"] = line
    else:
        files["/usr/share/keyrings/mine.gpg"] = certificate()
        files["/etc/apt/sources.list"] = line.replace(
            "deb ", "deb [signed-by=/usr/share/keyrings/mine.gpg] "
        )
    if dice.random() < 0.5:
        files["/var/lib/dpkg/arch"] = "amd64\ni386\n"
    if dice.random() < 0.5:
        pin = f"Package: {dice.choice(chosen)}\nPin: release a=stable\nPin-Priority: -1\n"
        files["/etc/apt/preferences.d/mine"] = pin
    if dice.random() < 0.3:
        files["/etc/apt/apt.conf.d/10mine"] = 'APT::Install-Recommends "false";\n'
    return files


def without_its_disk(package: Path, folder: Path) -> Path:
    """The .ovf and the .mf of an image, alone in a folder: the disk is gone."""
    folder.mkdir()
    if package.suffix == ".ovf":
        for one in (package, package.with_suffix(".mf")):
            one.rename(folder / one.name)
        return folder / package.name
    with tarfile.open(package) as archive:
        texts = [one for one in archive.getmembers() if one.name.endswith((".ovf", ".mf"))]
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # from 3.11.4 on
        archive.extractall(folder, texts)
    return folder / next(one.name for one in texts if one.name.endswith(".ovf"))


@pytest.fixture(autouse=True)
def no_cache_of_mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_fifty_plans_have_the_same_id_with_the_disk_and_without(
    regild: Regild, tmp_path: Path
) -> None:
    offline = ["--offline", str(mirror(tmp_path / "mirror")), "--json"]
    ids, sizes = set(), set()
    for number in range(GUESTS):
        folder = tmp_path / str(number)
        folder.mkdir()
        disk = golden.filesystem(folder, guest(random.Random(number)), 2 * golden.MIB)
        package = folder / ("described.ova" if number % 2 else "root.ovf")
        given = golden.ova(folder, golden.streamed(disk)) if number % 2 else disk
        described = regild("describe", given, "-o", package)
        assert described.code == 0, described.err
        mode = ("upgrade", "full", "security")[number % 3]
        image = package if number % 2 else disk
        whole = regild("plan", image, "--basis", "disk", "--mode", mode, *offline)
        ovf = without_its_disk(package, folder / "alone")
        for gone in folder.glob("*.*"):
            gone.unlink()
        alone = regild("plan", ovf, "--basis", "descriptor", "--mode", mode, *offline)
        # 11 where nothing is to be done, because that is only a claim now.
        assert alone.code == {10: 10, 0: 11, 11: 11}[whole.code], (whole.err, alone.err)
        assert whole.json["basis"] == "disk"
        assert alone.json["basis"] == "descriptor"
        assert alone.json["id"] == whole.json["id"]
        assert alone.json["steps"] == whole.json["steps"]
        ids.add(alone.json["id"])
        sizes.add(len(alone.json["steps"]))
    assert len(ids) == GUESTS
    assert len(sizes) > 5
