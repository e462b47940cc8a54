"""What lies in the cache of a site, what goes by itself, and what goes when somebody asks."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import get_args

from regild.agent.site import Site
from regild.feeds.trim import BY_HAND, Bounds, Entry, chosen, entries_in, remove
from regild.host.shared import having
from regild.model.cache_answers import CacheAnswer, CacheKind, CacheRow


def trim(site: Site, now: float) -> list[Entry]:
    """Bring the cache of a site within its bounds as far as that disturbs nobody; what went."""
    return remove(chosen(_of_itself(entries_in(site.cache)), _bounds(site), now))


def show_cache(site: Site) -> CacheAnswer:
    """What lies in the cache of a site."""
    return _answer(site, entries_in(site.cache))


def clean_cache(site: Site, unused_days: float | None = None, all: bool = False) -> CacheAnswer:
    """Bring the cache of a site within its bounds at once; or remove what was not used for some
    days, or all of it, indexes too. What was removed.

    Raises: Busy when somebody works with it; MissingFile where there is none, NotPermitted.
    """
    now = time.time()
    with having(site.cache):
        found = entries_in(site.cache)
        if all:
            gone = found
        elif unused_days is not None:
            gone = chosen(found, Bounds(0, unused_days), now, settled=0)
        else:
            gone = chosen(_of_itself(found), _bounds(site), now, settled=0)
        return _answer(site, remove(gone))


def _of_itself(entries: Iterable[Entry]) -> list[Entry]:
    """What may go without anybody asking for it."""
    return [one for one in entries if one.kind not in BY_HAND]


def _bounds(site: Site) -> Bounds:
    return Bounds(site.bounds.cache_limit, site.bounds.cache_days)


def _answer(site: Site, entries: Iterable[Entry]) -> CacheAnswer:
    by_kind: dict[CacheKind, list[Entry]] = {kind: [] for kind in get_args(CacheKind)}
    for one in entries:
        by_kind[one.kind].append(one)
    rows = tuple(_row(kind, found) for kind, found in by_kind.items() if found)
    size = sum(one.bytes for one in rows)
    return CacheAnswer(str(site.cache), *_bounds(site), rows, size)


def _row(kind: CacheKind, entries: list[Entry]) -> CacheRow:
    oldest = datetime.fromtimestamp(min(one.used for one in entries), UTC)
    size = sum(one.bytes for one in entries)
    return CacheRow(kind, len(entries), size, f"{oldest:%Y-%m-%dT%H:%M:%SZ}")
