"""`regild feeds`: where feeds are read, and how old they are."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from regild.agent.planning.feeds import list_feeds
from regild.agent.site import Site
from regild.feeds.policy import SitePolicy, with_options
from tests.cli import golden, test_plan_apk
from tests.cli.conftest import Said
from tests.cli.schemas import valid
from tests.cli.test_plan import URI, image, offline
from tests.feeds import apk_repositories, rpm_repositories
from tests.feeds.advisories import samples
from tests.feeds.repositories import fingerprint

Regild = Callable[..., Said]


@pytest.fixture
def guest(tmp_path: Path) -> Path:
    return image(tmp_path / "image")


@pytest.fixture(autouse=True)
def a_cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_list_says_where_a_source_is_read_and_fetches_nothing(
    regild: Regild,
    guest: Path,
    tmp_path: Path,
) -> None:
    said = regild("feeds", "list", guest, "--mirror", f"{URI}={tmp_path}/m", "--json")
    assert said.code == 0, said.err
    (row,) = valid("feeds", said.json)["sources"]
    assert (row["uri"], row["allowed"], row["state"]) == (URI, True, None)
    assert row["place"] == f"file://{tmp_path}/m/dists/stable/"
    assert row["where"] == "/etc/apt/sources.list:1"
    lines = regild("feeds", "list", guest).out.splitlines()
    assert lines[0].split("  ")[-1].strip() == "READ FROM"
    assert lines[1].split() == [URI, "stable", "there"]


def test_list_says_what_the_site_refuses(regild: Regild, tmp_path: Path) -> None:
    path = image(tmp_path / "image", "http://127.0.0.1/debian")
    said = regild("feeds", "list", path, "--json")
    (row,) = valid("feeds", said.json)["sources"]
    assert not row["allowed"] and "not a public address" in row["why"]
    assert "nowhere: 127.0.0.1 is not a public address" in regild("feeds", "list", path).out


def test_refresh_reads_and_status_remembers(
    regild: Regild,
    guest: Path,
    tmp_path: Path,
) -> None:
    (tmp_path / "kev.json").write_bytes(samples.text(samples.kev()))
    where = [*offline(tmp_path), "--advisories", tmp_path / "kev.json"]
    before = valid("feeds", regild("feeds", "status", guest, *where, "--json").json)
    assert before["sources"][0]["state"] is None
    assert "never read" in regild("feeds", "status", guest, *where).out
    answer = valid("feeds", regild("feeds", "refresh", guest, *where, "--json").json)
    (row,) = answer["sources"]
    assert row["state"]["signed_by"] == [fingerprint()]
    assert 0.9 < row["age_days"] < 1.2 and row["read"] and not row["expired"]
    (advisories,) = answer["advisories"]
    assert advisories["feed"]["kinds"] == ["kev"]
    after = valid("feeds", regild("feeds", "status", guest, *where, "--json").json)
    assert after["sources"] == answer["sources"]
    assert "read as it is" in regild("feeds", "status", guest, *where).out
    assert "read as it is" not in regild("feeds", "list", guest, *where).out
    assert regild("feeds", "refresh", "--json").json["sources"] == []
    alone = valid("feeds", regild("feeds", "status", "--json").json)
    assert [one["state"] for one in alone["sources"]] == [row["state"]]
    assert re.search("  1 day  ", regild("feeds", "status").out)


def test_one_image_that_cannot_be_read_does_not_keep_the_others_from_it(
    regild: Regild,
    guest: Path,
    tmp_path: Path,
) -> None:
    said = regild("feeds", "list", guest, tmp_path / "none.ova", "--json")
    assert said.code == 4
    assert len(valid("feeds", said.json)["sources"]) == 1
    assert regild("feeds", "list", tmp_path / "none.ova").code == 4


def test_feeds_alone_is_a_question_for_help(regild: Regild) -> None:
    said = regild("feeds")
    assert "refresh" in said.out + said.err


@pytest.mark.parametrize("command", ["list", "status", "refresh"])
def test_nothing_is_known_at_first(regild: Regild, command: str) -> None:
    said = regild("feeds", command)
    assert (said.code, said.out.strip()) == (0, "No feed is known")


def test_what_was_read_of_apk_is_remembered_too(regild: Regild, tmp_path: Path) -> None:
    disk = golden.filesystem(tmp_path, test_plan_apk.GUEST)
    there = apk_repositories.publish(tmp_path / "mirror", test_plan_apk.OFFERS)
    where = ["--mirror", f"{test_plan_apk.URI}={there}"]
    assert "never read" in regild("feeds", "status", disk, *where).out
    assert regild("plan", disk, *where).code == 10
    assert "5f3c.rsa.pub" in regild("feeds", "status", disk, *where).out
    said = regild("feeds", "status", disk, *where, "--json")
    (row,) = valid("feeds", said.json)["sources"]
    assert row["state"]["signed_by"] == [apk_repositories.KEY_NAME]
    assert row["place"] == f"file://{there}/x86_64/APKINDEX.tar.gz"


def test_a_list_of_mirrors_is_read_where_the_site_says_and_only_there(tmp_path: Path) -> None:
    listed = rpm_repositories.source(uri="https://mirror.example/mirrorlist", address="mirrorlist")
    content = rpm_repositories.content_of(listed)
    now = datetime.now(UTC)
    (row,) = list_feeds(content, "", Site(kept=tmp_path), now).sources
    assert not row.allowed and "a list of mirrors" in row.why
    feeds = with_options(SitePolicy(), mirrors=["repo:updates=https://near.example/updates"])
    (row,) = list_feeds(content, "", Site(kept=tmp_path, feeds=feeds), now).sources
    assert (row.allowed, row.place) == (True, "https://near.example/updates/")
