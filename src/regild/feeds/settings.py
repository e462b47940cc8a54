"""What a site writes under [feeds] in its regild.toml.

    [feeds]
    allow = ["mirror.example", "10.0.0.0/8"]
    offline = "/srv/mirror"
    max_age_days = 30
    logins = ["/etc/apt/auth.conf.d", "netrc"]
    advisories = ["/srv/advisories", "https://mirror.example/osv/Debian/all.zip"]
    advisory_hours = 6
    answer_seconds = 60
    slowest_bytes = 4096
    [feeds.mirrors]
    "http://deb.example/debian" = "https://mirror.example/debian"
    [feeds.keys]
    "http://vendor.example" = ["0123456789ABCDEF0123456789ABCDEF01234567"]
    [feeds.access."https://mirror.example"]
    proxy = "http://proxy.example:3128"
    ca = "ca.pem"
    certificate = "client.pem"
    key = "client.key"

Names and passwords stand in files of their own (netrc, auth.conf), which only the reader of the
network opens; this file and what is made from it hold none.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import msgspec

from regild.errors import Malformed, SettingRefused
from regild.feeds.policy import ENTRIES_LIMIT, SignedBy, SitePolicy, with_options
from regild.host.address import Access
from regild.host.files import read_limited
from regild.model.toml_lines import read_toml

POLICY_LIMIT = 1 << 20
_FINGERPRINT = re.compile(r"[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64}")


class AccessTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to reach the addresses that begin with a text."""

    proxy: str = ""
    """A proxy's address, or `none`; without it the environment decides."""
    ca: str = ""
    """A file of certificates in PEM that vouch for the server, in place of the machine's own."""
    certificate: str = ""
    """The client's certificate in PEM; perhaps with its key in the same file."""
    key: str = ""


class FeedsTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[feeds]`."""

    mirrors: dict[str, str] = {}
    allow: list[str] = []
    offline: str = ""
    max_age_days: float = 0
    logins: list[str] = []
    advisories: list[str] = []
    advisory_hours: float = 6
    answer_seconds: Annotated[float, msgspec.Meta(gt=0)] = 60
    slowest_bytes: Annotated[int, msgspec.Meta(gt=0)] = 4096
    keys: dict[str, list[str]] = {}
    access: dict[str, AccessTable] = {}


def read_policy(path: Path) -> SitePolicy:
    """The policy in a site's regild.toml; only its [feeds] table is looked at here.

    Raises: MissingFile, SettingRefused for what is not TOML or not a setting.
    """
    text = read_limited(path, POLICY_LIMIT)
    try:
        table = read_toml(text, str(path)).get("feeds", {})
    except Malformed as error:
        raise SettingRefused(what=f"{path}: {error.why}") from error
    if not isinstance(table, dict):
        raise SettingRefused(what=f"{path}: [feeds] is a table: write [feeds]")
    try:
        told = msgspec.convert(table, FeedsTable)
    except msgspec.ValidationError as error:
        raise SettingRefused(what=f"{path}: {_told(error)}") from error
    if max(map(len, (told.mirrors, told.allow, told.keys, told.access))) > ENTRIES_LIMIT:
        raise SettingRefused(what=f"{path}: [feeds] holds more than {ENTRIES_LIMIT} entries")
    if told.max_age_days < 0 or told.advisory_hours < 0:
        raise SettingRefused(what=f"{path}: [feeds] an age is never below 0")
    here = path.absolute().parent
    stated = SitePolicy(
        offline=_placed(told.offline, here),
        max_age_days=told.max_age_days,
        logins=tuple(_placed(one, here) for one in told.logins),
        advisories=tuple(_placed(one, here) for one in told.advisories),
        advisory_hours=told.advisory_hours,
        answer_seconds=told.answer_seconds,
        slowest_bytes=told.slowest_bytes,
        keys=tuple(_signed_by(begin, named, path) for begin, named in told.keys.items()),
        access=tuple(_access(begin, one, path, here) for begin, one in told.access.items()),
    )
    mirrors = [f"{one}={told.mirrors[one]}" for one in told.mirrors]
    return with_options(stated, mirrors=mirrors, allow=told.allow)


def _told(error: msgspec.ValidationError) -> str:
    """The setting that is wrong and why, or those that there are."""
    why, _, place = str(error).partition(" - at `$")
    setting = place.rstrip("`").lstrip(".")
    if "unknown field" in why:
        kind = AccessTable if setting.startswith("access") else FeedsTable
        why += f"; there are {', '.join(kind.__struct_fields__)}"
    named = f" {setting}" if setting else ""
    return f"[feeds]{named}: {why[0].lower()}{why[1:]}"


def _placed(place: str, here: Path) -> str:
    """A path from the file's own folder, absolute; an address as it is."""
    return place if "://" in place or not place else str((here / place).absolute())


def _signed_by(begins: str, named: list[str], path: Path) -> SignedBy:
    wrong = [one for one in named if not _FINGERPRINT.fullmatch(one.replace(" ", ""))]
    if wrong or not named:
        what = f"{path}: [feeds.keys] {begins!r} must be a list of whole fingerprints"
        raise SettingRefused(what=what)
    return SignedBy(begins, tuple(one.replace(" ", "").lower() for one in named))


def _access(begins: str, told: AccessTable, path: Path, here: Path) -> Access:
    """One table of [feeds.access].

    Raises: SettingRefused.
    """
    if not begins.startswith(("http://", "https://")):
        what = (
            f"{path}: [feeds.access] {begins!r} is no address: it begins with https:// or http://"
        )
        raise SettingRefused(what=what)
    if told.proxy not in ("", "none") and not re.match("https?://[^@]+$", told.proxy):
        # The text may hold a password, so it is not repeated.
        what = (
            f"{path}: [feeds.access] the proxy for {begins} is an address without name and password"
            "; those stand in a file under logins"
        )
        raise SettingRefused(what=what)
    if told.key and not told.certificate:
        raise SettingRefused(what=f"{path}: [feeds.access] {begins} has a key and no certificate")
    files = [_placed(one, here) for one in (told.ca, told.certificate, told.key)]
    return Access(begins, told.proxy, *files)
