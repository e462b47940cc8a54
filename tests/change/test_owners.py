"""Who owns a path: read from a database that a hostile script may have touched."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from regild.change import dpkg_owners as owners
from regild.change.dpkg_owners import read_owners
from regild.change.owners import Owners, Ran
from regild.errors import RecordRefused, TooLarge
from regild.model.record import Entry, Inode, Record

GONE = Inode("absent")


@pytest.fixture
def roots(tmp_path: Path) -> tuple[Path, Path]:
    """The merged tree and the tree as it was, with a database each."""
    for name in ("merged", "tree"):
        (tmp_path / name / owners.DATABASE).mkdir(parents=True)
    return tmp_path / "merged", tmp_path / "tree"


def ask(roots: tuple[Path, Path], *paths: str, planned: tuple[str, ...] = ("tool",)) -> Owners:
    entries = tuple(Entry(path, GONE, Inode("file")) for path in paths)
    record = Record(entries, 0)
    return read_owners(Ran(*roots, record, planned, roots[0] / "repository"))


def put(root: Path, name: str, content: str) -> None:
    (root / owners.DATABASE / name).write_text(content)


def test_a_path_belongs_to_its_package_before_or_after(roots: tuple[Path, Path]) -> None:
    merged, tree = roots
    put(tree, "tool.list", "/.\n/usr/bin/old\n")
    put(merged, "tool:amd64.list", "/usr/bin/new\n")
    found = ask(roots, "/usr/bin/old", "/usr/bin/new", "/usr/bin/none")
    assert found.owner_of("/usr/bin/old") == "tool"
    assert found.owner_of("/usr/bin/new") == "tool:amd64"
    assert found.owner_of("/usr/bin/none") == ""


def test_only_planned_packages_scripts_speak(roots: tuple[Path, Path]) -> None:
    put(roots[0], "tool.postinst", "mkdir -p /srv/tool/state/")
    put(roots[0], "other.postinst", "mkdir -p /srv/other/state")
    assert ask(roots).spoken_of == {"/srv/tool/state": "tool"}


def test_a_diverted_file_belongs_to_the_package_that_brings_it(roots: tuple[Path, Path]) -> None:
    put(roots[0], "tool.list", "/usr/share/tool/help\n")
    told = "/usr/share/tool/help\n/usr/share/tool/help.tool\nruntime\n/usr/x\n"
    (roots[0] / "var/lib/dpkg/diversions").write_text(told)
    found = ask(roots, "/usr/share/tool/help.tool", "/usr/share/tool/help", "/usr/x")
    assert found.owner_of("/usr/share/tool/help.tool") == "tool"
    assert found.owner_of("/usr/share/tool/help") == "tool"
    assert found.owner_of("/usr/x") == ""


def test_top_folders_that_are_links_are_seen_as_one(roots: tuple[Path, Path]) -> None:
    (roots[1] / "bin").symlink_to("usr/bin")
    put(roots[0], "tool.list", "/bin/sh\n")
    assert ask(roots, "/usr/bin/sh").owner_of("/usr/bin/sh") == "tool"


def make_link(place: Path) -> None:
    place.symlink_to("/etc/passwd")


def make_pipe(place: Path) -> None:
    os.mkfifo(place)


def make_folder(place: Path) -> None:
    place.mkdir()


def make_socket(place: Path) -> None:
    here = Path.cwd()
    os.chdir(place.parent)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(place.name)
    finally:
        os.chdir(here)


@pytest.mark.parametrize("make", [make_link, make_pipe, make_folder, make_socket])
@pytest.mark.parametrize("name", ["x.list", "tool.postinst"])
def test_what_is_no_file_is_refused_by_name(
    make: object, name: str, roots: tuple[Path, Path]
) -> None:
    make(roots[0] / owners.DATABASE / name)  # type: ignore[operator]  # one of the four above
    with pytest.raises(RecordRefused, match=name):
        ask(roots)


def test_a_database_folder_that_is_a_link_is_not_followed(roots: tuple[Path, Path]) -> None:
    merged, tree = roots
    put(tree, "tool.list", "/usr/bin/x\n")
    (merged / owners.DATABASE).rmdir()
    (merged / owners.DATABASE).symlink_to(tree / owners.DATABASE)
    (tree / owners.DATABASE / "tool.list").rename(tree / owners.DATABASE / "other.list")
    assert ask(roots, "/usr/bin/x").owner_of("/usr/bin/x") == ""


def test_a_database_beyond_reason_is_refused(
    roots: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    put(roots[0], "tool.list", "/usr/bin/x\n" * 100)
    monkeypatch.setattr(owners, "LIST_BYTES_MAX", 500)
    with pytest.raises(TooLarge, match=r"tool\.list"):
        ask(roots)
    monkeypatch.setattr(owners, "LIST_BYTES_MAX", 5000)
    monkeypatch.setattr(owners, "ALL_BYTES_MAX", 900)
    with pytest.raises(TooLarge):
        ask(roots)
