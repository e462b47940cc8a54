"""Golden images in the catalogue: the lines that generations belong to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, insert, select, update

from regild.errors import ListedAlready, NotListed, UsageError
from regild.model.generation import CHANNELS, GoldenImage, Retention, check_name
from regild.store.catalogue import Reading, Writing
from regild.store.events import tell
from regild.store.schema import channels, images


def add_image(
    change: Writing,
    name: str,
    *,
    about: str = "",
    retention: Retention | None = None,
    channel_names: Sequence[str] = CHANNELS,
) -> GoldenImage:
    """Begin a line of generations, with its channels in their order.

    Raises: UsageError, ListedAlready.
    """
    kept = retention or Retention()
    check_name(name, "an image")
    for channel in channel_names:
        check_name(channel, "a channel")
    if len(set(channel_names)) != len(channel_names):
        raise UsageError(what=f"a channel is named twice: {', '.join(channel_names)}")
    if find_image(change, name) is not None:
        raise ListedAlready(where=f"image {name}", why="its name is taken")
    row = {"name": name, "about": about, "created": change.now}
    row |= {"keep_newest": kept.newest, "keep_days": kept.days}
    made = change.connection.execute(insert(images).values(row).returning(images.c.id)).scalar_one()
    for place, channel in enumerate(channel_names):
        add_channel(change, made, channel, place)
    tell(change, "image.add", name, {"channels": list(channel_names)})
    return GoldenImage(name, about, change.now, kept)


def add_channel(change: Writing, image_id: int, name: str, place: int) -> None:
    """Give an image a channel that points nowhere yet."""
    row = {"image_id": image_id, "name": name, "place": place, "actor": "", "pinned": False}
    change.connection.execute(insert(channels).values(row))


def find_image(view: Reading, name: str) -> GoldenImage | None:
    """An image by its name."""
    row = view.connection.execute(select(images).where(images.c.name == name)).first()
    return None if row is None else _image(row)


def list_images(view: Reading) -> tuple[GoldenImage, ...]:
    """Every image, by name."""
    rows = view.connection.execute(select(images).order_by(images.c.name))
    return tuple(_image(row) for row in rows)


def set_retention(change: Writing, name: str, retention: Retention) -> None:
    """Say which old generations of an image are kept.

    Raises: NotListed.
    """
    row = {"keep_newest": retention.newest, "keep_days": retention.days}
    found = id_of_image(change, name)
    change.connection.execute(update(images).where(images.c.id == found).values(row))
    tell(change, "image.retention", name, row)


def id_of_image(view: Reading, name: str) -> int:
    """The row of an image.

    Raises: NotListed.
    """
    found = view.connection.execute(select(images.c.id).where(images.c.name == name)).scalar()
    if found is None:
        raise NotListed(
            where=f"image {name}", why="no image has this name; regild image add makes one"
        )
    return int(found)


def _image(row: Row[Any]) -> GoldenImage:
    retention = Retention(row.keep_newest, row.keep_days)
    return GoldenImage(row.name, row.about, row.created, retention)
