"""Groups in the catalogue: every version of their files, and the windows that they may change in.

What a file says is read by `rotate`; here it is text, with the image and channel that it names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row, delete, insert, select, update

from regild.errors import NotListed
from regild.model.generation import check_name
from regild.model.group import GroupVersion, Window, WindowKind
from regild.store.catalogue import Reading, Writing
from regild.store.events import tell
from regild.store.schema import group_versions, groups, instances, windows


def save_group(change: Writing, name: str, text: str, image: str, channel: str) -> GroupVersion:
    """Keep a group's file as its newest version; the same text again is no new one.

    Raises: UsageError.
    """
    check_name(name, "a group")
    held = find_group(change, name)
    if held is not None and (held.text, held.image, held.channel) == (text, image, channel):
        return held
    version = held.version + 1 if held else 1
    row = {"name": name, "version": version, "image": image, "channel": channel}
    if held is None:
        change.connection.execute(insert(groups).values({**row, "rotation": {}}))
    else:
        change.connection.execute(update(groups).where(groups.c.name == name).values(row))
    values = {"group_id": id_of_group(change, name), "version": version, "text": text}
    values |= {"made": change.now, "actor": change.actor}
    change.connection.execute(insert(group_versions).values(values))
    tell(change, "group.save", name, {"version": version, "image": image, "channel": channel})
    return read_group(change, name)


def scale_group(change: Writing, name: str, size: int | None) -> GroupVersion:
    """Say how many instances a group has, apart from its file; None: what the file says.

    Raises: NotListed.
    """
    found = id_of_group(change, name)
    change.connection.execute(update(groups).where(groups.c.id == found).values(size=size))
    tell(change, "group.scale", name, {"size": size})
    return read_group(change, name)


def save_rotation(change: Writing, name: str, rotation: Mapping[str, Any]) -> None:
    """Keep how far a group is on its way, between two looks at it; a change becomes an event.

    Raises: NotListed.
    """
    found, value = read_group(change, name), dict(rotation)
    own = groups.c.id == id_of_group(change, name)
    change.connection.execute(update(groups).where(own).values(rotation=value))
    if found.rotation != value:
        tell(change, "group.rotation", name, value)


def find_group(view: Reading, name: str, version: int | None = None) -> GroupVersion | None:
    """A group in its newest version, or in an older one."""
    wanted = _select().where(groups.c.name == name)
    number = groups.c.version if version is None else version
    row = view.connection.execute(wanted.where(group_versions.c.version == number)).first()
    return None if row is None else _version(row)


def read_group(view: Reading, name: str, version: int | None = None) -> GroupVersion:
    """A group that is there.

    Raises: NotListed.
    """
    found = find_group(view, name, version)
    if found is None:
        id_of_group(view, name)
        raise NotListed(where=f"version {version} of group {name}", why="it has no such version")
    return found


def list_groups(view: Reading) -> tuple[GroupVersion, ...]:
    """Every group in its newest version, by name."""
    newest = _select().where(group_versions.c.version == groups.c.version)
    return tuple(map(_version, view.connection.execute(newest.order_by(groups.c.name))))


def history_of_group(view: Reading, name: str) -> tuple[GroupVersion, ...]:
    """Every version of a group, oldest first."""
    wanted = _select().where(groups.c.name == name).order_by(group_versions.c.version)
    return tuple(map(_version, view.connection.execute(wanted)))


def id_of_group(view: Reading, name: str) -> int:
    """The row of a group.

    Raises: NotListed.
    """
    found = view.connection.execute(select(groups.c.id).where(groups.c.name == name)).scalar()
    if found is None:
        raise NotListed(where=f"group {name}", why="no group has this name")
    return int(found)


def remove_group(change: Writing, name: str, why: str = "") -> None:
    """Forget a group with its versions, instances and calendars; the events keep what it was.

    Raises: NotListed.
    """
    found = id_of_group(change, name)
    for table in (instances, group_versions):
        change.connection.execute(delete(table).where(table.c.group_id == found))
    change.connection.execute(delete(windows).where(windows.c.name.startswith(f"{name}.")))
    change.connection.execute(delete(groups).where(groups.c.id == found))
    tell(change, "group.remove", name, {"why": why})


def save_window(change: Writing, name: str, kind: WindowKind, calendar: str) -> Window:
    """Keep a named calendar of windows, or of freezes, in place of what it was.

    Raises: UsageError.
    """
    check_name(name, "a window")
    row: dict[str, Any] = {"name": name, "kind": kind, "calendar": calendar}
    row |= {"made": change.now, "actor": change.actor}
    change.connection.execute(delete(windows).where(windows.c.name == name))
    change.connection.execute(insert(windows).values(row))
    tell(change, "window.save", name, {"kind": kind})
    return Window(name, kind, calendar, change.now, change.actor)


def remove_window(change: Writing, name: str) -> None:
    """Forget a named calendar.

    Raises: NotListed.
    """
    gone = change.connection.execute(delete(windows).where(windows.c.name == name))
    if gone.rowcount == 0:
        raise NotListed(where=f"window {name}", why="no window has this name")
    tell(change, "window.remove", name)


def list_windows(view: Reading) -> tuple[Window, ...]:
    """Every named calendar."""
    rows = view.connection.execute(select(windows).order_by(windows.c.name))
    return tuple(Window(row.name, row.kind, row.calendar, row.made, row.actor) for row in rows)


def _select() -> Any:
    columns = [groups.c[one] for one in ("name", "image", "channel", "size", "rotation")]
    return select(group_versions, *columns).join(groups, groups.c.id == group_versions.c.group_id)


def _version(row: Row[Any]) -> GroupVersion:
    return GroupVersion(
        name=row.name,
        version=row.version,
        text=row.text,
        image=row.image,
        channel=row.channel,
        size=row.size,
        rotation=row.rotation,
        made=row.made,
        actor=row.actor,
    )
