"""The site's feeds of advisories: each read once, fetched again when too old, never half."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from regild.errors import Malformed, MissingFile, NotOffered, RedirectRefused
from regild.feeds.advisories import kinds
from regild.feeds.advisories.read import Known, read_advisories
from regild.feeds.policy import SitePolicy, with_options
from regild.model.progress import Silent
from tests.feeds.advisories import samples
from tests.feeds.advisories.samples import FIXED, text
from tests.feeds.repositories import NOW
from tests.feeds.servers import Answer, serve


def read(cache: Path, *places: str | Path, hours: float = 6, later: float = 0) -> Known:
    now = NOW + timedelta(hours=later)
    return read_advisories(list(map(str, places)), SitePolicy(), cache, now, Silent(), hours)


def feed(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_a_file_is_found_by_the_names_in_it(tmp_path: Path) -> None:
    path = feed(tmp_path, "a.json", text(samples.osv()))
    with read(tmp_path / "cache", path) as known:
        (match,) = known.find("tool")
        assert (match.advisory.cves, match.affected.fixed) == ((FIXED,), "1.1")
        assert known.find("other") == ()
        assert known.speaks_of("deb", ["debian-12"])
        assert not known.speaks_of("deb", ["debian-11"])
        (state,) = known.feeds
        assert (state.kinds, state.advisories, state.date) == (("osv",), 1, samples.WHEN)
        assert state.place == str(path) and state.digest.startswith("sha256:")


def test_a_feed_is_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = feed(tmp_path, "a.json", text(samples.osv()))
    with read(tmp_path / "cache", path) as known:
        first = known.feeds
    monkeypatch.setattr(kinds, "read_file", None)
    with read(tmp_path / "cache", path) as known:
        assert known.feeds == first and known.find("tool")


def test_a_folder_is_one_feed_of_all_kinds_in_it(tmp_path: Path) -> None:
    feed(tmp_path, "all/osv/a.json", text(samples.osv()))
    feed(tmp_path, "all/kev.json", text(samples.kev()))
    feed(tmp_path, "all/.hidden", b"no feed")
    with read(tmp_path / "cache", tmp_path / "all") as known:
        (state,) = known.feeds
        assert state.kinds == ("kev", "osv")
        assert known.exploited([FIXED, "CVE-1999-0001"]) == (FIXED,)
        digest = state.digest
    feed(tmp_path, "all/osv/b.json", text(samples.osv("B")))
    with read(tmp_path / "cache", tmp_path / "all") as known:
        assert known.feeds[0].digest != digest
        assert len(known.find("tool")) == 2


def test_one_wrong_file_spoils_the_feed_and_leaves_nothing(tmp_path: Path) -> None:
    feed(tmp_path, "all/a.json", text(samples.osv()))
    feed(tmp_path, "all/b.json", b'{"id": "x", "modified": 1}')
    with pytest.raises(Malformed):
        read(tmp_path / "cache", tmp_path / "all")
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_an_empty_folder_is_no_feed(tmp_path: Path) -> None:
    (tmp_path / "all").mkdir()
    with pytest.raises(MissingFile):
        read(tmp_path / "cache", tmp_path / "all")


def test_an_address_is_fetched_again_when_it_is_too_old(tmp_path: Path) -> None:
    answer = Answer(text(samples.osv()))
    with serve({"/osv.json": answer}) as server:
        place = f"{server.url}/osv.json"
        with read(tmp_path, place) as known:
            assert known.feeds[0].fetched == "2026-06-01T12:00:00Z"
        with read(tmp_path, place, later=5) as known:
            assert known.feeds[0].fetched == "2026-06-01T12:00:00Z"
        assert answer.asked == 1
        answer.body = text(samples.osv("B"))
        with read(tmp_path, place, later=7) as known:
            assert known.find("tool")[0].advisory.id == "B"
        assert answer.asked == 2


def test_what_is_not_there_is_an_error_and_not_an_empty_feed(tmp_path: Path) -> None:
    with serve({}) as server, pytest.raises(NotOffered):
        read(tmp_path, f"{server.url}/osv.json")
    with pytest.raises(MissingFile):
        read(tmp_path, tmp_path / "none.json")


def test_an_address_of_the_site_may_not_lead_elsewhere(tmp_path: Path) -> None:
    answers = {"/a": Answer(status=302, to="http://127.0.0.2:9/b")}
    with serve(answers) as server, pytest.raises(RedirectRefused):
        read(tmp_path, f"{server.url}/a")


def test_offline_the_folder_stands_for_addresses(tmp_path: Path) -> None:
    feed(tmp_path, "off/mirror.example/osv.json", json.dumps(samples.osv()).encode())
    policy = with_options(SitePolicy(), offline=tmp_path / "off")
    place = "https://mirror.example/osv.json"
    with read_advisories([place], policy, tmp_path / "cache", NOW, Silent()) as known:
        assert known.find("tool")
