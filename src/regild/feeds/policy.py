"""The image proposes, the site decides: which addresses that an image names may be read, and where
they are read instead.

The site speaks through `regild.toml` ([feeds] mirrors, allow, offline), through the command line,
and through the sources of the machine's own apt, which count as allowed.
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import SplitResult, quote, unquote, urlsplit

from regild.errors import HostError, SourceRefused, UsageError
from regild.host.address import (
    SCHEMES,
    IpAddress,
    Network,
    Reach,
    is_local_name,
    is_public,
    literal_address,
)
from regild.host.files import read_limited
from regild.host.run import run
from regild.model.content import Value

POLICY_LIMIT = 1 << 20
ENTRIES_LIMIT = 1000
ENTRY_LIMIT = 2000
ADDRESS_LIMIT = 2000

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?\.?)(:[0-9]{1,5})?")


class Mirror(Value, frozen=True):
    """What stands for addresses that begin with `replaces`."""

    replaces: str
    by: str


class SitePolicy(Value, frozen=True):
    """What this site lets regild read."""

    mirrors: tuple[Mirror, ...] = ()
    """The longest match counts."""
    allow: tuple[str, ...] = ()
    """Host names (`name` or `name:port`), networks (`10.0.0.0/8`), addresses that begin with a
    text (`http://...`), folders."""
    offline: str = ""
    """A folder with the repositories' files; then nothing is fetched."""


class Address(NamedTuple):
    """Where to read what an image's address names."""

    url: str
    approved: bool
    """The site, not only the image, names it."""


def read_policy(path: Path) -> SitePolicy:
    """The policy in a site's regild.toml; only its [feeds] table is looked at here.

    Raises: MissingFile, UsageError for what is not TOML or not a setting.
    """
    text = read_limited(path, POLICY_LIMIT)
    try:
        table = tomllib.loads(text.decode()).get("feeds", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(what=f"{path}: {error}") from error
    if not isinstance(table, dict):
        raise _wrong(path, "feeds", "is a table: write [feeds]")
    known: dict[str, Any] = {"mirrors": {}, "allow": [], "offline": ""}
    for name in table:
        if name not in known:
            raise _wrong(path, name, f"is not a setting; there are {', '.join(known)}")
    mirrors, allow, offline = (table.get(name, empty) for name, empty in known.items())
    if not _is_texts(mirrors, dict) or not all(_is_text(one) for one in mirrors.values()):
        raise _wrong(path, "mirrors", 'is a table of "FROM" = "TO"')
    if not _is_texts(allow, list):
        raise _wrong(path, "allow", "is a list of texts")
    if not (offline == "" or _is_text(offline)):
        raise _wrong(path, "offline", "is the path of a folder")
    stated = SitePolicy(allow=tuple(allow), offline=_absolute(offline, path.parent))
    return with_options(stated, mirrors=[f"{one}={mirrors[one]}" for one in mirrors])


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
    return SitePolicy(
        mirrors=(*added, *policy.mirrors),
        allow=_checked((*policy.allow, *allow)),
        offline=str(offline.absolute()) if offline else policy.offline,
    )


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


def reach_of(policy: SitePolicy) -> Reach:
    """What the reader of the network needs to know of a policy."""
    if policy.offline:
        return Reach(folders=(Path(policy.offline),))
    addresses = [mirror.by for mirror in policy.mirrors]
    entries = [*policy.allow, *addresses]
    networks = [network for entry in policy.allow if (network := _network(entry))]
    hosts = [_host_of(entry) for entry in entries]
    folders = [folder for entry in entries if (folder := _folder(entry))]
    return Reach(frozenset(filter(None, hosts)), tuple(networks), tuple(folders))


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
    if len(uri) > ADDRESS_LIMIT or not uri.isascii() or not uri.isprintable() or " " in uri:
        raise SourceRefused(where=uri[:80], why="its address is not plain text")
    try:
        split = urlsplit(uri)
        port = split.port
    except ValueError as error:
        raise SourceRefused(where=uri, why="its address is not valid") from error
    if split.query or split.fragment or "\\" in uri or port == 0:
        raise SourceRefused(where=uri, why="its address is not valid")
    if ".." in unquote(split.path).split("/"):
        raise SourceRefused(where=uri, why="its address leads upwards")
    if split.scheme in SCHEMES and not _HOST.fullmatch(split.netloc.lower()):
        raise SourceRefused(where=uri, why="the host of its address is not valid")
    return split


def _mapped(uri: str, mirrors: Iterable[Mirror]) -> str | None:
    """The address with its longest known beginning replaced; None where no mirror fits."""
    fitting = [mirror for mirror in mirrors if _begins(uri, mirror.replaces)]
    if not fitting:
        return None
    best = max(fitting, key=lambda mirror: len(mirror.replaces.rstrip("/")))
    rest = uri[len(best.replaces.rstrip("/")) :].lstrip("/")
    folder = _folder(best.by)
    by = f"file://{quote(str(folder))}" if folder else best.by.rstrip("/")
    return f"{by}/{rest}"


def _begins(uri: str, beginning: str) -> bool:
    """Whether an address lies at or below another; names of hosts are compared in lower case."""
    one, two = (_normal(text) for text in (uri, beginning))
    return one == two or one.startswith(f"{two}/")


def _normal(uri: str) -> str:
    scheme, sign, rest = uri.rstrip("/").partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme.lower()}{sign}{host.lower()}{slash}{path}"


def _covers(entry: str, uri: str) -> bool:
    """Whether an entry of `allow` speaks of an address."""
    folder = _folder(entry)
    if folder is not None:
        path = urlsplit(uri).path if uri.startswith(("file:", "copy:")) else ""
        return bool(path) and Path(unquote(path)).is_relative_to(folder)
    if "://" in entry:
        return _begins(uri, entry)
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


def _is_texts(value: object, kind: type[list[Any]] | type[dict[str, Any]]) -> bool:
    return (
        isinstance(value, kind)
        and len(value) <= ENTRIES_LIMIT
        and all(_is_text(one) for one in value)
    )


def _absolute(folder: str, base: Path) -> str:
    return str((base / folder).absolute()) if folder else ""


def _wrong(path: Path, name: str, why: str) -> UsageError:
    return UsageError(what=f"{path}: [feeds] {name} {why}")
