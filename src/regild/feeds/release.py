"""What a repository's Release file says: its names, its dates, and the digest of each index
(Debian repository format, "Release" files)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import msgspec

from regild.errors import Expired, Malformed, NotYetValid, WrongRelease
from regild.model.content import Source, Value
from regild.model.digest import Digest

RELEASE_LIMIT = 16 << 20
FILES_LIMIT = 100_000
NAME_LIMIT = 200
AHEAD = timedelta(seconds=10)
"""How far another clock may be ahead: apt's own default (Acquire::Max-FutureTime, apt.conf(5))."""

SECURITY_LABELS = ("Debian-Security",)
"""The labels of repositories that hold nothing but security updates."""
SECURITY_SUITE = "-security"
"""How the names of such suites end."""

_LISTED = re.compile(r" ([0-9a-f]{64})[ \t]+([0-9]{1,15})[ \t]+(\S+)")


class Listed(Value, frozen=True):
    """One file that a release vouches for."""

    digest: Digest
    bytes: int


class ReleaseFile(Value, frozen=True):
    """A signed release, read."""

    origin: str = ""
    label: str = ""
    suite: str = ""
    codename: str = ""
    version: str = ""
    date: datetime | None = None
    valid_until: datetime | None = None
    architectures: tuple[str, ...] = ()
    components: tuple[str, ...] = ()
    by_hash: bool = False
    all_within: bool = False
    """The index of each architecture also lists the packages for all architectures."""
    not_automatic: bool = False
    """Nothing is taken from it unless it is asked for (NotAutomatic)."""
    upgrades_automatically: bool = False
    """What comes from it is kept up to date from it (ButAutomaticUpgrades)."""
    files: dict[str, Listed] = msgspec.field(default_factory=dict)

    @property
    def security(self) -> bool:
        """Whether the repository holds nothing but security updates."""
        names = (self.suite, self.codename)
        return self.label in SECURITY_LABELS or any(name.endswith(SECURITY_SUITE) for name in names)


def read_release(text: bytes, where: str) -> ReleaseFile:
    """Read a Release file.

    Raises: Malformed.
    """
    try:
        lines = text.decode().splitlines()
    except UnicodeDecodeError as error:
        raise Malformed(where=where, why="it is not UTF-8") from error
    fields = dict(_fields(lines, where))
    words = {name: tuple(fields.get(name, "").split()) for name in ("architectures", "components")}
    return ReleaseFile(
        origin=fields.get("origin", ""),
        label=fields.get("label", ""),
        suite=fields.get("suite", ""),
        codename=fields.get("codename", ""),
        version=fields.get("version", ""),
        date=_date(fields, "date", where),
        valid_until=_date(fields, "valid-until", where),
        architectures=words["architectures"],
        components=words["components"],
        by_hash=fields.get("acquire-by-hash", "").lower() == "yes",
        all_within=fields.get("no-support-for-architecture-all", "") == "Packages",
        not_automatic=fields.get("notautomatic", "").lower() == "yes",
        upgrades_automatically=fields.get("butautomaticupgrades", "").lower() == "yes",
        files=_files(lines, where),
    )


def check_release(release: ReleaseFile, source: Source, now: datetime, where: str) -> None:
    """Check that a release is the one that a source asks for, and still valid.

    A release that gives itself no name at all cannot be told from another of the same key, and
    passes, as it does with apt; so does the folder of a flat repository.

    Raises: WrongRelease, NotYetValid, Expired.
    """
    names = {name for name in (release.suite, release.codename) if name}
    asked = source.suite.strip("/")
    if names and not source.suite.endswith("/") and asked not in names:
        why = f"{asked} was asked for, it is {' or '.join(sorted(names))}"
        raise WrongRelease(where=where, why=why)
    if release.date is not None and release.date > now + AHEAD:
        why = f"it is of {release.date:%Y-%m-%d %H:%M} UTC, and here it is {now:%Y-%m-%d %H:%M} UTC"
        raise NotYetValid(where=where, why=why)
    if release.valid_until is not None and release.valid_until < now:
        why = f"it was valid until {release.valid_until:%Y-%m-%d %H:%M} UTC"
        raise Expired(where=where, why=why)


def _fields(lines: list[str], where: str) -> Iterator[tuple[str, str]]:
    """The fields of one line, by their lower-case names."""
    seen = set()
    for line in lines:
        name, colon, value = line.partition(":")
        if not line or line[0] in " \t":
            continue
        name, value = name.lower(), value.strip()
        if not colon or name in seen:
            raise Malformed(where=where, why=f"the line {line[:60]!r} does not fit a Release file")
        seen.add(name)
        if not value.isprintable():
            raise Malformed(where=where, why=f"its {name} holds control characters")
        limit = NAME_LIMIT if name not in ("architectures", "components", "description") else 10_000
        yield name, value[:limit]


def _date(fields: dict[str, str], name: str, where: str) -> datetime | None:
    """A date of a Release file (RFC 2822), always UTC; None where there is none."""
    if not (text := fields.get(name)):
        return None
    try:
        found = parsedate_to_datetime(text.removesuffix("UTC") + "+0000" if "UTC" in text else text)
        return found.replace(tzinfo=found.tzinfo or UTC).astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        raise Malformed(where=where, why=f"its {name} is not a date: {text[:60]!r}") from error


def _files(lines: list[str], where: str) -> dict[str, Listed]:
    """The files with their SHA-256, by path; weaker digests are not looked at."""
    files: dict[str, Listed] = {}
    within = False
    for line in lines:
        if not line.startswith((" ", "\t")):
            within = line.strip().lower() == "sha256:"
        elif within:
            match = _LISTED.fullmatch(line.replace("\t", " ").rstrip())
            if match is None or len(files) >= FILES_LIMIT:
                raise Malformed(where=where, why=f"it lists {line.strip()[:100]!r}")
            files[match[3]] = Listed(Digest(f"sha256:{match[1]}"), int(match[2]))
    if not files:
        raise Malformed(where=where, why="it lists no file with its SHA-256")
    return files
