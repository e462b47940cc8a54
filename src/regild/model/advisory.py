"""An advisory: a published statement of which releases of a package have a weakness, and which one
fixes it."""

from __future__ import annotations

from typing import Literal

from regild.model.content import Package, Platform, Value
from regild.model.digest import Digest

Severity = Literal["critical", "high", "medium", "low", "negligible", ""]
Status = Literal["affected", "not affected", "under investigation"]

SEVERITIES: tuple[Severity, ...] = ("critical", "high", "medium", "low", "negligible", "")
"""Gravest first; the empty one is not stated."""


class Affected(Value, frozen=True):
    """One package that an advisory speaks of, in one distribution."""

    type: str
    """The purl type; `windows` for a build of Windows, whose name is its version up to the build
    number."""
    ecosystem: str
    """The distribution's release in the words of `ecosystems_of`; empty where the feed is for one
    that it does not name."""
    name: str
    by: Literal["source", "binary"] = "binary"
    """Whether the name and the versions are those of a source package."""
    status: Status = "affected"
    introduced: str = ""
    """First version that has it; empty for every one."""
    fixed: str = ""
    """First version without it; empty where none is known."""
    last: str = ""
    """Last version that has it, where no fix is stated."""
    versions: tuple[str, ...] = ()
    """The very versions that have it, where they are listed one by one."""
    note: str = ""
    """What the publisher says of a fix that is not there, such as `no-dsa`."""


class Advisory(Value, frozen=True):
    """One statement, with all packages that it speaks of."""

    id: str
    severity: Severity = ""
    cves: tuple[str, ...] = ()
    title: str = ""
    published: str = ""
    """RFC 3339, as far as the publisher states it."""
    affected: tuple[Affected, ...] = ()
    exploited: bool = False
    """It says that the weakness is used in attacks."""


class Match(Value, frozen=True):
    """An advisory that speaks of one package, without the others that it speaks of."""

    advisory: Advisory
    affected: Affected


class AdvisoryFeed(Value, frozen=True):
    """One input of advisories as it was read."""

    place: str
    """The file, folder or address, without credentials."""
    kinds: tuple[str, ...]
    """Which formats it holds, such as `osv`."""
    digest: Digest
    date: str = ""
    """Of its newest statement (RFC 3339), where it says."""
    fetched: str = ""
    """When an address was read last; empty for a file."""
    advisories: int = 0


class Weakness(Value, frozen=True):
    """An advisory that holds for what the image will have, whatever the plan does."""

    advisory: str
    package: str
    version: str
    cves: tuple[str, ...] = ()
    severity: Severity = ""
    exploited: bool = False
    fixed: str = ""
    """The version that would fix it; empty where none is known."""
    why: str = ""
    """Why it stays, in words."""


def gravest(severities: tuple[Severity, ...]) -> Severity:
    """The gravest of some severities; empty where none is stated."""
    return min(severities, key=SEVERITIES.index, default="")


def ecosystems_of(platform: Platform) -> frozenset[str]:
    """The names under which feeds speak of a platform: its id, its codename, and its id with each
    form of its version, such as `debian-12` or `alpine-3.20`."""
    numbers = platform.version.split(".")
    versions = {".".join(numbers[:count]) for count in (1, 2) if platform.version}
    named = {f"{platform.id}-{version}" for version in versions}
    return frozenset({name for name in (platform.id, platform.codename, *named) if name})


def source_of(package: Package) -> tuple[str, str]:
    """The name and version of a package's source."""
    return package.source or package.name, package.source_version or package.version


__all__ = [
    "SEVERITIES",
    "Advisory",
    "AdvisoryFeed",
    "Affected",
    "Match",
    "Severity",
    "Status",
    "Weakness",
    "ecosystems_of",
    "gravest",
    "source_of",
]
