"""What has happened: rows that are only ever added, each with who did it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import func, insert, select

from regild.model.job import Event
from regild.store.catalogue import Reading, Writing
from regild.store.schema import events

SUBJECT_SIGNS = 255


def tell(change: Writing, kind: str, subject: str, facts: Mapping[str, Any] | None = None) -> None:
    """Add an event to the change that it is about: both are there, or neither."""
    row = {"at": change.now, "actor": change.actor, "kind": kind}
    row |= {"subject": subject[:SUBJECT_SIGNS], "facts": dict(facts or {})}
    change.connection.execute(insert(events).values(row))


def list_events(
    view: Reading,
    *,
    subject: str = "",
    kind: str | Collection[str] = "",
    after: int = 0,
    limit: int = 1000,
    newest: bool = False,
) -> tuple[Event, ...]:
    """Events in their order, of one subject, of one kind or several, after the one of a number;
    the newest of them where they are more than `limit`, if that is asked."""
    order = events.c.id.desc() if newest else events.c.id
    wanted = select(events).where(events.c.id > after).order_by(order).limit(limit)
    if subject:
        wanted = wanted.where(events.c.subject == subject)
    if kind:
        kinds = [kind] if isinstance(kind, str) else sorted(kind)
        wanted = wanted.where(events.c.kind.in_(kinds))
    found = (
        Event(row.id, row.at, row.actor, row.kind, row.subject, row.facts)
        for row in view.connection.execute(wanted)
    )
    return tuple(sorted(found, key=lambda one: one.number))


def last_event(view: Reading) -> int:
    """The number of the newest event; 0 before the first."""
    return view.connection.execute(select(func.max(events.c.id))).scalar() or 0
