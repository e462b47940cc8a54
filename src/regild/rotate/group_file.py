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
from collections.abc import Callable
from typing import Any

import msgspec

from regild.errors import GroupRefused, Malformed
from regild.model.rotation import (
    Amount,
    Approval,
    DrainPolicy,
    Group,
    Health,
    HealthKind,
    Replacement,
    RequestPolicy,
    Rollout,
)
from regild.model.toml_lines import read_toml
from regild.rotate.settings_text import SettingsText

SIZE_LIMIT = 10_000
LAST_PORT = 65535
PORTS = {"port": "a port such as 8080", "http": "a port and a path such as 8080/healthy"}
"""Kinds of health that ask at a port, and what their target is."""
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


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


class _RequestTable(msgspec.Struct, forbid_unknown_fields=True):
    policy: RequestPolicy = "settled"


TABLES: dict[str, type[msgspec.Struct]] = {
    "group": _GroupTable,
    "rollout": _RolloutTable,
    "health": _HealthTable,
    "drain": _DrainTable,
    "calendar": _CalendarTable,
    "request": _RequestTable,
}


def read_group(text: str, where: str, read: Callable[[str], str]) -> Group:
    """A group as its file says; `read` gives the text of a calendar that the file names.

    Raises: GroupRefused with the line and what is wrong there; what `read` raises.
    """
    try:
        told = read_toml(text, where)
    except Malformed as error:
        raise GroupRefused(where=where, why=error.why) from error
    source = SettingsText(text, where, _refused)
    for name in told:
        if name not in (*TABLES, "options"):
            source.refuse(name, "", f"is not a table; there are {', '.join(TABLES)}, options")
    group: _GroupTable = source.table(told.get("group", {}), "group", _GroupTable)
    calendar: _CalendarTable = source.table(told.get("calendar", {}), "calendar", _CalendarTable)
    request: _RequestTable = source.table(told.get("request", {}), "request", _RequestTable)
    found = Group(
        group.name,
        group.image,
        group.channel,
        group.driver,
        group.size,
        rollout=_rollout(source, source.table(told.get("rollout", {}), "rollout", _RolloutTable)),
        health=_health(source, source.table(told.get("health", {}), "health", _HealthTable)),
        drain=_drain(source, source.table(told.get("drain", {}), "drain", _DrainTable)),
        request=request.policy,
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


def _refused(where: str, why: str) -> GroupRefused:
    return GroupRefused(where=where, why=why)


def _rollout(source: SettingsText, table: _RolloutTable) -> Rollout:
    def amount(name: str) -> Amount:
        return source.amount("rollout", name, getattr(table, name), SIZE_LIMIT)

    return Rollout(
        mode=table.mode,
        canary=table.canary,
        waves=tuple(source.amount("rollout", "waves", one, SIZE_LIMIT) for one in table.waves),
        max_surge=amount("max_surge"),
        max_unavailable=amount("max_unavailable"),
        min_ready=amount("min_ready"),
        bake_seconds=source.seconds("rollout", "bake", table.bake),
        max_failed=amount("max_failed"),
        rollback=table.rollback,
        approval=table.approval,
    )


def _health(source: SettingsText, table: _HealthTable) -> Health:
    target = str(table.target)
    needs = {"port", "http", "command"}
    if table.kind in needs and not target:
        source.refuse("health", "target", f"says what {table.kind} is to look at")
    if table.kind in PORTS and not _has_port(target, table.kind):
        source.refuse("health", "target", f"is {PORTS[table.kind]}, not {target!r}")
    return Health(table.kind, target, source.seconds("health", "within", table.within))


def _has_port(target: str, kind: str) -> bool:
    """Whether a target is a port, and for `http` perhaps a path behind it."""
    port, slash, _ = target.partition("/")
    right = port.isascii() and port.isdigit() and 0 < int(port) <= LAST_PORT
    return right and (kind == "http" or not slash)


def _drain(source: SettingsText, table: _DrainTable) -> DrainPolicy:
    grace = source.seconds("drain", "grace", table.grace)
    return DrainPolicy(table.wait_for_logoff, grace, table.force)


def _options(source: SettingsText, told: Any) -> dict[str, str]:
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
