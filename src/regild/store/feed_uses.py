"""Which release files plans were made from, so that only what changed is planned again."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import and_, delete, insert, or_, select

from regild.model.generation import Reference
from regild.model.plan import FeedState
from regild.store.catalogue import Reading, Writing
from regild.store.generations import id_of, names_of, resolve
from regild.store.lineage import in_parts
from regild.store.schema import feed_uses
from regild.store.texts import fitting_key


def keep_feeds(change: Writing, reference: Reference, feeds: Iterable[FeedState]) -> None:
    """Remember what a generation's newest plan was made from, in place of what was.

    Raises: NotListed.
    """
    found = id_of(change, resolve(change, reference))
    change.connection.execute(delete(feed_uses).where(feed_uses.c.generation_id == found))
    rows = {_key(one.uri, one.suite): one.digest for one in feeds}
    values = [
        {"generation_id": found, "uri": uri, "suite": suite, "digest": digest}
        for (uri, suite), digest in rows.items()
    ]
    if values:
        change.connection.execute(insert(feed_uses), values)


def outdated(view: Reading, feeds: Iterable[FeedState]) -> tuple[str, ...]:
    """The generations whose plan was made from another state of one of some feeds.

    What uses none of the feeds that changed is not among them, and need not be planned again.
    """
    keys = ((*_key(one.uri, one.suite), one.digest) for one in feeds)
    changed = [
        and_(feed_uses.c.uri == uri, feed_uses.c.suite == suite, feed_uses.c.digest != digest)
        for uri, suite, digest in keys
    ]
    found: set[int] = set()
    for part in in_parts(changed):
        rows = view.connection.execute(select(feed_uses.c.generation_id).where(or_(*part)))
        found |= {row.generation_id for row in rows}
    return tuple(sorted(names_of(view, sorted(found)).values()))


def feeds_of(view: Reading) -> dict[str, frozenset[tuple[str, str]]]:
    """Address and suite, as they are kept, of the feeds that each generation's newest plan was made
    from; what was never planned is not there, nor what an older version kept uncut (SQLite let it),
    which nothing would find again."""
    rows = view.connection.execute(
        select(feed_uses.c.generation_id, feed_uses.c.uri, feed_uses.c.suite)
    )
    found: dict[int, set[tuple[str, str]]] = {}
    uncut: set[int] = set()
    for row in rows:
        found.setdefault(row.generation_id, set()).add((row.uri, row.suite))
        if _key(row.uri, row.suite) != (row.uri, row.suite):
            uncut.add(row.generation_id)
    names = names_of(view, sorted(found))
    return {names[key]: frozenset(value) for key, value in found.items() if key not in uncut}


def _key(uri: str, suite: str) -> tuple[str, str]:
    """An address and a suite as they are kept: an image names them, as long as it likes."""
    return fitting_key(uri, feed_uses.c.uri), fitting_key(suite, feed_uses.c.suite)
