"""What of a cache goes: what was not used for longest, and nothing that it does not know."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from regild.feeds import cache
from regild.feeds.cache import MARK_SUFFIX, Cache
from regild.feeds.loose import loosen_plan
from regild.feeds.trim import BLOCK, Bounds, Entry, chosen, entries_in, remove
from regild.model.cache_answers import CacheKind
from regild.model.digest import sha256_of
from tests.change.guests import build_deb, plan_of

DAY = 86400.0
NOW = 1000 * DAY
ONE, TWO = "a1" * 32, "b2" * 32


def put(folder: Path, name: str, days: float, size: int = 4096) -> Path:
    """A file of a cache that was used so many days ago."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    os.utime(path, (NOW - days * DAY, NOW - days * DAY))
    return path


def entry(name: str, days: float, size: int = 100, kind: CacheKind = "packages") -> Entry:
    return Entry(Path(name), kind, size, NOW - days * DAY)


def names(entries: list[Entry]) -> list[str]:
    return [one.path.name for one in entries]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (f"archives/{ONE}.deb", "packages"),
        (f"archives/{ONE}", "packages"),
        (f"recipes/{ONE}", "packages"),
        (f"sha256/a1/{ONE}", "loose"),
        (f"sha256/a1/{ONE}{MARK_SUFFIX}", "loose"),
        (f"sha256/a1/{ONE}.loose-1", "loose"),
        (f"sha256/a1/{ONE}.shipped-1", "contents"),
        (f"sha256/a1/{ONE}.packages", "indexes"),
        (f"sha256/a1/{ONE}.packages{MARK_SUFFIX}", "indexes"),
        (f"sha256/a1/{ONE}.primary.xml", "indexes"),
        (f"sha256/a1/{ONE}.advisories-1", "indexes"),
        (f"sha256/a1/{ONE}.packages.0123.solv", "made"),
        (f"sha256/a1/{ONE}.primary", "made"),
        (f"plans/a1/{ONE}.plan", "plans"),
    ],
)
def test_each_file_is_of_a_kind(tmp_path: Path, name: str, kind: str) -> None:
    put(tmp_path, name, 1)
    (found,) = entries_in(tmp_path)
    assert (found.kind, found.bytes % BLOCK) == (kind, 0)


@pytest.mark.parametrize(
    "name",
    [
        f"seen/{ONE}.json",
        f"past/{ONE}/2026/InRelease",
        f"advisories/{ONE}.json",
        "jobs/golden/job.json",
        f"uploads/{ONE}",
        "use.lock",
        "archives/notes.txt",
        f"sha256/a1/new-xyz/{ONE}",
        f"sha256/a1/.{ONE}.0123456789abcdef.part",
    ],
)
def test_nothing_else_ever_goes(tmp_path: Path, name: str) -> None:
    path = put(tmp_path, name, 900)
    assert entries_in(tmp_path) == []
    assert path.exists()


@pytest.mark.parametrize("link", ["archives", "sha256", "sha256/a1", "plans", f"archives/{ONE}"])
def test_nothing_behind_a_link_in_the_cache_ever_goes(tmp_path: Path, link: str) -> None:
    kept = [
        put(tmp_path / "elsewhere", name, 900)
        for name in (f"{ONE}.deb", f"{ONE}.packages", f"a1/{ONE}.packages", f"a1/{ONE}.plan")
    ]
    place = tmp_path / "cache" / link
    place.parent.mkdir(parents=True)
    place.symlink_to(kept[0] if ONE in link else tmp_path / "elsewhere")
    remove(entries_in(tmp_path / "cache"))
    assert all(path.exists() for path in kept)


def test_a_cache_that_is_reached_by_a_link_is_trimmed_like_any(tmp_path: Path) -> None:
    path = put(tmp_path / "elsewhere", f"archives/{ONE}.deb", 900)
    (tmp_path / "cache").symlink_to(tmp_path / "elsewhere")
    assert remove(entries_in(tmp_path / "cache"))
    assert not path.exists()


def test_what_lies_under_one_digest_was_used_when_any_of_it_was(tmp_path: Path) -> None:
    put(tmp_path, f"sha256/a1/{ONE}.packages", 50)
    put(tmp_path, f"sha256/a1/{ONE}.packages{MARK_SUFFIX}", 2)
    put(tmp_path, f"sha256/a1/{ONE}.packages.0123.solv", 50)
    put(tmp_path, f"sha256/b2/{TWO}.packages.0123.solv", 50)
    used = {one.path.name: (NOW - one.used) / DAY for one in entries_in(tmp_path)}
    assert used.pop(f"{TWO}.packages.0123.solv") == 50
    assert set(used.values()) == {2}


def test_the_oldest_go_until_the_rest_is_within_the_bound() -> None:
    rows = [entry("new", 2), entry("old", 9), entry("middle", 5)]
    assert names(chosen(rows, Bounds(300, 0), NOW)) == []
    assert names(chosen(rows, Bounds(299, 0), NOW)) == ["old"]
    assert names(chosen(rows, Bounds(199, 0), NOW)) == ["old", "middle"]
    assert names(chosen(rows, Bounds(1, 0), NOW)) == ["old", "middle", "new"]


def test_what_is_too_old_goes_however_little_there_is() -> None:
    rows = [entry("new", 2), entry("old", 9), entry("middle", 5)]
    assert names(chosen(rows, Bounds(0, 5), NOW)) == ["old"]
    assert names(chosen(rows, Bounds(10_000, 4), NOW)) == ["old", "middle"]
    assert names(chosen(rows, Bounds(0, 0), NOW)) == []


def test_what_was_used_within_a_day_stays_whatever_the_bound() -> None:
    rows = [entry("today", 0.9, size=10_000), entry("old", 9)]
    assert names(chosen(rows, Bounds(1, 0.5), NOW)) == ["old"]
    assert names(chosen(rows, Bounds(1, 0.5), NOW, settled=0)) == ["old", "today"]


def test_what_is_gone_already_is_not_counted(tmp_path: Path) -> None:
    kept, gone = put(tmp_path, f"archives/{ONE}.deb", 9), entry("gone", 9)
    (found,) = entries_in(tmp_path)
    assert remove([gone, found]) == [found]
    assert not kept.exists()


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no file be too new to be marked as whole."""
    for clock in ("COARSE_NS", "FINE_NS"):
        monkeypatch.setattr(cache, clock, 0)


@pytest.mark.usefixtures("settled")
def test_a_package_that_a_guest_gets_again_was_used_again(tmp_path: Path) -> None:
    deb, folder = build_deb(tmp_path / "made", "zip", files={"/usr/bin/zip": b"1"}), tmp_path / "c"
    was = deb.archive.digest

    def loosened() -> Path:
        _, names, places = loosen_plan(plan_of(deb), {was: deb.path}, folder)
        return places[names[was]]

    place = loosened()
    for path in folder.rglob("*"):
        os.utime(path, (NOW, NOW))
    assert {one.used for one in entries_in(folder)} == {NOW}
    assert loosened() == place
    assert all(one.used > NOW for one in entries_in(folder))


@pytest.mark.usefixtures("settled")
def test_an_index_that_is_read_again_was_used_again(tmp_path: Path) -> None:
    digest = sha256_of(b"Package: a\n")
    with Cache(tmp_path).open_place(digest, ".packages") as file:
        file.write(b"Package: a\n")
    path = Cache(tmp_path).place(digest, ".packages")
    os.utime(path, (NOW, NOW))
    assert Cache(tmp_path).find(digest, suffix=".packages") == path
    (index, *_) = entries_in(tmp_path)
    assert index.used > NOW
