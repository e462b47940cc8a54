"""The only reader of the network: bounded, retried, and only to addresses that are allowed.

A host's name is resolved here and the connection made to the address that was checked, so that a
second look-up cannot lead elsewhere; redirects are followed by hand and checked again. Where the
environment names a proxy, the proxy resolves names and the check is on the name alone.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import ipaddress
import logging
import random
import socket
import ssl
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from urllib.parse import urljoin, urlsplit

import httpx

from regild.errors import DigestMismatch, DiskFull, FeedUnreachable, SourceRefused, TooLarge
from regild.host.files import open_new, translated
from regild.model.digest import Digest

log = logging.getLogger("regild.fetch")

REDIRECTS_MAX = 5
TIMEOUTS = httpx.Timeout(20.0, connect=10.0)
ATTEMPTS = 3
PAUSE_SECONDS = 0.5
"""Before the second attempt; doubled, with chance, before the third."""
PIECE_BYTES = 1 << 18
RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers that may be another one in a moment (RFC 9110, RFC 6585)."""


class NotThere(FeedUnreachable):
    """The server says that it has no such file."""

    retryable = False
    sentence = "the repository does not have {where}: {why}"


@dataclass
class Fetcher:
    """Reads http, https and allowed files; `is_allowed` says which hosts may be private ones."""

    is_allowed: Callable[[str], bool]
    folders: tuple[Path, ...] = ()
    """Folders that `file:` addresses may lie in."""
    pause_seconds: float = PAUSE_SECONDS
    _clients: dict[str, httpx.Client] = field(default_factory=dict)

    def __enter__(self) -> Fetcher:
        return self

    def __exit__(self, *_error: object) -> None:
        for client in self._clients.values():
            client.close()

    def read(self, url: str, limit: int) -> bytes:
        """A small file's bytes.

        Raises: NotThere, FeedUnreachable, SourceRefused, TooLarge.
        """
        parts: list[bytes] = []
        self._try(url, limit, parts.append, parts.clear)
        return b"".join(parts)

    def save(
        self, url: str, path: Path, size: int, digest: Digest, advance: Callable[[int], None]
    ) -> None:
        """Put a file of known size and SHA-256 under a name, whole and checked or not at all.

        Raises: NotThere, FeedUnreachable, SourceRefused, DigestMismatch, DiskFull.
        """
        with open_new(path) as file:
            taking = _Taking(file, advance)
            self._try(url, size, taking.take, taking.restart)
            if taking.count != size or taking.digest != digest:
                why = f"{size} bytes with {digest} were promised, {taking.count} came"
                raise DigestMismatch(where=url, why=f"{why} with {taking.digest}")

    def _try(
        self, url: str, limit: int, take: Callable[[bytes], None], restart: Callable[[], None]
    ) -> None:
        """Read an address, some times over when the fault may be passing."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                restart()
                self._read(url, limit, take)
            except FeedUnreachable as error:
                if not error.retryable or attempt == ATTEMPTS:
                    raise
                log.debug("%s; attempt %d follows", error, attempt + 1)
                chance = random.uniform(0.5, 1.5)  # noqa: S311 - only spreads load
                time.sleep(self.pause_seconds * 2 ** (attempt - 1) * chance)
            else:
                return

    def _read(self, url: str, limit: int, take: Callable[[bytes], None]) -> None:
        if urlsplit(url).scheme == "file":
            return self._read_file(url, limit, take)
        for _ in range(REDIRECTS_MAX + 1):
            target = self._read_once(url, limit, take)
            if target is None:
                return None
            url = urljoin(url, target)
        raise FeedUnreachable(where=url, why=f"it was redirected more than {REDIRECTS_MAX} times")

    def _read_once(self, url: str, limit: int, take: Callable[[bytes], None]) -> str | None:
        """Read one address; returns where it redirects to, if it does."""
        client, request = self._request(url)
        try:
            with contextlib.closing(client.send(request, stream=True)) as answer:
                if answer.is_redirect:
                    return str(answer.headers.get("location", ""))
                _check_status(url, answer.status_code)
                done = 0
                for piece in answer.iter_raw(PIECE_BYTES):
                    done += len(piece)
                    if done > limit:
                        raise TooLarge(where=url, why=f"it holds more than {limit} bytes")
                    take(piece)
        except (httpx.HTTPError, ssl.SSLError, OSError) as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DiskFull(where="the cache", why=f"{url} does not fit") from error
            raise FeedUnreachable(where=url, why=_reason(error)) from error
        return None

    def _request(self, url: str) -> tuple[httpx.Client, httpx.Request]:
        """The client and the request for an address, once its host was checked."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        if parts.scheme not in ("http", "https") or not host:
            raise SourceRefused(where=url, why="only http and https addresses are read")
        if parts.username or parts.password:
            raise SourceRefused(where=f"{parts.scheme}://{host}", why="it carries credentials")
        headers = {"Accept-Encoding": "identity", "User-Agent": "regild"}
        proxy = _proxy_for(parts.scheme, host)
        if proxy:
            self._check_name(url, host)
            client = self._client(proxy)
            return client, client.build_request("GET", url, headers=headers)
        address = self._checked_address(url, host, parts.port or _port(parts.scheme))
        literal = f"[{address}]" if ":" in address else address
        port = f":{parts.port}" if parts.port else ""
        place = parts._replace(netloc=literal + port).geturl()
        headers["Host"] = parts.netloc.rpartition("@")[2]
        extensions = {"sni_hostname": host}
        client = self._client("")
        return client, client.build_request("GET", place, headers=headers, extensions=extensions)

    def _client(self, proxy: str) -> httpx.Client:
        if proxy not in self._clients:
            self._clients[proxy] = httpx.Client(
                proxy=proxy or None,
                trust_env=False,
                timeout=TIMEOUTS,
                verify=ssl.create_default_context(),
                follow_redirects=False,
            )
        return self._clients[proxy]

    def _checked_address(self, url: str, host: str, port: int) -> str:
        """An address of a host, after looking at all of them."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            why = f"its host has no address ({error.strerror or error})"
            raise FeedUnreachable(where=url, why=why) from error
        addresses = [str(row[4][0]) for row in found]
        if not self.is_allowed(host):
            for address in addresses:
                _check_public(url, address)
        return addresses[0]

    def _check_name(self, url: str, host: str) -> None:
        """Behind a proxy only what the name itself says can be checked."""
        if self.is_allowed(host):
            return
        with contextlib.suppress(ValueError):
            _check_public(url, str(ipaddress.ip_address(host)))
        if host == "localhost" or host.endswith((".localhost", ".local", ".internal")):
            raise SourceRefused(where=url, why="its name is a local one")

    def _read_file(self, url: str, limit: int, take: Callable[[bytes], None]) -> None:
        """Read a file of this machine, in an allowed folder; links are resolved first."""
        path = Path(urllib.request.url2pathname(urlsplit(url).path)).resolve()
        if not any(path.is_relative_to(folder.resolve()) for folder in self.folders):
            raise SourceRefused(where=url, why="the file is in no folder that is allowed")
        if not path.is_file():
            raise NotThere(where=url, why="there is no such file")
        with translated(path), path.open("rb") as file:
            done = 0
            while piece := file.read(PIECE_BYTES):
                done += len(piece)
                if done > limit:
                    raise TooLarge(where=url, why=f"it holds more than {limit} bytes")
                take(piece)


class _Taking:
    """A file that is being received: written, counted and hashed as it comes."""

    def __init__(self, file: IO[bytes], advance: Callable[[int], None]) -> None:
        self._file, self._advance = file, advance
        self.count, self._hash = 0, hashlib.sha256()

    @property
    def digest(self) -> Digest:
        """Digest of what came so far."""
        return Digest("sha256:" + self._hash.hexdigest())

    def take(self, piece: bytes) -> None:
        """Some more came."""
        self._file.write(piece)
        self._hash.update(piece)
        self.count += len(piece)
        self._advance(len(piece))

    def restart(self) -> None:
        """Begin again."""
        self._advance(-self.count)
        self._file.seek(0)
        self._file.truncate()
        self.count, self._hash = 0, hashlib.sha256()


def _check_public(url: str, address: str) -> None:
    """Refuse addresses that do not lead into the public network.

    Raises: SourceRefused.
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(found, "ipv4_mapped", None) or found
    if not mapped.is_global or mapped.is_multicast or mapped.is_reserved:
        raise SourceRefused(where=url, why=f"its address {address} is private, local or reserved")


def _check_status(url: str, status: int) -> None:
    if status == 200:
        return
    if status in RETRIED:
        raise FeedUnreachable(where=url, why=f"the server answers {status}")
    raise NotThere(where=url, why=f"the server answers {status}")


def _reason(error: Exception) -> str:
    """A network error in a few words."""
    if isinstance(error, httpx.TimeoutException):
        return "it did not answer in time"
    return (str(error) or type(error).__name__).strip().splitlines()[0]


def _proxy_for(scheme: str, host: str) -> str:
    """The proxy that the environment names for a host (HTTP_PROXY, NO_PROXY and so on)."""
    if urllib.request.proxy_bypass(host):
        return ""
    return urllib.request.getproxies().get(scheme, "")


def _port(scheme: str) -> int:
    return 443 if scheme == "https" else 80
