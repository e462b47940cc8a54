"""The image proposes, the site decides: which addresses that an image names may be read, and where
they are read instead.

The site speaks through `regild.toml` (`regild.feeds.settings`), through the command line, and
through the sources of the machine's own apt, which count as allowed.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import SplitResult, quote, unquote, urlsplit

from msgspec.structs import replace

from regild.errors import HostError, SourceRefused, UsageError
from regild.host.address import (
    SCHEMES,
    Access,
    IpAddress,
    Network,
    Reach,
    is_below,
    is_local_name,
    is_public,
    literal_address,
)
from regild.host.run import run
from regild.model.content import Value
from regild.model.uri import without_credentials

ENTRIES_LIMIT = 1000
ENTRY_LIMIT = 2000
ADDRESS_LIMIT = 2000

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?\.?)(:[0-9]{1,5})?")


class Mirror(Value, frozen=True):
    """What stands for addresses that begin with `replaces`."""

    replaces: str
    by: str


class SignedBy(Value, frozen=True):
    """The only keys that may sign sources whose addresses begin with a text."""

    begins: str
    fingerprints: tuple[str, ...]
    """Whole ones, lower-case hexadecimal."""


class SitePolicy(Value, frozen=True):
    """What this site lets regild read."""

    mirrors: tuple[Mirror, ...] = ()
    """The longest match counts."""
    allow: tuple[str, ...] = ()
    """Host names (`name` or `name:port`), networks (`10.0.0.0/8`), addresses that begin with a
    text (`http://...`), folders."""
    offline: str = ""
    """A folder with the repositories' files; then nothing is fetched."""
    max_age_days: float = 0
    """How old a release without an end of its validity may be; 0 for any age."""
    logins: tuple[str, ...] = ()
    """Files of names and passwords (netrc, auth.conf), or folders of such; never what they hold."""
    keys: tuple[SignedBy, ...] = ()
    access: tuple[Access, ...] = ()
    """The longest match counts."""
    advisories: tuple[str, ...] = ()
    """Files, folders and addresses of advisories."""
    advisory_hours: float = 6
    """How old a fetched feed of advisories may be before it is fetched again."""
    as_of: str = ""
    """A moment (RFC 3339, UTC): what repositories offered then is wanted, not what they do now."""
    answer_seconds: float = 60.0
    """How long a server may take until the head of its answer is there, in all."""
    slowest_bytes: int = 4096
    """Bytes each second, below which a transfer is given up, after a minute's grace."""
    accept_older: bool = False
    """Take repositories that are older than they were before; said on the command line only."""


class Address(NamedTuple):
    """Where to read what an image's address names."""

    url: str
    approved: bool
    """The site, not only the image, names it."""


def with_options(
    policy: SitePolicy,
    mirrors: Iterable[str] = (),
    allow: Iterable[str] = (),
    offline: Path | None = None,
) -> SitePolicy:
    """A policy with what the command line adds: `FROM=TO` mirrors, allowed entries, a folder.

    Raises: UsageError.
    """
    added = tuple(map(_read_mirror, mirrors))
    return replace(
        policy,
        mirrors=(*added, *policy.mirrors),
        allow=_checked((*policy.allow, *allow)),
        offline=str(offline.absolute()) if offline else policy.offline,
    )


def with_advisories(policy: SitePolicy, places: Iterable[str]) -> SitePolicy:
    """A policy with further feeds of advisories: paths, or addresses."""
    named = (one if "://" in one else str(Path(one).absolute()) for one in places)
    return replace(policy, advisories=tuple(dict.fromkeys((*policy.advisories, *named))))


def signers_of(uri: str, policy: SitePolicy) -> tuple[str, ...]:
    """The fingerprints that alone may sign a source at an address; none: the image's keys decide.

    The longest match counts.
    """
    fitting = [one for one in policy.keys if is_below(uri, one.begins)]
    best = max(fitting, key=lambda one: len(one.begins.rstrip("/")), default=None)
    return best.fingerprints if best else ()


def decide(uri: str, policy: SitePolicy) -> tuple[Address, ...]:
    """The places to try in turn for an address that an image names; a pure function.

    Raises: SourceRefused with the reason.
    """
    split = _split(uri)
    if policy.offline:
        return tuple(_offline_places(uri, policy.offline))
    mapped = _mapped(uri, policy.mirrors)
    if mapped is not None:
        return (Address(mapped, approved=True),)
    if any(_covers(entry, uri) for entry in policy.allow):
        return (Address(uri, approved=True),)
    if split.scheme not in SCHEMES:
        raise SourceRefused(where=uri, why=f"{split.scheme}: addresses need the site's consent")
    name = split.hostname or ""
    literal = literal_address(name)
    if literal is not None and not _is_allowed(literal, policy):
        raise SourceRefused(where=uri, why=f"{name} is not a public address")
    if literal is None and is_local_name(name):
        raise SourceRefused(where=uri, why=f"{name} is a local name")
    return (Address(uri, approved=False),)


def looked_in(uri: str, policy: SitePolicy) -> str:
    """Where an address is looked for, as a sentence names it.

    Raises: SourceRefused.
    """
    if policy.offline:
        return f"the folder {policy.offline}"
    return without_credentials(decide(uri, policy)[0].url)


def reach_of(policy: SitePolicy) -> Reach:
    """What the reader of the network needs to know of a policy."""
    if policy.offline:
        return Reach(folders=(Path(policy.offline),))
    logins = tuple(Path(one) for one in policy.logins)
    addresses = [mirror.by for mirror in policy.mirrors]
    entries = [*policy.allow, *addresses]
    networks = [network for entry in policy.allow if (network := _network(entry))]
    hosts = [_host_of(entry) for entry in entries]
    folders = [folder for entry in entries if (folder := _folder(entry))]
    names = frozenset(filter(None, hosts))
    pace = policy.answer_seconds, policy.slowest_bytes
    return Reach(names, tuple(networks), tuple(folders), policy.access, logins, *pace)


def machine_sources() -> tuple[str, ...]:
    """The addresses that the machine's own apt is configured with; none where there is no apt.

    apt is asked for what it would fetch, which it tells also where it has fetched nothing yet;
    nothing is fetched.
    """
    line = ["apt-get", "update", "--print-uris"]
    try:
        said = run(line, purpose="to know this machine's own sources", timeout_seconds=60).stdout
    except HostError:
        return ()
    return tuple(sorted(set(_bases(said.decode(errors="replace")))))


def _bases(said: str) -> Iterator[str]:
    """The repositories' addresses among those of release files, one in quotes on each line."""
    for line in said.splitlines():
        uri = line.split("'")[1] if line.count("'") == 2 else ""
        top, slash, name = uri.rpartition("/")
        if name == "InRelease" and uri.startswith(("http://", "https://")):
            yield top.partition("/dists/")[0] + slash


def _split(uri: str) -> SplitResult:
    """The parts of an address that an image names.

    Raises: SourceRefused for what could mean two things to two readers.
    """
    shown = without_credentials(uri)
    if len(uri) > ADDRESS_LIMIT or not uri.isascii() or not uri.isprintable() or " " in uri:
        raise SourceRefused(where=shown[:80], why="its address is not plain text")
    try:
        split = urlsplit(uri)
        port = split.port
    except ValueError as error:
        raise SourceRefused(where=shown, why="its address is not valid") from error
    if split.query or split.fragment or "\\" in uri or port == 0:
        raise SourceRefused(where=shown, why="its address is not valid")
    if ".." in unquote(split.path).split("/"):
        raise SourceRefused(where=shown, why="its address leads upwards")
    if split.scheme in SCHEMES and not _HOST.fullmatch(split.netloc.lower()):
        raise SourceRefused(where=shown, why="the host of its address is not valid")
    return split


def _mapped(uri: str, mirrors: Iterable[Mirror]) -> str | None:
    """The address with its longest known beginning replaced; None where no mirror fits."""
    fitting = [mirror for mirror in mirrors if is_below(uri, mirror.replaces)]
    if not fitting:
        return None
    best = max(fitting, key=lambda mirror: len(mirror.replaces.rstrip("/")))
    rest = uri[len(best.replaces.rstrip("/")) :].lstrip("/")
    folder = _folder(best.by)
    by = f"file://{quote(str(folder))}" if folder else best.by.rstrip("/")
    return f"{by}/{rest}"


def _covers(entry: str, uri: str) -> bool:
    """Whether an entry of `allow` speaks of an address."""
    folder = _folder(entry)
    if folder is not None:
        path = urlsplit(uri).path if uri.startswith(("file:", "copy:")) else ""
        return bool(path) and Path(unquote(path)).is_relative_to(folder)
    if "://" in entry:
        return is_below(uri, entry)
    split = urlsplit(uri)
    port = split.port or SCHEMES.get(split.scheme, 0)
    return bool({split.hostname, f"{split.hostname}:{port}"} & {_host_of(entry)})


def _offline_places(uri: str, folder: str) -> Iterator[Address]:
    """The file under the folder, by the full address first and then by ever shorter ends of it."""
    split = urlsplit(uri)
    parts = [part for part in unquote(split.path).split("/") if part not in ("", ".")]
    rows = [[split.hostname, *parts]] if split.hostname else []
    rows += [parts[start:] for start in range(len(parts))]
    for row in rows:
        yield Address(f"file://{quote('/'.join((folder.rstrip('/'), *row)))}", approved=True)


def _is_allowed(address: IpAddress, policy: SitePolicy) -> bool:
    networks = [network for entry in policy.allow if (network := _network(entry))]
    return is_public(address) or any(address in network for network in networks)


def _network(entry: str) -> Network | None:
    try:
        return ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        return None


def _folder(entry: str) -> Path | None:
    if entry.startswith("/"):
        return Path(entry)
    return Path(unquote(urlsplit(entry).path)) if entry.startswith("file:") else None


def _host_of(entry: str) -> str:
    """The host that an entry names, as `name` or `name:port`; nothing for a folder or network."""
    if _folder(entry) is not None:
        return ""
    if "://" not in entry:
        return "" if "/" in entry else entry.lower()
    split = urlsplit(entry)
    return f"{split.hostname}:{split.port or SCHEMES.get(split.scheme, 0)}"


# --- what the site wrote


def _read_mirror(text: str) -> Mirror:
    """Read `FROM=TO`."""
    replaces, equals, by = text.partition("=")
    good = by.startswith(("http://", "https://", "file:/", "/"))
    if not equals or not re.match("[a-z+]+:", replaces) or not good or not _is_text(text):
        what = f"the mirror {text!r} is not FROM=TO with two addresses, TO perhaps a folder's path"
        raise UsageError(what=what)
    return Mirror(replaces, by)


def _checked(allow: tuple[str, ...]) -> tuple[str, ...]:
    for entry in allow:
        plain = (
            "://" in entry or _folder(entry) or _network(entry) or _HOST.fullmatch(entry.lower())
        )
        if not plain or not _is_text(entry):
            what = f"{entry!r} cannot be allowed: name a host, network, address or absolute folder"
            raise UsageError(what=what)
    return tuple(dict.fromkeys(allow))


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= ENTRY_LIMIT and value.isprintable()
