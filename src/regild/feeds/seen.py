"""What was last seen of each repository, so that nobody can show an older state of it again
(rollback), or for ever the same one (freeze; The Update Framework, 1.5.2).

Kept beside the indexes, under the address that was really read: a mirror that is behind another is
not taken for an attack, one that goes back in time is.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from regild.errors import Expired, RolledBack
from regild.feeds.release import ReleaseFile
from regild.host.files import translated, write_whole
from regild.model.content import Value
from regild.model.digest import hex_of, sha256_of
from regild.model.plan import FeedState

FOLDER = "seen"
SEEN_LIMIT = 100_000


class Seen(Value, frozen=True):
    """One repository as it was believed last."""

    place: str
    """The address that it was read from."""
    state: FeedState
    read: str
    """When (RFC 3339, UTC)."""


_SEEN = msgspec.json.Decoder(Seen)
"""Made here, because several threads decode: msgspec ends the process where two of them are the
first to ask for a type."""


def find_seen(cache: Path, place: str) -> Seen | None:
    """What was seen at an address last; None where nothing was, or it cannot be read."""
    return _read(_note(cache, place))


def all_seen(cache: Path) -> Iterator[Seen]:
    """Everything that was ever seen, by address."""
    notes = sorted((cache / FOLDER).glob("*.json"))[:SEEN_LIMIT]
    yield from sorted(filter(None, map(_read, notes)), key=lambda one: one.place)


def keep_seen(cache: Path, place: str, state: FeedState, now: datetime) -> None:
    """Remember a repository that was believed.

    Raises: DiskFull, NotPermitted.
    """
    note = _note(cache, place)
    with translated(note.parent):
        note.parent.mkdir(parents=True, exist_ok=True)
    write_whole(note, msgspec.json.encode(Seen(place, state, f"{now:%Y-%m-%dT%H:%M:%SZ}")))


def check_order(before: Seen | None, state: FeedState, where: str) -> None:
    """Refuse a release that is older than one that was seen at the same address.

    Raises: RolledBack.
    """
    if before is not None and state.date < before.state.date:
        why = f"it is of {state.date or 'no date'}, and one of {before.state.date} was seen before"
        raise RolledBack(where=where, why=why)


def check_age(release: ReleaseFile, now: datetime, max_age_days: float, where: str) -> None:
    """Refuse a release that says no end of its validity and is older than the site allows.

    Raises: Expired.
    """
    if release.valid_until is not None or not max_age_days:
        return
    if release.date is None:
        raise Expired(where=where, why="it says neither when it was made nor how long it is valid")
    age = now - release.date
    if age > timedelta(days=max_age_days):
        why = f"it is {age.days} days old, and this site takes none older than {max_age_days:g}"
        raise Expired(where=where, why=why)


def _note(cache: Path, place: str) -> Path:
    return cache / FOLDER / f"{hex_of(sha256_of(place.encode()))}.json"


def _read(note: Path) -> Seen | None:
    try:
        return _SEEN.decode(note.read_bytes())
    except (OSError, ValueError):
        return None
