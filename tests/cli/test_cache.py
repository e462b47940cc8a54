"""`regild cache`: what lies in it is told, what nobody used goes, and never what somebody uses."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from regild.agent.planning.cached import TRIMMED, using_cache
from regild.agent.site import CacheBounds, Site
from regild.errors import SettingRefused, UsageError
from regild.host.shared import using
from tests.cli.conftest import Said
from tests.cli.schemas import valid

Regild = Callable[..., Said]
DAY = 86400
OLD, NEW = (f"archives/{digits}.deb" for digits in ("a1" * 32, "b2" * 32))
LOOSE, INDEX = f"sha256/c3/{'c3' * 32}", f"sha256/d4/{'d4' * 32}.packages"
SEEN = f"seen/{'e5' * 32}.json"


def put(folder: Path, name: str, days: float) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(8192))
    os.utime(path, (time.time() - days * DAY,) * 2)


def left(folder: Path) -> set[str]:
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return {name for name in found if "/" in name}


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache with old and new things in it."""
    folder = tmp_path / "cache"
    put(folder, OLD, 100)
    put(folder, NEW, 0)
    put(folder, LOOSE, 100)
    put(folder, INDEX, 100)
    put(folder, SEEN, 900)
    return folder


def test_what_lies_in_it_is_told_by_its_kinds(regild: Regild, cache: Path) -> None:
    said = valid("cache", regild("cache", "show", "--cache", cache, "--json").json)
    assert [(one["kind"], one["files"]) for one in said["rows"]] == [
        ("packages", 2),
        ("loose", 1),
        ("indexes", 1),
    ]
    assert (said["bytes"], said["limit"], said["days"]) == (4 * 8192, 20_000_000_000, 90)
    text = regild("cache", "show", "--cache", cache).out
    assert "32.8 kB" in text
    assert "packages without compression" in text


def test_an_empty_cache_is_told_too(regild: Regild, tmp_path: Path) -> None:
    said = regild("cache", "show", "--cache", tmp_path / "none", "--json")
    assert (said.code, said.json["rows"], said.json["bytes"]) == (0, [], 0)
    assert regild("cache", "clean", "--cache", tmp_path / "none").code == 4


def test_clean_brings_it_within_its_bounds(regild: Regild, cache: Path) -> None:
    said = valid("cache", regild("cache", "clean", "--cache", cache, "--json").json)
    assert [one["kind"] for one in said["rows"]] == ["packages", "loose"]
    assert left(cache) == {NEW, INDEX, SEEN}
    assert "0 B removed from" in regild("cache", "clean", "--cache", cache).out


@pytest.mark.parametrize(
    ("asked", "stays"),
    [
        (("--unused", "50"), {NEW, SEEN}),
        (("--unused", "200"), {OLD, NEW, LOOSE, INDEX, SEEN}),
        (("--all",), {SEEN}),
    ],
)  # fmt: skip
def test_more_goes_where_it_is_asked_for(
    regild: Regild, cache: Path, asked: tuple[str, ...], stays: set[str]
) -> None:
    assert regild("cache", "clean", *asked, "--cache", cache).code == 0
    assert left(cache) == stays


def test_nothing_goes_while_somebody_works_with_it(regild: Regild, cache: Path) -> None:
    before = left(cache)
    with using(cache):
        said = regild("cache", "clean", "--all", "--cache", cache, "--json")
    assert (said.code, said.json["error"]["kind"]) == (15, "Busy")
    assert left(cache) == before


def test_both_wishes_at_once_contradict(regild: Regild, cache: Path) -> None:
    assert regild("cache", "clean", "--all", "--unused", "1", "--cache", cache).code == 2
    assert SEEN in left(cache)


def test_the_site_says_how_much_is_kept(regild: Regild, cache: Path) -> None:
    file = cache.parent / "regild.toml"
    file.write_text('cache = "cache"\ncache_limit = 8192\ncache_days = 0\n')
    assert regild("cache", "clean", "--config", file).code == 0
    assert left(cache) == {NEW, INDEX, SEEN}
    file.write_text("cache_limit = 0\ncache_days = 0\n")
    put(cache, LOOSE, 900)
    assert regild("cache", "clean", "--config", file, "--cache", cache).code == 0
    assert LOOSE in left(cache)


@pytest.mark.parametrize("line", ["cache_limit = -1", "cache_days = -0.5", 'cache_days = "x"'])
def test_a_bound_that_is_none_is_refused(regild: Regild, tmp_path: Path, line: str) -> None:
    file = tmp_path / "regild.toml"
    file.write_text(f"{line}\n")
    said = regild("cache", "show", "--config", file, "--json")
    assert (said.code, said.json["error"]["kind"]) == (2, SettingRefused.__name__)
    assert line.partition(" ")[0] in said.json["error"]["sentence"]


def test_what_is_old_goes_when_work_with_it_ends(cache: Path) -> None:
    with using_cache(Site(kept=cache)):
        assert LOOSE in left(cache)
    assert left(cache) == {NEW, INDEX, SEEN}


def test_others_at_work_lose_nothing_of_today(cache: Path) -> None:
    put(cache, LOOSE, 0.9)
    with using(cache), using_cache(Site(kept=cache, bounds=CacheBounds(1))):
        pass
    assert left(cache) == {NEW, LOOSE, INDEX, SEEN}


def test_many_plans_look_for_it_once_a_day(cache: Path) -> None:
    site = Site(kept=cache)
    with using_cache(site, at_most_daily=True):
        pass
    put(cache, LOOSE, 100)
    with using_cache(site, at_most_daily=True):
        pass
    assert LOOSE in left(cache)
    put(cache, TRIMMED, 2)
    with using_cache(site, at_most_daily=True):
        pass
    assert LOOSE not in left(cache)


def test_work_that_failed_clears_nothing(cache: Path) -> None:
    with pytest.raises(UsageError), using_cache(Site(kept=cache)):
        raise UsageError(what="no")
    assert LOOSE in left(cache)
