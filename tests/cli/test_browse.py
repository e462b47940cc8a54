"""`regild ls`, `cat` and `cp` as commands, on a real filesystem."""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli import golden
from tests.cli.conftest import Said
from tests.cli.schemas import valid

Regild = Callable[..., Said]


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A guest with links of every kind, a program and names that steer terminals."""
    folder = tmp_path_factory.mktemp("guest")
    tree = folder / "tree"
    files = {**golden.GUEST, "/srv/a": "one\n", "/srv/\x1b[31m": "red\n", "/srv/deep/b": b"\0\xff"}
    for path, content in files.items():
        place = tree / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content.encode() if isinstance(content, str) else content)
    (tree / "srv/deep/b").chmod(0o4755)
    (tree / "srv/out").symlink_to("/etc/passwd")
    (tree / "srv/up").symlink_to("../../../../../../etc/os-release")
    (tree / "srv/dir").symlink_to("deep")
    (tree / "srv/loop").symlink_to("loop")
    disk = folder / "root.raw"
    mke2fs = ["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-d", str(tree), str(disk)]
    subprocess.run([*mke2fs, "8192k"], check=True)
    return disk


def test_a_folder_is_listed_with_kinds_and_targets(regild: Regild, disk: Path) -> None:
    said = regild("ls", disk, "/srv", "--json")
    assert said.code == 0
    entries = {one["name"]: one for one in valid("ls", said.json)["entries"]}
    assert list(entries) == sorted(["a", "\x1b[31m", "deep", "dir", "loop", "out", "up"])
    assert (entries["a"]["kind"], entries["a"]["bytes"]) == ("file", 4)
    assert entries["out"]["target"] == "/etc/passwd"
    assert "-rwsr-xr-x" in regild("ls", disk, "/srv/deep").out


def test_the_root_is_listed_where_no_path_is_given(regild: Regild, ova: Path) -> None:
    assert "etc" in regild("ls", ova).out


def test_names_cannot_steer_a_terminal(regild: Regild, disk: Path) -> None:
    out = regild("ls", disk, "/srv").out
    assert "\x1b" not in out
    assert "\\x1b[31m" in out


@pytest.mark.parametrize("path", ["/srv/dir", "srv/deep/", "/srv/../srv/./deep"])
def test_a_link_to_a_folder_is_listed_as_the_folder(regild: Regild, disk: Path, path: str) -> None:
    assert [one["name"] for one in regild("ls", disk, path, "--json").json["entries"]] == ["b"]


@pytest.mark.parametrize("path", ["/srv/out", "/srv/a", "/srv/loop"])
def test_what_is_no_folder_is_shown_itself(regild: Regild, disk: Path, path: str) -> None:
    entries = regild("ls", disk, path, "--json").json["entries"]
    assert [one["name"] for one in entries] == [path.rpartition("/")[2]]


def test_a_file_comes_out_byte_for_byte(regild: Regild, disk: Path) -> None:
    command = [sys.executable, "-m", "regild", "cat", str(disk), "/srv/deep/b"]
    assert subprocess.run(command, capture_output=True, check=True).stdout == b"\0\xff"
    answer = valid("cat", regild("cat", disk, "/srv/deep/b", "--json").json)
    assert base64.b64decode(answer["content"]) == b"\0\xff"


def test_links_lead_to_the_guests_own_files(regild: Regild, disk: Path) -> None:
    assert regild("cat", disk, "/srv/up").out == golden.OS_RELEASE
    said = regild("cat", disk, "/srv/out")
    assert (said.code, said.out) == (4, "")


@pytest.mark.parametrize("path", ["/none", "/srv", "/srv/loop", "/srv/a/b"])
def test_what_is_no_file_is_an_error(regild: Regild, disk: Path, path: str) -> None:
    assert regild("cat", disk, path).code == 4


def test_a_folder_is_no_file_and_says_what_to_do(regild: Regild, disk: Path) -> None:
    said = regild("cat", disk, "/srv")
    assert "malformed" not in said.err
    assert "regild ls" in said.err


def test_a_file_is_copied_into_a_folder_or_under_a_name(
    regild: Regild, disk: Path, tmp_path: Path
) -> None:
    assert valid("cp", regild("cp", disk, "/srv/a", tmp_path, "--json").json)["files"] == 1
    assert (tmp_path / "a").read_text() == "one\n"
    assert regild("cp", disk, "/srv/up", tmp_path / "a").code == 13
    assert (tmp_path / "a").read_text() == "one\n"
    assert regild("cp", disk, "/srv/up", tmp_path / "a", "--force").code == 0
    assert (tmp_path / "a").read_text() == golden.OS_RELEASE
    assert [one.name for one in tmp_path.iterdir()] == ["a"]


def test_a_folder_is_copied_without_links_and_says_so(
    regild: Regild, disk: Path, tmp_path: Path
) -> None:
    said = regild("cp", disk, "/srv", tmp_path / "new", "--json")
    assert said.code == 3
    copied = sorted(str(one.relative_to(tmp_path)) for one in tmp_path.rglob("*"))
    assert copied == sorted(["new", "new/a", "new/\x1b[31m", "new/deep", "new/deep/b"])
    assert (tmp_path / "new/deep/b").stat().st_mode & 0o7700 == 0o700
    assert {one["where"] for one in said.json["unknowns"]} == {
        f"/srv/{name}" for name in ("dir", "loop", "out", "up")
    }


def test_nothing_is_written_over_a_folder_or_through_a_link(
    regild: Regild, disk: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine/srv").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    assert regild("cp", disk, "/srv", tmp_path / "mine", "--force").code == 13
    assert regild("cp", disk, "/srv/a", tmp_path / "link", "--force").code == 13
    assert sorted(one.name for one in tmp_path.rglob("*")) == ["link", "mine", "srv"]


def test_a_copy_that_fails_leaves_nothing(regild: Regild, disk: Path, tmp_path: Path) -> None:
    assert regild("cp", disk, "/srv/none", tmp_path / "x").code == 4
    assert regild("cp", disk, "/srv/a", tmp_path / "no/x").code != 0
    assert list(tmp_path.iterdir()) == []
