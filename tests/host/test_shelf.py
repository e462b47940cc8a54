from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from regild.errors import MissingFile, NotPermitted, RegildError, Truncated, UsageError
from regild.host.shelf import Shelf, WebShelf, check_file_name, check_foreign_name, open_shelf
from regild.model.digest import sha256_of
from regild.model.json import to_json
from regild.model.progress import Silent
from regild.publish.schemes import open_target
from regild.publish.target import Label, ParcelFile
from tests.cli.s3 import ENVIRONMENT, serve_s3
from tests.host.ranges import serve_ranges


@pytest.fixture(params=["folder", pytest.param("bucket", marks=pytest.mark.slow)])
def shelf(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Shelf]:
    if request.param == "folder":
        yield open_shelf(f"file://{tmp_path}/shelf")
        return
    (tmp_path / "none").mkdir()
    with serve_s3(tmp_path / "none") as endpoint:
        for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": endpoint}.items():
            monkeypatch.setenv(name, value)
        yield open_shelf("s3://images/a/prefix")


def test_what_is_put_can_be_read_in_ranges_and_removed(shelf: Shelf) -> None:
    assert list(shelf.names()) == []
    assert shelf.size("packs/ab/x.pack") is None
    shelf.put("packs/ab/x.pack", b"0123456789")
    shelf.put("y", b"")
    assert shelf.read("packs/ab/x.pack", 2, 5) == b"23456"
    assert shelf.read("packs/ab/x.pack", 8, 100) == b"89"
    assert (shelf.size("packs/ab/x.pack"), shelf.size("y")) == (10, 0)
    assert sorted(shelf.names()) == ["packs/ab/x.pack", "y"]
    shelf.put("y", b"again")
    assert shelf.read("y", 0, 10) == b"again"
    shelf.remove("packs/ab/x.pack")
    shelf.remove("packs/ab/x.pack")
    assert list(shelf.names()) == ["y"]
    with pytest.raises(MissingFile):
        shelf.read("packs/ab/x.pack", 0, 1)


@pytest.mark.parametrize("name", ["../x", "/x", "a//b", "a/../b", "", "a/.x", "A", "a/"])
def test_no_name_leads_off_the_shelf(name: str) -> None:
    with pytest.raises(UsageError):
        check_file_name(name)


@pytest.mark.parametrize(
    "name", ["../x", "/x", "a//b", "a/../b", "", "a/.x", "a/", "a\nb", "x" * 2000]
)
def test_no_name_of_others_leads_off_the_shelf(name: str) -> None:
    with pytest.raises(UsageError):
        check_foreign_name(name)


def test_others_name_their_files_as_they_like(tmp_path: Path) -> None:
    name = "Images/Debian 12 (grün).OVA"
    (tmp_path / "Images").mkdir()
    (tmp_path / name).write_bytes(b"0123456789")
    shelf = open_shelf(tmp_path, links=False)
    assert list(shelf.names()) == [name]
    assert (shelf.size(name), shelf.read(name, 2, 3)) == (10, b"234")
    (tmp_path / "Images" / "Out").symlink_to("/etc/passwd")
    with pytest.raises(RegildError):
        shelf.read("Images/Out", 0, 3)
    with pytest.raises(UsageError):
        shelf.put(name, b"ours")
    with pytest.raises(UsageError):
        open_shelf(tmp_path).read(name, 0, 1)


def test_a_place_that_is_none_is_said_so() -> None:
    with pytest.raises(UsageError, match="ftp"):
        open_shelf("ftp://somewhere")


def test_the_web_is_read_from_and_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "packs").mkdir()
    (tmp_path / "packs" / "x").write_bytes(b"0123456789")
    with serve_ranges(tmp_path) as served:
        shelf = open_shelf(f"{served.url}/packs")
        assert isinstance(shelf, WebShelf)
        assert shelf.read("x", 3, 4) == b"3456"
        assert (shelf.size("x"), shelf.size("none")) == (10, None)
        for forbidden in (lambda: shelf.put("y", b""), lambda: shelf.remove("x")):
            with pytest.raises(NotPermitted):
                forbidden()
    assert [one.name for one in (tmp_path / "packs").iterdir()] == ["x"]


def test_a_web_shelfs_password_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"0123456789")
    with serve_ranges(tmp_path) as served:
        served.password = "Basic dTpodW50ZXIy"
        shelf = open_shelf(served.url.replace("://", "://u:hunter2@"))
        assert "hunter2" not in shelf.where
        assert shelf.read("x", 2, 3) == b"234"
        with pytest.raises(MissingFile) as caught:
            shelf.read("y", 0, 1)
    assert "hunter2" not in str(caught.value)


def test_links_of_others_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    folder = tmp_path / "drop"
    (folder / "web").mkdir(parents=True)
    (folder / "plain").write_bytes(b"plain")
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "up").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe")
    shelf = open_shelf(folder, links=False)
    assert list(shelf.names()) == ["plain"]
    assert (shelf.read("plain", 0, 9), shelf.size("plain"), shelf.size("pipe")) == (
        b"plain",
        5,
        None,
    )
    for name in ("link", "up/secret", "pipe"):
        with pytest.raises(NotPermitted):
            shelf.read(name, 0, 9)
    for name in ("link", "up/secret"):
        with pytest.raises(NotPermitted):
            shelf.size(name)
    assert open_shelf(folder).read("link", 0, 9) == b"secret"


def test_a_label_that_promises_more_than_there_is_ends_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "web" / "1"
    folder.mkdir(parents=True)
    (folder / "disk.raw").write_bytes(b"disk")
    digest = sha256_of(b"disk")
    label = Label("web", 1, digest, "disk", (ParcelFile("disk.raw", digest, 1 << 60),))
    (folder / "label.json").write_text(to_json(label))
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(Truncated):
        open_target(str(tmp_path)).pull("web@1", out, Silent())
    assert list(out.iterdir()) == []


def test_what_may_be_secret_in_a_buckets_address_is_not_shown() -> None:
    shelf = open_shelf("s3://key:secret-word@bucket/prefix/?token=secret-word")
    assert shelf.where == "s3://bucket/prefix"
