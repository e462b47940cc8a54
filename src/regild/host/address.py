"""Internet addresses as values: what a URL names, and which addresses are public (IANA's special
purpose registries, RFC 6890)."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec

from regild.errors import SourceRefused
from regild.host.deadline import SLOWEST_BYTES
from regild.model.uri import without_credentials

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

SCHEMES = {"http": 80, "https": 443}
NAT64 = ipaddress.ip_network("64:ff9b::/96")
LOCAL_NAMES = ("localhost", "local", "internal", "localdomain", "home.arpa", "lan")
"""Last parts of names that a proxy must not be asked for (RFC 6761, 6762, 8375, and usage)."""


class Access(msgspec.Struct, frozen=True):
    """How addresses that begin with a text are reached; empty where the machine's own way is."""

    begins: str
    proxy: str = ""
    """A proxy's address without name and password, or `none`."""
    ca: str = ""
    certificate: str = ""
    key: str = ""


class Reach(msgspec.Struct, frozen=True):
    """Which addresses that are not public the site lets regild read."""

    hosts: frozenset[str] = frozenset()
    """`name` or `name:port`, lower case; counts only for requests that are `approved`."""
    networks: tuple[Network, ...] = ()
    folders: tuple[Path, ...] = ()
    access: tuple[Access, ...] = ()
    """The longest match counts."""
    logins: tuple[Path, ...] = ()
    """Files of names and passwords (`regild.host.login`), or folders of such."""
    answer_seconds: float = 60.0
    """How long a server may take until there is a head to read, in all."""
    slowest_bytes: int = SLOWEST_BYTES
    """Bytes each second, below which a transfer is given up, after some grace."""


class Host(NamedTuple):
    """The server that a URL names; `port` is the scheme's own where the URL states none."""

    scheme: str
    name: str
    port: int

    @property
    def shown(self) -> str:
        """The host as a `Host` header has it."""
        name = f"[{self.name}]" if ":" in self.name else self.name
        return name if self.port == SCHEMES[self.scheme] else f"{name}:{self.port}"


def read_host(url: str) -> Host:
    """The server that an http or https URL names.

    Raises: SourceRefused.
    """
    try:
        split = urlsplit(url)
        name, port = split.hostname or "", split.port
    except ValueError as error:
        shown = without_credentials(url)
        raise SourceRefused(where=shown, why="its address is not valid") from error
    if split.scheme not in SCHEMES or not name or "@" in split.netloc:
        why = "only plain http and https addresses can be read"
        raise SourceRefused(where=without_credentials(url), why=why)
    return Host(split.scheme, name.lower(), SCHEMES[split.scheme] if port is None else port)


def is_public(address: IpAddress) -> bool:
    """Whether an address is one of the public internet, also where it wraps an IPv4 address."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        if address.teredo is not None or address.is_site_local:
            return False
    return address.is_global and not (
        address.is_multicast or address.is_reserved or address.is_unspecified
    )


def literal_address(name: str) -> IpAddress | None:
    """The address that a host name spells, also in the old forms such as `127.1`; None for a real
    name."""
    with suppress(ValueError):
        return ipaddress.ip_address(name.strip("[]").partition("%")[0])
    with suppress(OSError, ValueError):
        return ipaddress.IPv4Address(socket.inet_aton(name))
    return None


def is_local_name(name: str) -> bool:
    """Whether a host name can only mean something of the local network."""
    plain = name.rstrip(".").lower()
    return "." not in plain or any(
        plain == local or plain.endswith(f".{local}") for local in LOCAL_NAMES
    )


def access_of(url: str, access: Iterable[Access]) -> Access:
    """The way to an address: the longest entry that it begins with."""
    fitting = [one for one in access if is_below(url, one.begins)]
    return max(fitting, key=lambda one: len(one.begins.rstrip("/")), default=Access(""))


def is_below(uri: str, beginning: str) -> bool:
    """Whether an address lies at or below another; names of hosts are compared in lower case."""
    one, two = (_normal(text) for text in (uri, beginning))
    return one == two or one.startswith(f"{two}/")


def _normal(uri: str) -> str:
    scheme, sign, rest = uri.rstrip("/").partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme.lower()}{sign}{host.lower()}{slash}{path}"
