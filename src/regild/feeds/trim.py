"""What of the cache goes, and in which order: what was not used for longest, first.

Everything here is found again by its digest: fetched, or made of what was fetched. What the cache
remembers of repositories, so that nobody can show an older state of one, is none of it and stays.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from regild.feeds import archives, recipes
from regild.feeds.cache import MARK_SUFFIX, PLANS
from regild.feeds.feed import SHIPPED_SUFFIX
from regild.feeds.loose import LOOSE_SUFFIX, MAKING_SUFFIX
from regild.model.cache_answers import CacheKind

KINDS: Final[tuple[tuple[str, CacheKind], ...]] = (
    (rf"{archives.FOLDER}/[0-9a-f]+(\.[a-z]+)?", "packages"),
    (rf"{recipes.FOLDER}/[0-9a-f]+", "packages"),
    (rf"sha256/../[0-9a-f]+({re.escape(LOOSE_SUFFIX)}|{re.escape(MAKING_SUFFIX)})?", "loose"),
    (rf"sha256/../[0-9a-f]+{re.escape(SHIPPED_SUFFIX)}", "contents"),
    (
        r"sha256/../[0-9a-f]+\.(packages|apkindex|advisories-[0-9]+"
        r"|(primary|updateinfo|filelists)\.xml|modules\.yaml)",
        "indexes",
    ),
    (r"sha256/../[0-9a-f]+\..*", "made"),
    (rf"{PLANS}/../[0-9a-f]+\.plan", "plans"),
)
"""What a file of the cache is, by its name; the first that fits counts."""
BY_HAND: Final[frozenset[CacheKind]] = frozenset({"indexes"})
"""What a plan as of a past date may find nowhere else: it goes only where somebody asks for it."""
DAY_SECONDS: Final = 86400
SETTLED_SECONDS: Final = DAY_SECONDS
"""What was used since is left alone while others are at work: a job has its own names of its
packages long before."""
BLOCK: Final = 512
"""Bytes in what stat(2) calls a block."""


class Entry(NamedTuple):
    """A file of the cache."""

    path: Path
    kind: CacheKind
    bytes: int
    used: float
    """When it, or what it was made of or is kept beside, was used last (seconds since 1970)."""


class Bounds(NamedTuple):
    """How much is kept, and for how long; 0: without bound."""

    bytes: int
    days: float


def entries_in(folder: Path) -> list[Entry]:
    """Every file of a cache that may go, in no order; nothing behind a symlink in it."""
    found = list(_found(folder))
    used: dict[str, float] = {}
    for entry in found:
        used[entry.path.name[:64]] = max(used.get(entry.path.name[:64], 0), entry.used)
    return [entry._replace(used=used[entry.path.name[:64]]) for entry in found]


def _found(folder: Path) -> Iterator[Entry]:
    for top in (archives.FOLDER, recipes.FOLDER, "sha256", PLANS):
        if (folder / top).is_symlink():
            continue  # os.walk follows the one that it begins with
        for place, _, names in os.walk(folder / top):
            for path in (Path(place, name) for name in names):
                kind = _kind_of(path.relative_to(folder).as_posix().removesuffix(MARK_SUFFIX))
                with contextlib.suppress(OSError):
                    if kind is not None:
                        status = path.lstat()
                        yield Entry(path, kind, status.st_blocks * BLOCK, status.st_mtime)


def _kind_of(name: str) -> CacheKind | None:
    """What a file below the cache's folder is; None of what does not go."""
    return next((kind for form, kind in KINDS if re.fullmatch(form, name)), None)


def chosen(
    entries: Iterable[Entry], bounds: Bounds, now: float, settled: float = SETTLED_SECONDS
) -> list[Entry]:
    """What has to go for what stays to be within the bounds: all that is too old, then the oldest
    of the rest; nothing that was used in the last `settled` seconds."""
    rows = sorted(entries, key=lambda one: one.used)
    left = sum(one.bytes for one in rows)
    gone = []
    for one in rows:
        age = now - one.used
        old = bool(bounds.days) and age > bounds.days * DAY_SECONDS
        large = bool(bounds.bytes) and left > bounds.bytes
        if age >= settled and (old or large):
            gone.append(one)
            left -= one.bytes
    return gone


def remove(entries: Iterable[Entry]) -> list[Entry]:
    """Remove files of the cache; those that were there and are gone."""
    gone = []
    for entry in entries:
        with contextlib.suppress(OSError):
            entry.path.unlink()
            gone.append(entry)
    return gone
