"""Planning as of a past date: what a repository offered then is known, or it is an error."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from regild.agent.site import moment_of
from regild.errors import BadSignature, NotKnownThen, UsageError
from regild.feeds.apt import refresh
from regild.feeds.available import Available
from regild.feeds.policy import SitePolicy, with_options
from regild.model.content import Source
from regild.model.progress import Silent
from tests.feeds.repositories import NOW, Deb, Suite, content_of, publish

URI = "http://mirror.example/debian"
CONTENT = content_of((), (Source("apt", URI, "stable", ("main",)),))


def day(days: int) -> datetime:
    return NOW - timedelta(days=days)


def read(mirror: Path, as_of: datetime | None = None, name: str = "cache") -> Available:
    policy = with_options(SitePolicy(), mirrors=(f"{URI}={mirror}",))
    if as_of is not None:
        policy = replace(policy, as_of=f"{as_of:%Y-%m-%dT%H:%M:%SZ}")
    return refresh(CONTENT, policy, mirror.parent / name, NOW, Silent())


def newest(available: Available) -> str:
    found = available.find_newest("a", "amd64")
    return found.version if found else ""


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    """A repository that was seen ten days ago, and has something newer since yesterday."""
    folder = tmp_path / "mirror"
    until = day(-1)
    publish(folder, Suite((Deb("a", "1"),), date=day(10), valid_until=day(5)))
    policy = with_options(SitePolicy(), mirrors=(f"{URI}={folder}",))
    refresh(CONTENT, policy, tmp_path / "cache", day(9), Silent())
    publish(folder, Suite((Deb("a", "2"),), date=day(1), valid_until=until))
    return folder


def test_what_the_cache_has_seen_then_is_known(mirror: Path) -> None:
    assert newest(read(mirror)) == "2"
    assert newest(read(mirror, day(6))) == "1"
    assert newest(read(mirror)) == "2"  # looking back is no rollback


def test_a_repository_that_is_old_enough_itself_needs_no_cache(mirror: Path) -> None:
    assert newest(read(mirror, day(0), "other")) == "2"


def test_what_nobody_has_seen_then_is_an_error(mirror: Path) -> None:
    for as_of, name in ((day(11), "cache"), (day(6), "other")):
        with pytest.raises(NotKnownThen, match="seen no older state"):
            read(mirror, as_of, name)


def test_what_is_kept_is_verified_anew(mirror: Path) -> None:
    (kept,) = (mirror.parent / "cache/past").glob("*/*/InRelease")
    kept.write_bytes(kept.read_bytes().replace(b"Label: Test", b"Label: Evil"))
    with pytest.raises(BadSignature):
        read(mirror, day(6))


def test_an_index_that_is_gone_is_an_error_and_not_another_one(mirror: Path) -> None:
    shutil.rmtree(mirror.parent / "cache/sha256")
    with pytest.raises(NotKnownThen, match="indexes"):
        read(mirror, day(6))


def test_the_end_of_a_day_is_meant_by_a_date() -> None:
    assert moment_of("2026-05-01") == "2026-05-01T23:59:59Z"
    assert moment_of("2026-05-01T02:00:00+02:00") == "2026-05-01T00:00:00Z"
    for wrong in ("yesterday", "2026-13-01", ""):
        with pytest.raises(UsageError):
            moment_of(wrong)
