"""Generations aside of their line: made for machines on request, and followed by nothing else.

They come from the policy `late-patch` of a group. No update starts from one and no renewal minds
it, until somebody lets a channel point at it.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select

from regild.model.generation import Generation
from regild.store.catalogue import Reading
from regild.store.channels import list_channels
from regild.store.schema import jobs

LATE = "late-patch"
"""The kind of the jobs that make them."""


def names_aside(view: Reading) -> frozenset[str]:
    """Of every image, the generations that stand aside."""
    wanted = select(jobs.c.result).where(jobs.c.kind == LATE, jobs.c.state == "done")
    made = {str(row.result.get("generation", "")) for row in view.connection.execute(wanted)}
    if made:
        made -= {f"{one.image}@{one.number}" for one in list_channels(view)}
    return frozenset(made - {""})


def in_line(view: Reading, generations: Iterable[Generation]) -> tuple[Generation, ...]:
    """Those of some generations that do not stand aside."""
    aside = names_aside(view)
    return tuple(one for one in generations if one.name not in aside)
