from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from regild.errors import MissingFile, NotPermitted, UsageError
from regild.host.shelf import Shelf, WebShelf, check_file_name, open_shelf
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
