"""Groups between their files, the catalogue and the rotate room: one value from all that is known.

A group's calendars are kept in the catalogue under names that begin with the group's (`web.FILE`);
freezes without a dot in their name are the whole site's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from pathlib import Path

from msgspec import convert, to_builtins
from msgspec.structs import replace

from regild.errors import GroupRefused, Malformed, NotListed, TooLarge, UsageError
from regild.host.files import read_limited
from regild.model.group import KnownInstance, WindowKind
from regild.model.rotation import Group, Instance, Line, Rotation
from regild.rotate.calendar import TEXT_LIMIT, Calendar, read_calendar
from regild.rotate.driver import open_driver
from regild.rotate.group_file import SIZE_LIMIT, check_group, read_group
from regild.rotate.look import step_seconds
from regild.rotate.settings_text import SettingsText
from regild.store import Reading, Writing
from regild.store.aside import names_aside
from regild.store.channels import find_channel
from regild.store.generations import list_generations
from regild.store.groups import list_windows, save_group, save_rotation, save_window
from regild.store.groups import read_group as read_version
from regild.store.groups import scale_group as save_size

GROUP_BYTES = 1 << 20
HORIZON_DAYS = 400
"""How far ahead windows are worked out."""
SETTING = re.compile(r"\[(\w+)\] (\w+): (.*)", re.DOTALL)
"""How a driver says which setting it cannot use, and why."""
GONE = "gone"
"""The state of an instance that is being ended; it no longer counts."""


def apply_group(change: Writing, path: Path, place: Path) -> Group:
    """Keep a group as its file says, after a look at everything that the file names.

    Raises: GroupRefused with the line, NotListed for an image or channel that is not there,
    DriverFailed when its driver cannot be opened.
    """
    text = _text(path, GROUP_BYTES)
    calendars: dict[str, str] = {}

    def read(name: str) -> str:
        calendars[name] = _text(path.parent / name, TEXT_LIMIT)
        return calendars[name]

    group = read_group(text, str(path), read)
    find_channel(change, group.image, group.channel)
    source = SettingsText(text, str(path), _refused)
    _check_names(source, group.name, calendars)
    _check_opens(source, group, change.now)
    _check_driver(source, group, place / group.name)
    for name, told in calendars.items():
        kind: WindowKind = "freeze" if told == group.freezes else "window"
        save_window(change, _calendar_name(group.name, name), kind, told)
    save_group(change, group.name, text, group.image, group.channel)
    return group_of(change, group.name)


def _check_names(source: SettingsText, group: str, files: Collection[str]) -> None:
    """Refuse calendars that would be kept under one name: the second would take the first's place,
    and the group would be replaced when it is not to be.

    Raises: GroupRefused with the line.
    """
    names = {_calendar_name(group, file) for file in files}
    if len(names) != len(files):
        why = (
            f"would be kept under the name of windows: {' and '.join(sorted(files))} need two names"
        )
        source.refuse("calendar", "freezes", why)


def _check_opens(source: SettingsText, group: Group, now: datetime) -> None:
    """A group whose windows open at no time, or never long enough to replace one instance, would
    wait for ever.

    Raises: GroupRefused with the line.
    """
    try:
        calendar = read_calendar(group.windows, group.freezes, now, _until(now))
    except (Malformed, TooLarge) as error:
        source.refuse("calendar", error.where.removeprefix("the "), error.why)
    step = timedelta(seconds=step_seconds(group))
    setting = "windows" if group.windows else "freezes"
    if calendar.next_open(now) is None:
        why = f"opens at no time in the next {HORIZON_DAYS} days, so nothing could ever be replaced"
        source.refuse("calendar", setting, why)
    if calendar.next_open(now, step) is None:
        why = f"is never open for {step}, which replacing one instance takes"
        source.refuse("calendar", setting, why)


def _check_driver(source: SettingsText, group: Group, place: Path) -> None:
    """Open the group's driver, to see that it can be.

    Raises: GroupRefused with the line; DriverFailed, ToolMissing.
    """
    try:
        _closed(open_driver(group, place))
    except GroupRefused as error:
        if found := SETTING.fullmatch(error.why):
            source.refuse(*found.groups())
        raise


def _refused(where: str, why: str) -> GroupRefused:
    return GroupRefused(where=where, why=why)


def group_of(view: Reading, name: str) -> Group:
    """A group as its newest file says, in the size that it was scaled to.

    Raises: NotListed, GroupRefused.
    """
    version = read_version(view, name)
    kept = {one.name: one.calendar for one in list_windows(view)}

    def read(file: str) -> str:
        """The calendar that the catalogue keeps under a file's name."""
        place = _calendar_name(name, file)
        if place not in kept:  # nothing would be a group that may be replaced at any time
            raise NotListed(where=f"calendar {place}", why="the catalogue has lost it")
        return kept[place]

    group = read_group(version.text, f"{name} (version {version.version})", read)
    return group if version.size is None else replace(group, size=version.size)


def scale(change: Writing, name: str, size: int) -> Group:
    """Give a group another size than its file says.

    Raises: NotListed, GroupRefused where the rest of its file does not fit the size.
    """
    if not 0 <= size <= SIZE_LIMIT:
        raise UsageError(what=f"a group's size is from 0 to {SIZE_LIMIT}, not {size}")
    group = replace(group_of(change, name), size=size)
    for setting, why in check_group(group):
        raise GroupRefused(where=f"{name} with {size} instances", why=f"{setting} {why}")
    save_size(change, name, size)
    return group


def calendar_of(view: Reading, group: Group) -> Calendar:
    """When a group may be rotated: its windows, less its own freezes and the site's.

    Raises: Malformed, TooLarge.
    """
    shared = (
        one.calendar for one in list_windows(view) if one.kind == "freeze" and "." not in one.name
    )
    freezes = tuple(filter(None, (group.freezes, *shared)))
    return read_calendar(group.windows, freezes, view.now, _until(view.now))


def line_of(view: Reading, group: Group) -> Line:
    """The generations of a group's image, and which its channel points at.

    Raises: NotListed.
    """
    known, aside = list_generations(view, group.image), names_aside(view)
    return Line(
        find_channel(view, group.image, group.channel).number or 0,
        tuple(one.number for one in known if one.expired is None),
        {one.number: one.revocation.at for one in known if one.revocation},
        {one.number: number_of(one.parent) for one in known if one.name in aside},
    )


def rotation_of(view: Reading, name: str) -> Rotation:
    """How far a group is.

    Raises: NotListed.
    """
    return convert(read_version(view, name).rotation, Rotation)


def keep_rotation(change: Writing, name: str, rotation: Rotation) -> None:
    """Note how far a group is.

    Raises: NotListed.
    """
    save_rotation(change, name, to_builtins(rotation))


def instance_of_row(row: KnownInstance) -> Instance:
    """An instance as the catalogue keeps it."""
    return convert(
        {**row.facts, "name": row.name, "state": row.state, "owner": row.user}
        | {"generation": number_of(row.current), "staged": number_of(row.staged)},
        Instance,
        strict=False,
    )


def row_of_instance(group: Group, one: Instance, intent: str = "") -> KnownInstance:
    """What the catalogue keeps of an instance; `intent` is what was begun and may not be done."""
    facts = {"since": one.since.isoformat(), "sessions": str(one.sessions)}
    facts |= {"released": "true"} if one.released else {}
    facts |= {"ill_since": one.ill_since.isoformat()} if one.ill_since else {}
    facts |= {"intent": intent} if intent else {}
    return KnownInstance(
        group.name,
        one.name,
        one.state,
        current=f"{group.image}@{one.generation}",
        staged=f"{group.image}@{one.staged}" if one.staged else "",
        user=one.owner,
        facts=facts,
    )


def number_of(name: str) -> int:
    """The number in a generation's name, such as `web@7`; 0 where there is none."""
    return int(name.rpartition("@")[2] or 0)


def _calendar_name(group: str, file: str) -> str:
    stem = "".join(sign if sign.isalnum() else "-" for sign in Path(file).stem.lower())
    return f"{group}.{stem}"[:63].strip("-")


def _text(path: Path, limit: int) -> str:
    try:
        return read_limited(path, limit).decode()
    except UnicodeDecodeError as error:
        raise GroupRefused(where=str(path), why="it is not UTF-8 text") from error


def _until(now: datetime) -> datetime:
    return now + timedelta(days=HORIZON_DAYS)


def _closed(driver: object) -> None:
    close: Callable[[], None] | None = getattr(driver, "close", None)
    if close is not None:
        close()
