"""A group's file: TOML, every setting of which is known, with the line where it is wrong.

[group]
name = "web"
image = "web"
channel = "production"
driver = "libvirt"
size = 12
[rollout]
max_surge = 1
max_unavailable = "10%"
canary = 1
waves = ["25%", "100%"]
bake = "30m"
[calendar]
windows = "windows.ics"
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import msgspec

from regild.errors import GroupRefused
from regild.model.rotation import (
    Amount,
    Approval,
    DrainPolicy,
    Group,
    Health,
    HealthKind,
    Replacement,
    Rollout,
)

SIZE_LIMIT = 10_000
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")

T = TypeVar("T")


class _GroupTable(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    image: str
    channel: str
    driver: str
    size: int


class _RolloutTable(msgspec.Struct, forbid_unknown_fields=True):
    mode: Replacement = "proactive"
    canary: int = 1
    waves: list[int | str] = msgspec.field(default_factory=lambda: ["100%"])
    max_surge: int | str = 1
    max_unavailable: int | str = 0
    min_ready: int | str = 0
    bake: int | str = 0
    max_failed: int | str = 0
    rollback: bool = True
    approval: Approval = "none"


class _HealthTable(msgspec.Struct, forbid_unknown_fields=True):
    kind: HealthKind = "boot"
    target: int | str = ""
    within: int | str = "10m"


class _DrainTable(msgspec.Struct, forbid_unknown_fields=True):
    wait_for_logoff: bool = False
    grace: int | str = 0
    force: bool = True


class _CalendarTable(msgspec.Struct, forbid_unknown_fields=True):
    windows: str = ""
    freezes: str = ""
    step: int | str = 0


TABLES: dict[str, type[msgspec.Struct]] = {
    "group": _GroupTable,
    "rollout": _RolloutTable,
    "health": _HealthTable,
    "drain": _DrainTable,
    "calendar": _CalendarTable,
}


def read_group(text: str, where: str, read: Callable[[str], str]) -> Group:
    """A group as its file says; `read` gives the text of a calendar that the file names.

    Raises: GroupRefused with the line and what is wrong there; what `read` raises.
    """
    try:
        told = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise GroupRefused(where=where, why=str(error)) from error
    source = _Source(text, where)
    for name in told:
        if name not in (*TABLES, "options"):
            source.refuse(name, "", f"is not a table; there are {', '.join(TABLES)}, options")
    group: _GroupTable = source.table(told, "group", _GroupTable)
    calendar: _CalendarTable = source.table(told, "calendar", _CalendarTable)
    found = Group(
        group.name,
        group.image,
        group.channel,
        group.driver,
        group.size,
        rollout=_rollout(source, source.table(told, "rollout", _RolloutTable)),
        health=_health(source, source.table(told, "health", _HealthTable)),
        drain=_drain(source, source.table(told, "drain", _DrainTable)),
        step_seconds=source.seconds("calendar", "step", calendar.step),
        windows=read(calendar.windows) if calendar.windows else "",
        freezes=read(calendar.freezes) if calendar.freezes else "",
        options=_options(source, told.get("options", {})),
    )
    for setting, why in check_group(found):
        table, _, name = setting.partition(".")
        source.refuse(table, name, why)
    return found


def check_group(group: Group) -> list[tuple[str, str]]:
    """What of a group cannot be meant: the setting as `table.name`, and why."""
    wrong = []
    size, rollout = group.size, group.rollout
    if not NAME.fullmatch(group.name):
        wrong.append(("group.name", "takes small letters, digits and hyphens, 40 at most"))
    if not 0 <= size <= SIZE_LIMIT:
        wrong.append(("group.size", f"is from 0 to {SIZE_LIMIT}"))
    surge = rollout.max_surge.of(size)
    missing = rollout.max_unavailable.of(size, up=False)
    if size and not surge and not missing:
        wrong.append(
            ("rollout.max_surge", "and max_unavailable are both 0, so nothing could be replaced")
        )
    if rollout.min_ready.of(size) > size:
        wrong.append(("rollout.min_ready", "is more than the group has"))
    if size and rollout.min_ready.of(size) == size and not surge:
        wrong.append(("rollout.min_ready", "is the whole group, and there is no surge"))
    if rollout.canary < 0:
        wrong.append(("rollout.canary", "is not negative"))
    shares = [amount.of(size) for amount in rollout.waves]
    if shares != sorted(shares) or not shares:
        wrong.append(("rollout.waves", "are shares that grow, at least one"))
    return wrong


class _Source:
    """A file's text, for saying where in it something is wrong."""

    def __init__(self, text: str, where: str) -> None:
        self._lines = text.splitlines()
        self._where = where

    def table(self, told: dict[str, Any], name: str, kind: type[T]) -> T:
        """One table of the file.

        Raises: GroupRefused.
        """
        try:
            return msgspec.convert(told.get(name, {}), kind)
        except msgspec.ValidationError as error:
            # msgspec says "... field `size`" of a name, and "... - at `$.size`" of a value.
            found = re.search(r"field `([a-z_]+)`|`\$\.([a-z_]+)", str(error))
            setting = next(filter(None, found.groups())) if found else ""
            self.refuse(name, setting, str(error).partition(" - at")[0])

    def amount(self, table: str, name: str, value: int | str) -> Amount:
        """A number or a share such as `25%`.

        Raises: GroupRefused.
        """
        if isinstance(value, int) and 0 <= value <= SIZE_LIMIT:
            return Amount(value)
        found = re.fullmatch(r"(\d{1,3})%", value) if isinstance(value, str) else None
        if found is None or int(found[1]) > 100:
            self.refuse(table, name, f"is a number or a share such as 25%, not {value!r}")
        return Amount(int(found[1]), percent=True)

    def seconds(self, table: str, name: str, value: int | str) -> int:
        """A length of time: seconds, or a number with s, m, h or d.

        Raises: GroupRefused.
        """
        found = re.fullmatch(r"(\d{1,7})([smhd]?)", str(value))
        if found is None:
            self.refuse(table, name, f"is a time such as 90s, 30m, 2h or 1d, not {value!r}")
        return int(found[1]) * SECONDS[found[2] or "s"]

    def refuse(self, table: str, name: str, why: str) -> NoReturn:
        """Say what is wrong, and in which line as far as that can be seen.

        Raises: GroupRefused, always.
        """
        line = self._line_of(table, name)
        place = f"{self._where}, line {line}" if line else self._where
        setting = f"[{table}] {name}".strip()
        raise GroupRefused(where=place, why=f"{setting}: {why}")

    def _line_of(self, table: str, name: str) -> int:
        current, heading = "", 0
        for number, line in enumerate(self._lines, 1):
            if found := re.match(r"\s*\[\s*([^\[\]]+?)\s*\]", line):
                current = found[1]
                heading = number if current == table else heading
            elif current == table and name and re.match(rf"\s*\"?{re.escape(name)}\"?\s*=", line):
                return number
        return heading


def _rollout(source: _Source, table: _RolloutTable) -> Rollout:
    def amount(name: str) -> Amount:
        return source.amount("rollout", name, getattr(table, name))

    return Rollout(
        mode=table.mode,
        canary=table.canary,
        waves=tuple(source.amount("rollout", "waves", one) for one in table.waves),
        max_surge=amount("max_surge"),
        max_unavailable=amount("max_unavailable"),
        min_ready=amount("min_ready"),
        bake_seconds=source.seconds("rollout", "bake", table.bake),
        max_failed=amount("max_failed"),
        rollback=table.rollback,
        approval=table.approval,
    )


def _health(source: _Source, table: _HealthTable) -> Health:
    target = str(table.target)
    needs = {"port", "http", "command"}
    if table.kind in needs and not target:
        source.refuse("health", "target", f"says what {table.kind} is to look at")
    return Health(table.kind, target, source.seconds("health", "within", table.within))


def _drain(source: _Source, table: _DrainTable) -> DrainPolicy:
    grace = source.seconds("drain", "grace", table.grace)
    return DrainPolicy(table.wait_for_logoff, grace, table.force)


def _options(source: _Source, told: Any) -> dict[str, str]:
    """The driver's own settings, as texts."""
    if not isinstance(told, dict):
        source.refuse("options", "", "is a table")
    for name, value in told.items():
        if not isinstance(value, str | int | bool):
            source.refuse("options", name, "is a text, a number or true or false")
    return {
        name: str(value).lower() if value is True or value is False else str(value)
        for name, value in told.items()
    }
