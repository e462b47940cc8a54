"""Saying that a generation must not be used any more, from now or from a later moment on."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, insert, select

from regild.errors import NotListed
from regild.model.generation import Generation, Reference
from regild.store.catalogue import Reading, Writing
from regild.store.events import tell
from regild.store.generations import find_generation, id_of, names_of, resolve
from regild.store.lineage import descendants_of
from regild.store.schema import revocations


def revoke(change: Writing, reference: Reference, at: datetime, why: str) -> Generation:
    """Revoke a generation from a moment on; what descends from it is revoked with it.

    Said again, the newer word holds.

    Raises: NotListed.
    """
    generation = resolve(change, reference)
    found = id_of(change, generation)
    change.connection.execute(delete(revocations).where(revocations.c.generation_id == found))
    row = {"generation_id": found, "at": at, "why": why}
    row |= {"actor": change.actor, "made": change.now}
    change.connection.execute(insert(revocations).values(row))
    facts = {"at": at.isoformat(), "why": why, "inherited by": list(heirs(change, generation))}
    tell(change, "generation.revoke", generation.name, facts)
    return find_generation(change, generation.image, generation.number)


def restore(change: Writing, reference: Reference, why: str) -> Generation:
    """Take a revocation back; one that is inherited is taken back where it was made.

    Raises: NotListed.
    """
    generation = resolve(change, reference)
    own = revocations.c.generation_id == id_of(change, generation)
    if change.connection.execute(select(revocations.c.at).where(own)).first() is None:
        inherited = generation.revocation
        said = f"it inherits that of {inherited.generation}" if inherited else "nobody revoked it"
        raise NotListed(where=f"a revocation of {generation.name}", why=said)
    change.connection.execute(delete(revocations).where(own))
    tell(change, "generation.restore", generation.name, {"why": why})
    return find_generation(change, generation.image, generation.number)


def heirs(view: Reading, generation: Generation) -> tuple[str, ...]:
    """What descends from a generation, as `image@number`."""
    below = descendants_of(view, id_of(view, generation))
    return tuple(sorted(names_of(view, below).values()))
