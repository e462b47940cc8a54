"""The cache of indexes: what was found whole is read again only once it was touched."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from regild.feeds import cache
from regild.feeds.cache import MARK_SUFFIX, Cache
from regild.model.digest import sha256_of

CONTENT = b"Package: a\n" * 1000
DIGEST = sha256_of(CONTENT)


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An index in a cache, as old as it has to be to count as settled."""
    monkeypatch.setattr(cache, "FINE_NS", 20_000_000)
    with Cache(tmp_path).open_place(DIGEST, ".packages") as file:
        file.write(CONTENT)
    time.sleep(0.05)
    return Cache(tmp_path).place(DIGEST, ".packages")


def hashings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Counts how often a file is hashed from now on."""
    found: list[str] = []
    real = hashlib.file_digest

    def counted(file: object, name: str) -> object:
        found.append(name)
        return real(file, name)  # type: ignore[arg-type]  # handed through as it came

    monkeypatch.setattr(hashlib, "file_digest", counted)
    return found


def test_an_index_is_hashed_once(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = hashings(monkeypatch)
    for _ in range(3):
        assert Cache(kept.parents[2]).find(DIGEST, len(CONTENT), ".packages") == kept
    assert len(counted) == 1


def test_a_damaged_index_is_noticed(kept: Path) -> None:
    here = Cache(kept.parents[2])
    assert here.find(DIGEST, len(CONTENT), ".packages")
    before = kept.stat()
    with kept.open("r+b") as file:
        file.write(b"X")
    # Its length is the same, and whoever did it set its time back.
    os.utime(kept, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert here.find(DIGEST, len(CONTENT), ".packages") is None
    assert not kept.exists()


def test_another_file_in_its_place_is_noticed(kept: Path, tmp_path: Path) -> None:
    here = Cache(kept.parents[2])
    assert here.find(DIGEST, len(CONTENT), ".packages")
    other = tmp_path / "other"
    other.write_bytes(CONTENT.replace(b"a", b"b"))
    other.rename(kept)
    assert here.find(DIGEST, len(CONTENT), ".packages") is None


@pytest.mark.parametrize("setting", ["FINE_NS", "HUNDREDTH_NS"])
def test_what_was_written_just_now_is_not_believed_yet(
    kept: Path, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    # Either it is too young for a fine clock, or the filesystem's clock tells no more than seconds.
    told = {"FINE_NS": 3_600_000_000_000, "HUNDREDTH_NS": 1}
    monkeypatch.setattr(cache, setting, told[setting])
    counted = hashings(monkeypatch)
    for _ in range(2):
        assert Cache(kept.parents[2]).find(DIGEST, len(CONTENT), ".packages") == kept
    assert len(counted) == 2
    assert not kept.with_name(kept.name + MARK_SUFFIX).exists()


def test_a_promised_length_counts(kept: Path) -> None:
    here = Cache(kept.parents[2])
    assert here.find(DIGEST, len(CONTENT), ".packages")
    assert here.find(DIGEST, len(CONTENT) + 1, ".packages") is None
