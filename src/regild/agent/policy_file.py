"""`[agent]` of regild.toml: what the agent may do by itself, with the line where it is wrong.

[agent]
every = "15m"                        # how often feeds and sources are read
tick = "1m"                          # how often channels and groups are looked at
groups = ["*"]

[agent.images.web]                   # or "*" for every image; the first that fits counts
mode = "security"
channels = ["dev", "canary", "production"]
bake = "2h"
approval = ["production"]
windows = "windows.ics"
targets = ["oci://registry.example/web"]
source = "s3://golden/incoming"

[agent.notify]
webhooks = ["https://hooks.example/regild"]
secret = "hook.key"
mail = ["operators@site.example"]
smtp = "mail.example:25"
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from regild.agent.site import FILE, MAX_BYTES, site_file
from regild.errors import MissingFile, RegildError, UsageError
from regild.host.files import read_limited
from regild.model.plan import Mode
from regild.model.policy import OCCASIONS, AgentPolicy, ImagePolicy, Notices, Occasion
from regild.rotate.calendar import TEXT_LIMIT, read_calendar
from regild.rotate.settings_text import SettingsText

HORIZON_DAYS = 400
"""A window that does not open in so long never opens."""
LEAST_SECONDS = {"every": 10, "tick": 1}
ALL = "agent"


class _AgentTable(msgspec.Struct, forbid_unknown_fields=True):
    every: int | str = "15m"
    tick: int | str = "1m"
    groups: tuple[str, ...] = ("*",)
    images: dict[str, Any] = msgspec.field(default_factory=dict)
    notify: dict[str, Any] = msgspec.field(default_factory=dict)


class _ImageTable(msgspec.Struct, forbid_unknown_fields=True):
    update: bool = True
    mode: Mode | None = None
    channels: tuple[str, ...] = ()
    bake: int | str = 0
    approval: tuple[str, ...] = ()
    windows: str = ""
    freezes: str = ""
    targets: tuple[str, ...] = ()
    targets_channel: str = ""
    source: str = ""
    source_names: str = "*"


class _NotifyTable(msgspec.Struct, forbid_unknown_fields=True):
    webhooks: tuple[str, ...] = ()
    secret: str = ""
    mail: tuple[str, ...] = ()
    smtp: str = "localhost:25"
    sender: str = ""
    on: tuple[Occasion, ...] = OCCASIONS


def read_agent_policy(path: Path | None, now: datetime) -> AgentPolicy:
    """The agent's policy of a site's file; without a name of ./regild.toml, where there is one.
    Paths in it are relative to its own folder.

    Raises: UsageError with the line and what is wrong there, also where nothing says what to do;
    MissingFile.
    """
    file = site_file(path)
    if file is None:
        raise UsageError(what=f"there is no {FILE} that says under [{ALL}] what the agent does")
    try:
        text = read_limited(file, MAX_BYTES).decode()
        told = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(what=f"{file}: {error}") from error
    if ALL not in told:
        raise UsageError(what=f"{file} does not say under [{ALL}] what the agent does")

    def read(name: str) -> str:
        """The text of a file beside the policy."""
        try:
            return read_limited(file.parent / name, TEXT_LIMIT).decode()
        except UnicodeDecodeError as error:
            raise UsageError(what=f"{file.parent / name} is not UTF-8 text") from error

    policy = policy_of_table(told[ALL], SettingsText(text, str(file), _refused), read, now)
    if not policy.notices.secret:
        return policy
    secret = str(file.absolute().parent / policy.notices.secret)
    return replace(policy, notices=replace(policy.notices, secret=secret))


def find_agent_policy(path: Path | None, now: datetime) -> AgentPolicy:
    """The same, where a file that says nothing of the agent is a policy that does nothing.

    Raises: as `read_agent_policy`, but for what is not there.
    """
    file = site_file(path) or Path(FILE)
    try:
        there = ALL in tomllib.loads(read_limited(file, MAX_BYTES).decode())
    except MissingFile:
        if path is not None:
            raise
        there = False
    except (ValueError, RecursionError) as error:
        raise UsageError(what=f"{file}: {error}") from error
    return read_agent_policy(path, now) if there else AgentPolicy()


def policy_of_table(
    told: Any, source: SettingsText, read: Callable[[str], str], now: datetime
) -> AgentPolicy:
    """The policy that a table says; `read` gives the text of a file that it names.

    Raises: UsageError with the line; what `read` raises.
    """
    table = source.table(told, ALL, _AgentTable)
    seconds = {
        name: source.seconds(ALL, name, value)
        for name, value in (("every", table.every), ("tick", table.tick))
    }
    for name, least in LEAST_SECONDS.items():
        if seconds[name] < least:
            source.refuse(ALL, name, f"is at least {least}s")
    images = tuple(_image(source, name, value, read, now) for name, value in table.images.items())
    notices = _notices(source, table.notify)
    return AgentPolicy(seconds["every"], seconds["tick"], table.groups, images, notices)


def policy_for(policy: AgentPolicy, image: str) -> ImagePolicy | None:
    """What is said of an image: by the first of the policy's tables that fits its name."""
    return next((one for one in policy.images if fnmatchcase(image, one.image)), None)


def _image(
    source: SettingsText, name: str, told: Any, read: Callable[[str], str], now: datetime
) -> ImagePolicy:
    where = f"{ALL}.images.{name}"
    table = source.table(told, where, _ImageTable)
    if len(set(table.channels)) != len(table.channels):
        source.refuse(where, "channels", "names one twice")
    for setting in ("approval", "targets_channel"):
        value = getattr(table, setting)
        for one in value if isinstance(value, tuple) else filter(None, [value]):
            if table.channels and one not in table.channels:
                known = ", ".join(table.channels)
                source.refuse(where, setting, f"{one} is none of its channels: {known}")
    windows, freezes = (read(one) if one else "" for one in (table.windows, table.freezes))
    try:
        calendar = read_calendar(windows, freezes, now, now + timedelta(days=HORIZON_DAYS))
    except RegildError as error:
        source.refuse(where, "windows" if table.windows else "freezes", str(error))
    if calendar.next_open(now) is None:
        why = f"opens at no time in the next {HORIZON_DAYS} days, so nothing could ever move"
        source.refuse(where, "windows" if table.windows else "freezes", why)
    return ImagePolicy(
        image=name,
        update=table.update,
        mode=table.mode or "",
        channels=table.channels,
        bake_seconds=source.seconds(where, "bake", table.bake),
        approval=table.approval,
        windows=windows,
        freezes=freezes,
        targets=table.targets,
        targets_channel=table.targets_channel,
        source=table.source,
        source_names=table.source_names,
    )


def _notices(source: SettingsText, told: Any) -> Notices:
    where = f"{ALL}.notify"
    table = source.table(told, where, _NotifyTable)
    for one in table.webhooks:
        if not one.startswith(("https://", "http://")):
            source.refuse(where, "webhooks", f"{one} is no address of a web server")
    for one in (*table.mail, *filter(None, [table.sender])):
        if "@" not in one or any(sign in one for sign in "\r\n <>,"):
            source.refuse(
                where, "mail" if one in table.mail else "sender", f"{one!r} is no address"
            )
    if table.mail and not table.sender:
        source.refuse(where, "sender", "says from whom mail comes, and is not there")
    host, sign, port = table.smtp.rpartition(":")
    if not (host and sign and port.isdigit()):
        source.refuse(where, "smtp", f"is HOST:PORT, not {table.smtp!r}")
    return Notices(table.webhooks, table.secret, table.mail, table.smtp, table.sender, table.on)


def _refused(where: str, why: str) -> UsageError:
    return UsageError(what=f"{where}: {why}")
