"""Feeds, and the cache of what was read, as a person reads them: what is read where, and how old it
is."""

from __future__ import annotations

import re
from datetime import datetime

from regild.cli.errand_text import many
from regild.cli.progress import bytes_text
from regild.cli.table import table
from regild.cli.text import plain
from regild.model.answers import AdvisoryRow, FeedRow, FeedsAnswer
from regild.model.cache_answers import CacheAnswer
from regild.model.digest import hex_of
from regild.model.plan import FeedState

SEEN = ("OF", "AGE", "SIGNED BY", "DIGEST")
FETCHED = ("KINDS", "NUMBER", "OF", "FETCHED", "DIGEST")
DIGITS = 12
"""Of a digest and of a key's end; `--json` has them whole."""
_FINGERPRINT = re.compile(r"[0-9A-Fa-f]{32,}")


def feeds_text(answer: FeedsAnswer, width: int, short: bool) -> str:
    """A table of repositories and one of advisories; `short` leaves out what was seen."""
    head = ["REPOSITORY", "SUITE", "READ FROM", *([] if short else SEEN)]
    rows = [
        (one.uri, one.suite, _place(one), *(() if short else _seen(one))) for one in answer.sources
    ]
    blocks = [
        table(head, rows, width),
        table(
            ["ADVISORIES", *([] if short else FETCHED)],
            [(one.place, *(() if short else _advisory(one))) for one in answer.advisories],
            width,
        ),
    ]
    return "\n\n".join("\n".join(lines) for lines in blocks if lines) or "No feed is known"


def feed_line(feed: FeedState, now: datetime) -> str:
    """A repository with its date and age, and whether anybody vouches for it."""
    parts = [f"{feed.uri} {feed.suite}".rstrip(), feed.date or "of no date"]
    if feed.date:
        days = max(0, (now - datetime.fromisoformat(feed.date)).days)
        parts.append(f"{many(days, 'day', 'days')} old" if days else "less than a day old")
    return ", ".join([*parts, *([] if feed.signed_by else ["signed by nobody"])])


KINDS = {
    "packages": "packages and files of recipes, as they were fetched",
    "loose": "packages without compression",
    "contents": "what packages hold",
    "indexes": "indexes and advisories, as they were fetched",
    "made": "what was made of those",
    "plans": "plans",
}


def cache_text(answer: CacheAnswer, width: int, removed: bool = False) -> str:
    """What lies in the cache by its kinds, or what was removed from it."""
    said = f"{bytes_text(answer.bytes)} {'removed from' if removed else 'in'} {answer.folder}"
    limit = bytes_text(answer.limit) if answer.limit else "any size"
    days = f"unused for {answer.days:g} days" if answer.days else "never by its age"
    rows = [
        (KINDS[one.kind], one.files, bytes_text(one.bytes), one.oldest.partition("T")[0])
        for one in answer.rows
    ]
    blocks = [
        [plain(said)],
        table(["WHAT", "FILES", "SIZE", "UNUSED SINCE"], rows, width),
        [] if removed else [f"Kept by itself: {limit} without indexes; what goes is {days}"],
    ]
    return "\n\n".join("\n".join(lines) for lines in blocks if lines)


def _place(row: FeedRow) -> str:
    if not row.enabled:
        return "nowhere: the image has switched it off"
    if not row.allowed:
        return f"nowhere: {row.why}"
    return "there" if row.place.startswith(row.uri) else row.place


def _seen(row: FeedRow) -> tuple[str, str, str, str]:
    if row.state is None:
        return "never read", "", "", ""
    age = "" if row.age_days is None else f"{row.age_days:g} day{'' if row.age_days == 1 else 's'}"
    return (
        row.state.date.partition("T")[0],
        f"{age}, expired" if row.expired else age,
        " ".join(map(_key, row.state.signed_by)) or "nobody",
        hex_of(row.state.digest)[:DIGITS],
    )


def _key(name: str) -> str:
    """The end of a fingerprint, or the whole name of a key that is known by one."""
    return name[-DIGITS:].upper() if _FINGERPRINT.fullmatch(name) else name


def _advisory(row: AdvisoryRow) -> tuple[str, str, str, str, str]:
    """What was read of a feed of advisories last."""
    feed = row.feed
    if feed is None:
        return "never fetched" if "://" in row.place else "read as it is", "", "", "", ""
    kinds, digest = " ".join(feed.kinds), hex_of(feed.digest)[:DIGITS]
    return kinds, str(feed.advisories), feed.date, feed.fetched, digest
