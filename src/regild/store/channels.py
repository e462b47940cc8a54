"""Channels: where each points, where it pointed before, and what may be promoted to it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, Select, func, insert, select, update

from regild.errors import NotListed, Pinned, PublishError
from regild.model.generation import Channel, Generation, Move, Reference, check_name
from regild.store.catalogue import Reading, Writing
from regild.store.events import tell
from regild.store.generations import check_usable, find_generation, id_of, resolve
from regild.store.images import add_channel as add_row
from regild.store.images import id_of_image
from regild.store.schema import channels, generations, images, moves


def add_channel(change: Writing, image: str, name: str) -> Channel:
    """Give an image one more channel, after those that it has.

    Raises: UsageError, NotListed, PublishError where there is one of this name.
    """
    check_name(name, "a channel")
    image_id = id_of_image(change, image)
    if any(one.name == name for one in list_channels(change, image)):
        raise PublishError(where=f"channel {name}", why=f"image {image} has it already")
    last = select(func.max(channels.c.place)).where(channels.c.image_id == image_id)
    place = change.connection.execute(last).scalar()
    add_row(change, image_id, name, 0 if place is None else place + 1)
    tell(change, "channel.add", f"{image}@{name}")
    return find_channel(change, image, name)


def find_channel(view: Reading, image: str, name: str) -> Channel:
    """One channel of an image.

    Raises: NotListed, naming those that there are.
    """
    found = [one for one in list_channels(view, image) if one.name == name]
    if not found:
        id_of_image(view, image)
        there = ", ".join(one.name for one in list_channels(view, image)) or "none"
        raise NotListed(where=f"channel {name} of image {image}", why=f"there are: {there}")
    return found[0]


def list_channels(view: Reading, image: str = "") -> tuple[Channel, ...]:
    """The channels of an image in their order; of all images without a name."""
    wanted = _select().order_by(images.c.name, channels.c.place)
    if image:
        wanted = wanted.where(images.c.name == image)
    return tuple(_channel(row) for row in view.connection.execute(wanted))


def promote(change: Writing, reference: Reference, channel: str, why: str = "") -> Channel:
    """Let a channel point at a generation.

    Raises: NotListed, Revoked, Pinned; PublishError where its bytes were given up.
    """
    return _move(change, resolve(change, reference), channel, "promote", why)


def roll_back(
    change: Writing, image: str, channel: str, to: int | None = None, why: str = ""
) -> Channel:
    """Let a channel point at what it pointed at before, or at an older generation of a number.

    Without a number it is the newest of its history that is older than where it stands, neither
    revoked nor given up.

    Raises: NotListed, Revoked, Pinned, PublishError.
    """
    now = find_channel(change, image, channel)
    if to is not None:
        return _move(change, find_generation(change, image, to), channel, "rollback", why)
    for move in reversed(history_of(change, image, channel)):
        before = find_generation(change, image, move.number)
        older = now.number is not None and before.number < now.number
        if older and before.expired is None and not before.is_revoked(change.now):
            return _move(change, before, channel, "rollback", why)
    where = f"an earlier generation for channel {channel} of image {image}"
    raise NotListed(where=where, why="it never pointed at one that may still be used")


def pin_channel(change: Writing, image: str, name: str, pinned: bool) -> Channel:
    """Keep a channel where it points until it is unpinned.

    Raises: NotListed.
    """
    find_channel(change, image, name)
    own = (channels.c.image_id == id_of_image(change, image)) & (channels.c.name == name)
    change.connection.execute(update(channels).where(own).values(pinned=pinned))
    tell(change, "channel.pin" if pinned else "channel.unpin", f"{image}@{name}")
    return find_channel(change, image, name)


def history_of(view: Reading, image: str, channel: str) -> tuple[Move, ...]:
    """Everything that a channel pointed at, oldest first."""
    wanted = (
        select(moves, generations.c.number)
        .join(channels, channels.c.id == moves.c.channel_id)
        .join(images, images.c.id == channels.c.image_id)
        .join(generations, generations.c.id == moves.c.generation_id)
        .where(images.c.name == image, channels.c.name == channel)
        .order_by(moves.c.id)
    )
    return tuple(
        Move(channel, row.number, row.at, row.actor, row.kind, row.why)
        for row in view.connection.execute(wanted)
    )


def _move(change: Writing, generation: Generation, name: str, kind: str, why: str) -> Channel:
    """Move a channel; one that points there already stays without a new row."""
    channel = find_channel(change, generation.image, name)
    check_usable(change, generation)
    if generation.expired is not None:
        raise PublishError(where=generation.name, why="its bytes were given up")
    if channel.number == generation.number:
        return channel
    if channel.pinned:
        why = f"it stays at {channel.image}@{channel.number}"
        raise Pinned(where=f"channel {name} of image {channel.image}", why=why)
    found, image_id = id_of(change, generation), id_of_image(change, generation.image)
    own = (channels.c.image_id == image_id) & (channels.c.name == name)
    row = {"generation_id": found, "since": change.now, "actor": change.actor}
    moved = update(channels).where(own).values(row).returning(channels.c.id)
    channel_id = change.connection.execute(moved).scalar_one()
    step = {"channel_id": channel_id, "generation_id": found, "at": change.now}
    step |= {"actor": change.actor, "kind": kind, "why": why}
    change.connection.execute(insert(moves).values(step))
    was = f"{channel.image}@{channel.number}" if channel.number else ""
    facts = {"from": was, "to": generation.name, "why": why}
    tell(change, f"channel.{kind}", f"{channel.image}@{name}", facts)
    return find_channel(change, generation.image, name)


def _select() -> Select[Any]:
    return (
        select(channels, images.c.name.label("image"), generations.c.number)
        .join(images, images.c.id == channels.c.image_id)
        .join(generations, generations.c.id == channels.c.generation_id, isouter=True)
    )


def _channel(row: Row[Any]) -> Channel:
    return Channel(row.image, row.name, row.number, row.since, row.actor, row.pinned)
