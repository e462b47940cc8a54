"""The only reader of the network: bounded, patient, and never led to an address that the site did
not allow.

Addresses come from images and are hostile. A name is resolved here, every address it gives is
checked, and the connection goes to the checked address itself, so that a second answer of the name
server cannot lead elsewhere; each redirect is followed by hand with the same check, and with the
login of its own host if it has one. Behind a proxy (the site's, or HTTP_PROXY, HTTPS_PROXY,
NO_PROXY) the proxy resolves names, so only the name itself is checked.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import ipaddress
import os
import socket
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urljoin, urlsplit

import msgspec

from regild.errors import (
    AccessDenied,
    FeedUnreachable,
    RedirectRefused,
    SourceRefused,
    TooLarge,
    TooSlow,
)
from regild.host.address import (
    SCHEMES,
    Access,
    Host,
    Reach,
    access_of,
    is_local_name,
    is_public,
    literal_address,
    read_host,
)
from regild.host.client import open_client, proxy_of
from regild.host.deadline import GRACE_SECONDS, Allowance, TooLate, within
from regild.host.files import CHUNK_BYTES
from regild.host.login import Login, find_login, read_logins
from regild.model.digest import Digest
from regild.model.uri import without_credentials

if TYPE_CHECKING:
    import httpx

REDIRECTS = (301, 302, 303, 307, 308)
ABSENT = (404, 410)
REFUSED = {
    401: "the server answers 401 and asks for a name and password",
    403: "the server answers 403 and forbids it",
    407: "the proxy answers 407 and asks for a name and password",
}
AGAIN = (408, 425, 429, 500, 502, 503, 504)
"""Answers after which the same request may succeed (RFC 9110, 15.5 and 15.6)."""


class Patience(msgspec.Struct, frozen=True):
    """How long to wait, in seconds, and how often to try."""

    connect: float = 15.0
    silence: float = 30.0
    attempts: int = 4
    first_pause: float = 0.5
    """Doubles with every attempt."""
    redirects: int = 5
    grace: float = GRACE_SECONDS
    """Before the rate of a transfer counts."""


class Arrived(NamedTuple):
    """What a transfer brought: how many bytes, and their digest."""

    bytes: int
    digest: Digest


class _Again(Exception):
    """The attempt failed in a way that may pass."""

    final: type[FeedUnreachable] = FeedUnreachable


class _Slow(_Again):
    """The server answers, and would hold us for ever."""

    final = TooSlow


class Fetcher:
    """Reads addresses within a reach; safe to use from several threads; close it after use."""

    def __init__(
        self,
        reach: Reach,
        patience: Patience | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._reach = reach
        self._pace = reach.answer_seconds, reach.slowest_bytes
        self._patience = patience or Patience()
        self._pause = pause
        self._clients: dict[tuple[Host, str, Access], httpx.Client] = {}
        self._logins: tuple[Login, ...] | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Fetcher:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for client in self._clients.values():
            client.close()

    def find(self, url: str, limit: int, *, approved: bool = False) -> bytes | None:
        """The bytes at an address, or None where there is nothing.

        Raises: like `fetch`.
        """
        content = io.BytesIO()
        found = self.fetch(url, content, limit, approved=approved)
        return content.getvalue() if found else None

    def fetch(
        self,
        url: str,
        file: IO[bytes],
        limit: int,
        *,
        approved: bool = False,
        advance: Callable[[int], None] = lambda amount: None,
    ) -> Arrived | None:
        """Copy at most `limit` bytes from an address into an empty file; None where there is
        nothing.

        `approved` says that the site, not only the image, names this address.

        Raises: SourceRefused, FeedUnreachable, TooLarge.
        """
        if urlsplit(url).scheme == "file":
            return self._copy(url, file, limit, advance)
        pause = self._patience.first_pause
        for attempt in range(1, self._patience.attempts + 1):
            sink = _Sink(file, limit, url, advance)
            try:
                with within(*self._pace) as sink.allowance:
                    return self._follow(url, sink, approved)
            except _Again as error:
                if attempt == self._patience.attempts:
                    raise error.final(where=url, why=str(error)) from error
                sink.rewind()
            self._pause(pause)
            pause *= 2
        raise FeedUnreachable(where=url, why="no attempt was made")

    def _copy(
        self, url: str, file: IO[bytes], limit: int, advance: Callable[[int], None]
    ) -> Arrived | None:
        """Copy a local file, if it lies in an allowed folder after all symlinks are followed."""
        split = urlsplit(url)
        try:
            path = Path(unquote(split.path)).resolve()
        except (OSError, ValueError, RuntimeError) as error:
            raise SourceRefused(where=url, why="its path cannot be followed") from error
        folders = [folder.resolve() for folder in self._reach.folders]
        if split.netloc not in ("", "localhost") or not any(map(path.is_relative_to, folders)):
            raise SourceRefused(where=url, why="the folder is not one that the site allows")
        sink = _Sink(file, limit, url, advance)
        try:
            with os.fdopen(
                os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb"
            ) as found:
                if not stat.S_ISREG(os.fstat(found.fileno()).st_mode):
                    raise SourceRefused(where=url, why="it is not a plain file")
                while piece := found.read(CHUNK_BYTES):
                    sink.take(piece)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno == errno.EISDIR:
                return None
            raise FeedUnreachable(where=url, why=error.strerror or "it cannot be read") from error
        return sink.arrived()

    def _follow(self, url: str, sink: _Sink, approved: bool) -> Arrived | None:
        """One attempt: follow redirects by hand until there is an answer."""
        here = url
        for _ in range(self._patience.redirects + 1):
            try:
                there = self._ask(here, sink, approved)
            except SourceRefused as error:
                if here == url:
                    raise
                why = f"it leads to {without_credentials(here)[:200]}: {error.why}"
                raise RedirectRefused(where=url, why=why) from error
            if not isinstance(there, str):
                return there
            shown = without_credentials(there)[:200]
            if urlsplit(here).scheme == "https" and urlsplit(there).scheme != "https":
                raise RedirectRefused(where=url, why=f"it leads from https to {shown}")
            if urlsplit(there).scheme not in SCHEMES:
                raise RedirectRefused(where=url, why=f"it leads to {shown}")
            here = there
        raise FeedUnreachable(where=url, why="it is redirected too often")

    def _ask(self, url: str, sink: _Sink, approved: bool) -> Arrived | str | None:
        """One request: the answer's bytes in the sink, the address it redirects to, or None."""
        from regild.host.web_library import httpx

        host = read_host(url)
        access = access_of(url, self._reach.access)
        proxy = proxy_of(host, access)
        if proxy:
            self._check_name(host, url, approved)
        places = [""] if proxy else self._places(host, url, approved)
        for number, place in enumerate(places, 1):
            try:
                client = self._client(host, proxy, access)
                login = find_login(url, self._known_logins())
                answer = client.send(_request(client, url, host, place, login), stream=True)
                with contextlib.closing(answer):
                    return self._take(url, answer, sink)
            except httpx.ProxyError as error:
                if str(error).startswith("407"):
                    raise AccessDenied(where=url, why=REFUSED[407]) from error
                raise _Again(_reason(error, host)) from error
            except httpx.ConnectError as error:
                if "certificate verify failed" in str(error).lower():
                    raise FeedUnreachable(where=url, why=_reason(error, host)) from error
                if number == len(places):
                    raise _Again(_reason(error, host)) from error
            except (httpx.TransportError, httpx.StreamError, TooLate) as error:
                if sink.allowance.is_over:
                    raise _Slow(f"{host.shown} sends too slowly") from error
                raise _Again(_reason(error, host)) from error
            except (httpx.InvalidURL, UnicodeError) as error:
                raise SourceRefused(where=url, why="its address is not valid") from error
        raise _Again(f"{host.name} has no address")

    def _take(self, url: str, answer: httpx.Response, sink: _Sink) -> Arrived | str | None:
        if answer.status_code in REDIRECTS:
            if not (target := answer.headers.get("location", "")):
                raise FeedUnreachable(where=url, why="it is redirected to nowhere")
            return urljoin(url, str(target))
        if answer.status_code in ABSENT:
            return None
        if answer.status_code in AGAIN:
            raise _Again(f"the server answers {answer.status_code} {answer.reason_phrase}".strip())
        if answer.status_code in REFUSED:
            raise AccessDenied(where=url, why=REFUSED[answer.status_code])
        if answer.status_code != 200:
            why = f"the server answers {answer.status_code} {answer.reason_phrase}".strip()
            raise FeedUnreachable(where=url, why=why)
        sink.announce(answer.headers.get("content-length", ""))
        sink.allowance.begin_body(self._patience.grace)
        # The raw bytes: nothing is asked to be encoded, and a digest speaks of the file itself.
        # As they come, since who waits for larger pieces does not see how slowly they do.
        for piece in answer.iter_raw():
            sink.take(piece)
            sink.allowance.came(len(piece))
        return sink.arrived()

    def _client(self, host: Host, proxy: str, access: Access) -> httpx.Client:
        """The client for one host: connections are never shared between names, so that a
        certificate that was checked for one is not taken for another."""
        with self._lock:
            key = host, proxy, access
            if key not in self._clients:
                wait = self._patience.silence, self._patience.connect
                self._clients[key] = open_client(host, proxy, access, self._known_logins(), *wait)
            return self._clients[key]

    def _known_logins(self) -> tuple[Login, ...]:
        """The site's logins, read when the first address is asked for."""
        if self._logins is None:
            self._logins = read_logins(self._reach.logins)
        return self._logins

    def _places(self, host: Host, url: str, approved: bool) -> list[str]:
        """The addresses of a host that may be connected to, as text.

        Raises: SourceRefused when it has addresses and none of them is allowed.
        """
        try:
            rows = socket.getaddrinfo(host.name, host.port, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError) as error:
            raise _Again(f"the name {host.name} cannot be resolved") from error
        found = list(dict.fromkeys(str(row[4][0]).partition("%")[0] for row in rows))
        allowed = [place for place in found if self._allows(host, place, approved)]
        if found and not allowed:
            why = f"{host.name} is at {', '.join(found[:3])}, which is not a public address"
            raise SourceRefused(where=url, why=why)
        return allowed

    def _check_name(self, host: Host, url: str, approved: bool) -> None:
        """What can be checked where a proxy resolves the name.

        Raises: SourceRefused.
        """
        if (literal := literal_address(host.name)) is not None:
            if not self._allows(host, str(literal), approved):
                raise SourceRefused(where=url, why=f"{host.name} is not a public address")
        elif is_local_name(host.name) and not (approved and self._names(host)):
            raise SourceRefused(where=url, why=f"{host.name} is a local name")

    def _allows(self, host: Host, place: str, approved: bool) -> bool:
        address = ipaddress.ip_address(place)
        if approved and self._names(host):
            return True
        return is_public(address) or any(address in network for network in self._reach.networks)

    def _names(self, host: Host) -> bool:
        return bool({host.name, f"{host.name}:{host.port}"} & self._reach.hosts)


class _Sink:
    """The file that a transfer fills, with its limit and its digest."""

    def __init__(
        self, file: IO[bytes], limit: int, where: str, advance: Callable[[int], None]
    ) -> None:
        self._file, self._limit, self._where, self._advance = file, limit, where, advance
        self._digest = hashlib.sha256()
        self.bytes = 0
        self.allowance = Allowance(0)

    def announce(self, length: str) -> None:
        """Refuse at once what says that it is too long."""
        if length.isascii() and length.isdigit() and int(length[:20]) > self._limit:
            raise self._too_large()

    def take(self, piece: bytes) -> None:
        """Take the next bytes of the file, as far as the limit goes."""
        self.bytes += len(piece)
        if self.bytes > self._limit:
            raise self._too_large()
        self._digest.update(piece)
        self._file.write(piece)
        self._advance(len(piece))

    def rewind(self) -> None:
        """Forget what has come so far."""
        self._file.seek(0)
        self._file.truncate()
        self._advance(-self.bytes)

    def arrived(self) -> Arrived:
        return Arrived(self.bytes, Digest("sha256:" + self._digest.hexdigest()))

    def _too_large(self) -> TooLarge:
        return TooLarge(where=self._where, why=f"it sends more than {self._limit} bytes")


def _request(
    client: httpx.Client, url: str, host: Host, place: str, login: Login | None
) -> httpx.Request:
    """One request: to the checked address, in the name of the host."""
    from regild.host.web_library import httpx

    target = httpx.URL(url)
    headers = {"Host": host.shown, "Accept-Encoding": "identity", "User-Agent": "regild"}
    if login is not None:
        headers["Authorization"] = login.header
    if not place:
        return client.build_request("GET", target, headers=headers)
    return client.build_request(
        "GET",
        target.copy_with(host=place),
        headers=headers,
        extensions={"sni_hostname": host.name},
    )


def _reason(error: Exception, host: Host) -> str:
    """Why a request failed, in words."""
    kind = type(error).__name__
    if "Timeout" in kind:
        return f"{host.shown} does not answer in time"
    return f"{host.shown}: {error}" if str(error) else f"{host.shown}: the connection broke"
