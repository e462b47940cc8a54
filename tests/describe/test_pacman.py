"""pacman's database, made by pacman itself where this machine has it."""

from __future__ import annotations

import random
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from regild.describe.reader import describe_guest
from regild.model.content import Content
from tests.describe.guests import FolderTree, MemoryTree, guest

ARCH = "ID=arch\nBUILD_ID=rolling\n"
DESC = "%NAME%\nbash\n\n%VERSION%\n5.2.037-1\n\n%BASE%\nbash\n\n%ARCH%\nx86_64\n\n%REASON%\n1\n\n"
FOLDER = "/var/lib/pacman/local"
GOOD = f"{FOLDER}/bash-5.2.037-1/desc"

PKGINFO = """pkgname = {name}
pkgbase = {name}-source
pkgver = {version}
pkgdesc = d
url = u
builddate = 1
packager = p
size = 1
arch = {arch}
license = MIT
"""


def described(files: dict[str, str | bytes]) -> Content:
    return describe_guest(guest(MemoryTree({"/etc/os-release": ARCH, **files})))


@pytest.mark.skipif(shutil.which("pacman") is None, reason="pacman is not installed here")
def test_a_database_that_pacman_made_is_listed_as_pacman_lists_it(tmp_path: Path) -> None:
    """A real alpm database; its packages are made here, without files."""
    state = tmp_path / "root/var/lib/pacman"
    state.mkdir(parents=True)
    (tmp_path / "conf").write_text("[options]\nArchitecture = x86_64\nLocalFileSigLevel = Never\n")
    packages = []
    for name, version, arch in (("own", "1:2.0-3", "x86_64"), ("other-x", "r5.a1b-1", "any")):
        (tmp_path / ".PKGINFO").write_text(PKGINFO.format(name=name, version=version, arch=arch))
        packages.append(tmp_path / f"{name}.pkg.tar")
        with tarfile.open(packages[-1], "w") as archive:
            archive.add(tmp_path / ".PKGINFO", ".PKGINFO")

    def pacman(*words: str) -> str:
        argv = ["pacman", "--config", str(tmp_path / "conf"), "--root", str(tmp_path / "root")]
        argv += ["--dbpath", str(state), "--noconfirm", *words]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout

    pacman("--dbonly", "-U", str(packages[0]))
    pacman("--dbonly", "--asdeps", "-U", str(packages[1]))
    (tmp_path / "root/etc").mkdir()
    (tmp_path / "root/etc/os-release").write_text(ARCH)
    content = describe_guest(guest(FolderTree(tmp_path / "root")))
    assert content.unknowns == ()
    ours = [f"{one.name} {one.version}" for one in content.packages]
    assert ours == sorted(pacman("-Q").splitlines())
    assert {one.name: (one.auto, one.source) for one in content.packages} == {
        "own": (False, "own-source"),
        "other-x": (True, "other-x-source"),
    }
    assert content.platform.arch == "x86_64"


def test_a_package_has_its_purl() -> None:
    (package,) = described({GOOD: DESC, f"{FOLDER}/ALPM_DB_VERSION": "9\n"}).packages
    assert package.purl == "pkg:alpm/arch/bash@5.2.037-1?arch=x86_64"


@pytest.mark.parametrize(
    ("path", "content"),
    [
        (f"{FOLDER}/ALPM_DB_VERSION", "12\n"),
        (f"{FOLDER}/other-1-1/desc", DESC),
        (f"{FOLDER}/other-1-1/files", "%FILES%\n"),
        (f"{FOLDER}/other-1-1/desc", "%NAME%\nother\n\n%VERSION%\n"),
        (f"{FOLDER}/other-1-1/desc", "%NAME%\nother\n%NAME%\nother\n%VERSION%\n1-1\n"),
        (f"{FOLDER}/other-1-1/desc", "%NAME%\nother\n\n%VERSION%\n1-1\x1b\n"),
        (f"{FOLDER}/stray", ""),
    ],
)
def test_damage_is_named_and_the_rest_is_kept(path: str, content: str) -> None:
    found = described({GOOD: DESC, path: content})
    assert [one.name for one in found.packages] == ["bash"]
    assert len(found.unknowns) == 1
    assert found.unknowns[0].where.startswith(path.rpartition("/")[0])


def test_an_empty_database_is_unknown() -> None:
    content = described({f"{FOLDER}/ALPM_DB_VERSION": "9\n"})
    assert [one.where for one in content.unknowns] == [FOLDER]


def test_changed_bytes_give_packages_or_unknowns() -> None:
    chance = random.Random(3)
    for _ in range(200):
        changed = bytearray(DESC.encode())
        for _ in range(chance.randint(1, 4)):
            changed[chance.randrange(len(changed))] = chance.choice(b"\n%N\0\xff 1")
        content = described({GOOD: bytes(changed)})
        assert content.packages or content.unknowns
