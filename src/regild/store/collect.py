"""Giving up what nobody needs any more: old generations by retention, then packs that no stored
file needs.

What is kept whatever its age: the newest generation of an image, a pinned one, one that a channel
points at or pointed at before, and one that an instance runs, has staged or is to run. A pack is
condemned in the catalogue before its file is removed, and from then on nobody shares it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, func, select, update

from regild.host.shelf import Shelf
from regild.model.generation import Generation
from regild.store.aside import in_line
from regild.store.catalogue import Catalogue, Reading, Writing
from regild.store.channels import history_of, list_channels
from regild.store.events import tell
from regild.store.generations import id_of, list_generations
from regild.store.images import list_images
from regild.store.instances import list_instances
from regild.store.lineage import in_parts
from regild.store.pack import name_of
from regild.store.schema import files, generations, leases, map_packs, maps, packs, pieces

ASIDE_FOR = timedelta(days=1)
"""So long a generation that stands aside is kept without anybody running it."""


@dataclass(frozen=True, slots=True)
class Collected:
    """What was given up."""

    generations: tuple[str, ...]
    packs: int
    bytes: int


def collect(catalogue: Catalogue, shelf: Shelf, actor: str) -> Collected:
    """Give up what retention lets go and remove the packs that nothing needs.

    It may be ended at any moment and begun again, and others may publish meanwhile.

    Raises: Unanswered, NotPermitted, Unreachable.
    """
    with catalogue.writing(actor) as change:
        given_up = expire(change)
        forget_maps(change)
        _condemn(change)
    with catalogue.reading() as view:
        wanted = select(packs).where(packs.c.state == "condemned")
        condemned = [(row.id, row.digest, row.bytes) for row in view.connection.execute(wanted)]
    for row, digest, _ in condemned:
        shelf.remove(name_of(digest))
        with catalogue.writing(actor) as change:
            change.connection.execute(delete(pieces).where(pieces.c.pack_id == row))
            change.connection.execute(delete(packs).where(packs.c.id == row))
    return Collected(given_up, len(condemned), sum(size for _, _, size in condemned))


def expire(change: Writing) -> tuple[str, ...]:
    """Give up the generations that retention lets go; their names."""
    needed = names_in_use(change)
    gone = []
    for image in list_images(change):
        held = [one for one in list_generations(change, image.name) if one.expired is None]
        line = in_line(change, held)
        kept, young = image.retention, change.now - timedelta(days=image.retention.days)
        for place, one in enumerate(reversed(line)):
            is_old = kept.newest and place >= kept.newest and not (one.created or young) > young
            if is_old and place > 0 and not one.pinned and one.name not in needed:
                _give_up(change, one)
                gone.append(one.name)
        for one in (one for one in held if one not in line):
            # Made for a machine on request that is gone; of one plan there is a new one each day.
            is_young = (one.created or change.now) > change.now - ASIDE_FOR
            if not is_young and not one.pinned and one.name not in needed:
                _give_up(change, one)
                gone.append(one.name)
    return tuple(gone)


def names_in_use(view: Reading) -> set[str]:
    """Generations that a channel points at, or pointed at before and could go back to, and those
    of instances."""
    used: set[str] = set()
    for channel in list_channels(view):
        if channel.number is not None:
            used.add(f"{channel.image}@{channel.number}")
        before = [move.number for move in history_of(view, channel.image, channel.name)]
        older = [one for one in before if channel.number is not None and one < channel.number]
        used |= {f"{channel.image}@{one}" for one in older[-1:]}
    for instance in list_instances(view):
        used |= {instance.current, instance.staged, instance.desired}
    return used


def forget_maps(change: Writing) -> None:
    """Forget the stored files that no generation with bytes has."""
    held = (
        select(files.c.digest)
        .join(generations, generations.c.id == files.c.generation_id)
        .where(generations.c.expired.is_(None))
    )
    rows = change.connection.execute(select(maps.c.digest).where(maps.c.digest.not_in(held)))
    for part in in_parts([row.digest for row in rows]):
        change.connection.execute(delete(map_packs).where(map_packs.c.map.in_(part)))
        change.connection.execute(delete(maps).where(maps.c.digest.in_(part)))


def _give_up(change: Writing, generation: Generation) -> None:
    own = generations.c.id == id_of(change, generation)
    change.connection.execute(update(generations).where(own).values(expired=change.now))
    tell(change, "generation.expire", generation.name, {"digest": generation.digest})


def _condemn(change: Writing) -> None:
    """Condemn packs that no stored file needs, and those whose publisher is dead."""
    alive = select(leases.c.name).where(leases.c.until > change.now)
    dead = (packs.c.state == "writing") & packs.c.claim.not_in(alive)
    needed = select(map_packs.c.pack_id)
    unneeded = (packs.c.state == "live") & packs.c.id.not_in(needed)
    for which in (dead, unneeded):
        change.connection.execute(update(packs).where(which).values(state="condemned", claim=""))
    stale = leases.c.name.like("publish:%") & (leases.c.until <= change.now)
    change.connection.execute(delete(leases).where(stale))


def bytes_of(view: Reading) -> tuple[int, int]:
    """How many live packs the store has, and their bytes."""
    wanted = select(func.count(), func.coalesce(func.sum(packs.c.bytes), 0)).where(
        packs.c.state == "live"
    )
    count, size = view.connection.execute(wanted).one()
    return int(count), int(size)
