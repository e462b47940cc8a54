"""What this site wants: `regild.toml` and the command line, which beats it.

    [plan]
    mode = "security"
    hold = ["nginx"]
    [feeds]
    allow = ["mirror.example"]
    offline = "/srv/mirror"
    cache = "/var/cache/regild"
    [feeds.mirror]
    "http://deb.example/debian" = "http://mirror.example/debian"

An unknown key is an error, because a misspelled wish is worse than none.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import msgspec

from regild.errors import UsageError
from regild.host.files import read_limited
from regild.model.plan import Mode

FILE = "regild.toml"
MAX_BYTES = 1 << 20
MODES: tuple[str, ...] = get_args(Mode)


class PlanWishes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[plan]`: how far an image may change."""

    mode: Mode = "upgrade"
    hold: tuple[str, ...] = ()


class FeedWishes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[feeds]`: where packages come from."""

    allow: tuple[str, ...] = ()
    """Hosts that may be private, local or link-local."""
    mirror: dict[str, str] = {}
    offline: Path | None = None
    cache: Path | None = None


class Site(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that a site says, with defaults for what it does not."""

    plan: PlanWishes = PlanWishes()
    feeds: FeedWishes = FeedWishes()

    @property
    def cache(self) -> Path:
        """Where indexes and packages are kept: as told, or the user's cache (XDG base directory
        0.8)."""
        if self.feeds.cache is not None:
            return self.feeds.cache
        told = os.environ.get("XDG_CACHE_HOME", "")
        return (Path(told) if told.startswith("/") else Path.home() / ".cache") / "regild"


def read_site(path: Path | None = None) -> Site:
    """The site's wishes from a file; without a name, from ./regild.toml if it is there.

    Paths in it are relative to its own folder.

    Raises: UsageError, naming the place; MissingFile for a name that was given.
    """
    file = path or Path(FILE)
    if path is None and not file.is_file():
        return Site()
    try:
        told = tomllib.loads(read_limited(file, MAX_BYTES).decode())
        site = msgspec.convert(told, Site, dec_hook=lambda kind, value: kind(value))
    except (ValueError, TypeError) as error:  # of TOML, UTF-8, msgspec and Path
        raise UsageError(what=f"{file}: {error}") from error
    feeds = msgspec.structs.replace(
        site.feeds,
        offline=file.parent / site.feeds.offline if site.feeds.offline else None,
        cache=file.parent / site.feeds.cache if site.feeds.cache else None,
    )
    return msgspec.structs.replace(site, feeds=feeds)


def with_options(
    site: Site,
    *,
    mode: str | None = None,
    mirror: Sequence[str] = (),
    offline: Path | None = None,
    allow: Sequence[str] = (),
    hold: Sequence[str] = (),
    cache: Path | None = None,
) -> Site:
    """The site's wishes with those of a command line over them; lists are added.

    Raises: UsageError.
    """
    if mode is not None and mode not in MODES:
        raise UsageError(what=f"--mode is {', '.join(MODES)}, not {mode}")
    plan = msgspec.structs.replace(
        site.plan, mode=mode or site.plan.mode, hold=(*site.plan.hold, *hold)
    )
    feeds = msgspec.structs.replace(
        site.feeds,
        allow=(*site.feeds.allow, *allow),
        mirror={**site.feeds.mirror, **dict(map(_mirror, mirror))},
        offline=offline or site.feeds.offline,
        cache=cache or site.feeds.cache,
    )
    return msgspec.structs.replace(site, plan=plan, feeds=feeds)


def _mirror(told: str) -> tuple[str, str]:
    """FROM and TO of `--mirror FROM=TO`; TO may itself hold an equals sign."""
    origin, sign, mirror = told.partition("=")
    if not (origin and sign and mirror):
        raise UsageError(what=f"--mirror is FROM=TO, not {told}")
    return origin, mirror
