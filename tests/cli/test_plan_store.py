"""`regild plan` of generations in the store: from what they hold, no disk is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Said
from tests.cli.schemas import valid
from tests.cli.test_plan import OLD, image, offline
from tests.feeds.repositories import Deb

Regild = Callable[..., Said]


@pytest.fixture
def there(regild: Regild, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A store with two lines: web, whose second generation is current, and db; its mirror."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("REGILD_STORE", str(tmp_path / "store"))
    new = Deb("tool", "1.1").status()
    for number, status in enumerate((OLD.status(), new, OLD.status())):
        disk = image(tmp_path / f"image-{number}", **{"/var/lib/dpkg/status": status})
        line = "db" if number == 2 else "web"
        regild("image", "add", line)
        channel = ("--channel", "dev") if number == 0 else ()
        assert regild("publish", disk, "--image", line, *channel).code == 0
    assert regild("image", "add", "empty").code == 0
    return offline(tmp_path)


def test_a_generation_is_planned_as_its_file_is(
    regild: Regild, there: list[str], tmp_path: Path
) -> None:
    disk = tmp_path / "image-0/root.raw"
    file = regild("plan", disk, *there, "--json").json
    disk.unlink()
    for typed in (("store:web@1",), ("store:web@dev",), ("web@1", "--store", tmp_path / "store")):
        said = regild("plan", *typed, *there, "--json")
        assert said.code == 10, said.err
        answer = valid("plan", said.json)
        assert (answer["id"], answer["image"]) == (file["id"], "web@1")
        assert answer["created"]
    newest = regild("plan", "store:web", *there)
    assert newest.code == 0 and newest.out.startswith("web@2: up to date")


def test_a_catalogue_is_planned_in_one_table(regild: Regild, there: list[str]) -> None:
    said = regild("plan", "store:*b", "store:web@1", *there, "--format", "csv")
    assert said.code == 10, said.err
    rows = [line.split(",") for line in said.out.splitlines()]
    assert [(row[0], row[1]) for row in rows] == [
        ("image", "pending"), ("db@1", "1"), ("web@2", "0"), ("web@1", "1"),
    ]  # fmt: skip
    one = regild("plan", "store:d*", *there)
    assert "1 images" not in one.out and one.out.startswith("db@1: 1 change to make")


def test_one_that_cannot_be_planned_does_not_keep_the_others_from_it(
    regild: Regild, there: list[str], tmp_path: Path
) -> None:
    disk = tmp_path / "image-2/root.raw"
    assert regild("revoke", "web@2", "--why", "test").code == 0
    assert regild("revoke", "web@1", "--why", "test").code == 0
    said = regild("plan", "store:*", disk, *there, "--json")
    assert [one.get("image") for one in said.json] == ["db@1", None, str(disk)]
    assert said.json[1]["error"]["kind"] == "Revoked"
    assert said.code == said.json[1]["error"]["exit_code"]
    assert "all of its generations" in regild("plan", "store:web", *there).err


@pytest.mark.parametrize(
    ("typed", "code", "told"),
    [
        (["store:none"], 4, "not in the catalogue"),
        (["store:x*"], 4, "no image of the store fits it"),
        (["store:empty"], 4, "the image has none yet"),
        (["store:web", "--out", "plan.json"], 2, "in a file"),
        (["store:web", "--basis", "disk"], 2, "--basis"),
    ],
)
def test_what_cannot_be_asked_is_said(
    regild: Regild, there: list[str], typed: list[str], code: int, told: str
) -> None:
    said = regild("plan", *typed, *there)
    assert (said.code, told in said.err) == (code, True), said.err


def test_the_repository_is_read_once_for_all(
    regild: Regild, there: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from regild.feeds import apt

    asked = []
    real = apt.refresh
    monkeypatch.setattr(apt, "refresh", lambda *args: (asked.append(1), real(*args))[1])
    assert regild("plan", "store:*", "store:web@1", *there).code == 10
    assert len(asked) == 1
