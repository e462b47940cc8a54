"""Who descends from whom, and what a revocation therefore reaches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from sqlalchemy import CTE, literal, select

from regild.model.generation import Revocation
from regild.store.catalogue import Reading
from regild.store.schema import generations, images, revocations

T = TypeVar("T")

AT_ONCE = 500
"""Ids in one question: below the least that a database takes (SQLite, before 3.32: 999)."""


def in_parts(ids: Sequence[T]) -> Iterator[Sequence[T]]:
    """Ids or names, as many at once as a database takes in one question."""
    for begin in range(0, len(ids), AT_ONCE):
        yield ids[begin : begin + AT_ONCE]


def revocations_of(view: Reading, ids: Sequence[int]) -> dict[int, Revocation]:
    """The earliest revocation of each of some generations, its own or an ancestor's.

    A generation that descends from a revoked one holds what was wrong with it, until that is
    restored or the child is proven clean and published anew without this parent.
    """
    below = _descendants(revocations.select().with_only_columns(revocations.c.generation_id))
    wanted = (
        select(below.c.id, revocations.c.at, revocations.c.why, revocations.c.actor)
        .add_columns(images.c.name, generations.c.number)
        .join(revocations, revocations.c.generation_id == below.c.root)
        .join(generations, generations.c.id == below.c.root)
        .join(images, images.c.id == generations.c.image_id)
    )
    asked, found = set(ids), dict[int, Revocation]()
    for row in view.connection.execute(wanted):
        one = Revocation(f"{row.name}@{row.number}", row.at, row.why, row.actor)
        known = found.get(row.id)
        if row.id in asked and (known is None or one.at < known.at):
            found[row.id] = one
    return found


def descendants_of(view: Reading, generation_id: int) -> tuple[int, ...]:
    """Every generation that was made from one, directly or not; not itself."""
    below = _descendants(select(literal(generation_id).label("generation_id")))
    rows = view.connection.execute(select(below.c.id).where(below.c.id != generation_id))
    return tuple(row.id for row in rows)


def _descendants(roots: object) -> CTE:
    """Pairs (root, id): each root and all that descends from it."""
    start = roots.subquery()  # type: ignore[attr-defined] # a Select of one column
    column = start.c.generation_id
    below = select(column.label("root"), column.label("id")).cte("below", recursive=True)
    return below.union(
        select(below.c.root, generations.c.id).join(below, generations.c.parent_id == below.c.id)
    )
