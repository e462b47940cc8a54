"""What this site wants: `regild.toml` and the command line, which beats it.

    cache = "/var/cache/regild"
    cache_limit = 20_000_000_000
    cache_days = 90
    [plan]
    mode = "security"
    hold = ["nginx"]
    [policy]
    keep = ["openssh-server"]
    [recipes]
    folder = "recipes"
    [feeds]
    allow = ["mirror.example", "10.0.0.0/8"]
    offline = "/srv/mirror"
    [feeds.mirrors]
    "http://deb.example/debian" = "http://mirror.example/debian"

    [test]
    boot = true
    expect = ["unit:ssh.service", "http:80/health"]

An unknown key is an error, because a misspelled wish is worse than none. `[feeds]` is read by
`regild.feeds.settings`, `[agent]` by `regild.agent.policy_file`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

import msgspec

from regild.errors import SettingRefused, UsageError
from regild.feeds import policy
from regild.feeds.policy import SitePolicy
from regild.feeds.settings import read_policy
from regild.host.files import home_folder, read_limited
from regild.model.digest import Digest
from regild.model.health import Wanted, read_expectations
from regild.model.plan import CarrierWish, MethodWish, Mode
from regild.plan.wishes import Policy, Wishes

FILE = "regild.toml"
MAX_BYTES = 1 << 20
CHOICES: dict[str, tuple[str, ...]] = {
    "mode": get_args(Mode),
    "method": get_args(MethodWish),
    "carrier": get_args(CarrierWish),
}
CONTRADICTIONS = {"offline": ("boot",), "boot": ("record", "uml", "vm")}
"""A method, and the carriers that are not of it."""
PARTS = (
    "cache",
    "cache_limit",
    "cache_days",
    "plan",
    "policy",
    "feeds",
    "store",
    "agent",
    "recipes",
    "test",
)


class CacheBounds(msgspec.Struct, frozen=True):
    """How much of the cache is kept (`cache_limit`, `cache_days`)."""

    cache_limit: Annotated[int, msgspec.Meta(ge=0)] = 20_000_000_000
    """Bytes, indexes not counted: what some hundred updates of a server bring; 0: any number."""
    cache_days: Annotated[float, msgspec.Meta(ge=0)] = 90
    """What was not used for so long goes; 0: never."""


class RecipeSettings(msgspec.Struct, frozen=True):
    """`[recipes]`: whose recipes count, and those that the command line names."""

    folder: Path | None = None
    """The site's own recipes, `NAME.recipe.toml`."""
    allow: tuple[Digest, ...] = ()
    """Digests of recipes that came with images and may run."""
    files: tuple[Path, ...] = ()


class _RecipesTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    folder: str = ""
    allow: tuple[str, ...] = ()


class BootTesting(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the site wants of test boots ([test])."""

    boot: bool = False
    """Every update ends with one."""
    expect: tuple[str, ...] = ()
    """What is expected of every guest, as `--expect` has it."""
    own_commands: bool = True
    """Commands that an image's descriptor names as its tests are expected to work too."""
    seconds: int = 600

    def wanted(self, expect: Iterable[str], seconds: int | None) -> Wanted:
        """What is wanted of one test boot, with a command line's wishes added.

        Raises: UsageError.
        """
        expectations = read_expectations((*self.expect, *expect))
        return Wanted(expectations, self.own_commands, seconds or self.seconds)


class Site(msgspec.Struct, frozen=True):
    """Everything that a site says, with defaults for what it does not."""

    plan: Wishes = Wishes()
    feeds: SitePolicy = SitePolicy()
    kept: Path | None = None
    """The `cache` that it names."""
    policy: Policy = Policy()
    test: BootTesting = BootTesting()
    plan_trust: Path | None = None
    """Keys or certificates in PEM (`trust` under [plan]); then `update --plan` takes only what one
    of them signed."""
    recipes: RecipeSettings = RecipeSettings()
    bounds: CacheBounds = CacheBounds()

    @property
    def cache(self) -> Path:
        """Where indexes and packages are kept: as told, or the user's cache (XDG base directory
        0.8)."""
        if self.kept is not None:
            return self.kept
        told = os.environ.get("XDG_CACHE_HOME", "")
        return (Path(told) if told.startswith("/") else home_folder() / ".cache") / "regild"


T = TypeVar("T", bound=msgspec.Struct)


def site_file(path: Path | None) -> Path | None:
    """The site's file: the one that was named, or ./regild.toml; None where there is none.

    What has the name and cannot be read, such as a link that leads nowhere, is not passed over:
    without the site's wishes more would be allowed than it allows.

    Raises: UsageError.
    """
    file = path or Path(FILE)
    if path is None and not file.is_file():
        if os.path.lexists(file):
            raise UsageError(what=f"{file} is no file that can be read: put it right or remove it")
        return None
    return file


def read_site(path: Path | None = None) -> Site:
    """The site's wishes from a file; without a name, from ./regild.toml if it is there.

    Paths in it are relative to its own folder.

    Raises: UsageError, naming the place; MissingFile for a name that was given.
    """
    file = site_file(path)
    if file is None:
        return Site()
    import tomllib  # most images are planned for without such a file

    try:
        told = tomllib.loads(read_limited(file, MAX_BYTES).decode())
        table = told.get("plan", {})
        trust = msgspec.convert(table.pop("trust", None), str | None)
        plan = _table(file, "plan", table, Wishes)
        allowed = _table(file, "policy", told.get("policy", {}), Policy)
        testing = _table(file, "test", told.get("test", {}), BootTesting)
        cache = msgspec.convert(told.get("cache"), str | None)
        bounds = msgspec.convert(told, CacheBounds)
        recipes = _table(file, "recipes", told.get("recipes", {}), _RecipesTable)
    # Of TOML, UTF-8 and msgspec; and where [plan] is no table at all.
    except (ValueError, RecursionError, AttributeError) as error:
        raise SettingRefused(what=f"{file}: {error}") from error
    unknown = sorted(set(told) - set(PARTS))
    if unknown:
        raise SettingRefused(
            what=f"{file}: {unknown[0]} is not a setting; there are {', '.join(PARTS)}"
        )
    kept, trusted = (file.parent / one if one else None for one in (cache, trust))
    named = _recipes(recipes, file)
    return Site(plan, read_policy(file), kept, allowed, testing, trusted, named, bounds)


def _table(file: Path, name: str, table: object, kind: type[T]) -> T:
    """One table of the file.

    Raises: SettingRefused, naming the setting, or those that there are.
    """
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        why, _, place = str(error).partition(" - at `$")
        setting = f"[{name}] {place.rstrip('`').lstrip('.')}".strip()
        if "unknown field" in why:
            why += f"; there are {', '.join(kind.__struct_fields__)}"
        raise SettingRefused(what=f"{file}: {setting}: {why[0].lower()}{why[1:]}") from error


def _recipes(table: _RecipesTable, file: Path) -> RecipeSettings:
    """The settings of recipes.

    Raises: UsageError for a digest that is none.
    """
    for one in table.allow:
        if not re.fullmatch("sha256:[0-9a-f]{64}", one):
            raise UsageError(what=f"{file}: [recipes] allow: {one[:80]!r} is no sha256: digest")
    folder = file.parent / table.folder if table.folder else None
    return RecipeSettings(folder, tuple(map(Digest, table.allow)))


def with_options(
    site: Site,
    *,
    mode: str | None = None,
    method: str | None = None,
    carrier: str | None = None,
    mirror: Sequence[str] = (),
    offline: Path | None = None,
    allow: Sequence[str] = (),
    hold: Sequence[str] = (),
    only: Sequence[str] = (),
    exclude: Sequence[str] = (),
    autoremove: bool = False,
    as_of: str = "",
    cache: Path | None = None,
    advisories: Sequence[str] = (),
    accept_older: bool = False,
    recipes: Sequence[Path] = (),
) -> Site:
    """The site's wishes with those of a command line over them; lists are added.

    Raises: UsageError.
    """
    chosen = _chosen(mode=mode, method=method, carrier=carrier)
    plan = msgspec.structs.replace(
        site.plan,
        **chosen,
        hold=(*site.plan.hold, *hold),
        only=(*site.plan.only, *only),
        exclude=(*site.plan.exclude, *exclude),
        autoremove=autoremove or site.plan.autoremove,
    )
    if plan.carrier in CONTRADICTIONS.get(plan.method, ()):
        raise UsageError(what=f"--method {plan.method} and --carrier {plan.carrier} contradict")
    feeds = policy.with_options(site.feeds, mirror, allow, offline)
    feeds = policy.with_advisories(feeds, advisories)
    feeds = msgspec.structs.replace(
        feeds, accept_older=accept_older, as_of=moment_of(as_of) if as_of else feeds.as_of
    )
    named = (*site.recipes.files, *recipes)
    told = msgspec.structs.replace(site.recipes, files=named)
    kept = cache or site.kept
    return msgspec.structs.replace(site, plan=plan, feeds=feeds, kept=kept, recipes=told)


def moment_of(text: str) -> str:
    """The last moment of a day (`2026-05-01`), or a moment in UTC, in the form of a feed's date.

    Raises: UsageError.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(what=f"--as-of is a date such as 2026-05-01, not {text!r}") from error
    if len(text) == len("2026-05-01"):
        found = found.replace(hour=23, minute=59, second=59)
    found = found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    if found.date() > datetime.now(UTC).date():
        raise UsageError(what=f"--as-of {text} lies ahead: what is offered then nobody knows")
    return f"{found:%Y-%m-%dT%H:%M:%SZ}"


def _chosen(**told: str | None) -> dict[str, Any]:
    """The options that were given, each one of those that there are.

    Raises: UsageError.
    """
    for name, value in told.items():
        if value is not None and value not in CHOICES[name]:
            raise UsageError(what=f"--{name} is {', '.join(CHOICES[name])}, not {value}")
    return {name: value for name, value in told.items() if value is not None}


def policy_of(site: Site) -> SitePolicy:
    """Which addresses of an image may be read: what the site says, and the sources that the
    machine's own apt is configured with.

    Raises: UsageError where they are to come from a folder that is not there.
    """
    if site.feeds.offline:
        if not Path(site.feeds.offline).is_dir():
            raise UsageError(what=f"{site.feeds.offline} is no folder to take repositories from")
        return site.feeds
    return policy.with_options(site.feeds, allow=policy.machine_sources())
