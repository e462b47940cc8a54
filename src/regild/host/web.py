"""A file behind http or https, read by ranges over one connection that is kept.

Written on the standard library's client: loading a larger one takes three times the CPU that
reading a descriptor may cost (docs/adr/0023). The address is the user's own, so it may be anywhere;
a redirect is followed by hand, never from https to http and never from a public server to an
address that is not public. RFC 9110, clause 14 (ranges), 8.8 (validators), 15.4 (redirects).
"""

from __future__ import annotations

import base64
import http.client
import io
import ipaddress
import re
import socket
from typing import Any, BinaryIO, Final, cast
from urllib import request as environment
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit

from regild.errors import (
    AddressRefused,
    DigestMismatch,
    MissingFile,
    NotPermitted,
    SourceRefused,
    Truncated,
    Unreachable,
    UnsupportedError,
)
from regild.host.address import Host, is_public, read_host
from regild.host.deadline import GRACE_SECONDS, Allowance, TooLate, left, within
from regild.host.patience import Again

SILENCE_SECONDS: Final = 30.0
ANSWER_SECONDS: Final = 60.0
"""Until the head of an answer is there, in all."""
REDIRECTS: Final = 5
MOVED: Final = (301, 302, 303, 307, 308)
AGAIN: Final = (408, 425, 429, 500, 502, 503, 504)
PIECE_BYTES: Final = 1 << 16

_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})\Z")


class WebFile:
    """A file at a server that answers ranges; `where` is its address as it may be shown."""

    def __init__(self, address: str, where: str) -> None:
        self.where = where
        self.size = 0
        """0 until something was read."""
        self.modified = ""
        """When it was changed last, as its server says it."""
        self._first = address
        self._here = address
        self._tag = ""
        self._line: _Line | None = None
        self._public: bool | None = None
        """Whether the user's own address is a public one; None before it was asked."""

    def try_fetch(self, begin: int, end: int) -> bytes:
        """The bytes from `begin` to before `end`, as far as the file reaches; one attempt.

        Raises: Again; MissingFile, NotPermitted, AddressRefused, Unreachable for a certificate,
        UnsupportedError for a server without ranges, Truncated, DigestMismatch when it changed.
        """
        try:
            with within(ANSWER_SECONDS) as allowance:
                return self._follow(begin, end, allowance)
        except (OSError, http.client.HTTPException) as error:
            self._drop()
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise Unreachable(where=self.where, why="its certificate is not trusted") from error
            raise Again(_reason(error)) from error
        except BaseException:
            self._drop()
            raise

    def _follow(self, begin: int, end: int, allowance: Allowance) -> bytes:
        for _ in range(REDIRECTS + 1):
            answer = self._ask(begin, end)
            if answer.status in MOVED:
                self._move(answer.headers.get("location", ""))
                continue
            if answer.status in AGAIN:
                raise Again(f"the server answers {answer.status}")
            if answer.status >= 400 and self._here != self._first:
                # What it was redirected to may have been meant for a short while only.
                self._here = self._first
                raise Again(f"the server answers {answer.status}")
            total = self._check(answer, begin)
            allowance.begin_body(GRACE_SECONDS)
            content = self._take(answer, min(end, total) - begin, allowance)
            self.size = total
            return content
        raise Unreachable(where=self.where, why=f"it is redirected more than {REDIRECTS} times")

    def _ask(self, begin: int, end: int) -> http.client.HTTPResponse:
        host = _host_of(self._here)
        headers = {
            "Range": f"bytes={begin}-{end - 1}",
            "Accept-Encoding": "identity",
            "User-Agent": "regild",
        }
        login = urlsplit(self._first)
        if login.username is not None and host == _host_of(self._first):
            headers["Authorization"] = _basic(login)
        if self._line is not None:
            try:
                return self._line.ask(self._here, headers)
            except (ConnectionError, http.client.HTTPException):
                self._drop()  # a server may hang up on a line that it has kept long enough
        self._line = self._connected(host)
        return self._line.ask(self._here, headers)

    def _connected(self, host: Host) -> _Line:
        line = _Line(host)
        if self._public is None:
            self._public = line.public
        if self._public and not line.public:
            line.close()
            why = f"it is redirected to {host.name}, which is not public"
            raise AddressRefused(where=self.where, why=why)
        return line

    def _move(self, target: str) -> None:
        """Take up a redirect.

        Raises: AddressRefused.
        """
        there = urljoin(self._here, target)
        safe = ("https:",) if self._here.startswith("https:") else ("https:", "http:")
        if not target or not there.startswith(safe):
            raise AddressRefused(where=self.where, why="it is redirected to nowhere safe")
        self._drop()
        self._here = there

    def _check(self, answer: http.client.HTTPResponse, begin: int) -> int:
        """How many bytes the whole file holds, when the answer is the part that was asked for."""
        code = answer.status
        if code in (404, 410):
            raise MissingFile(where=self.where, why=f"the server answers {code}")
        if code in (401, 403, 407):
            raise NotPermitted(where=f"access to {self.where}", why=f"the server answers {code}")
        if code == 416 and not self.size:
            raise Truncated(where=self.where, why="it is empty")
        if code == 200:
            why = "its server does not answer ranges; download the file first"
            raise UnsupportedError(where=self.where, why=why)
        found = _RANGE.match(answer.headers.get("content-range", ""))
        if code != 206 or found is None or int(found[1]) != begin:
            raise Truncated(where=self.where, why=f"the server answers {code} to a range")
        tag = answer.headers.get("etag") or answer.headers.get("last-modified") or ""
        total = int(found[3])
        if total < begin:
            raise Truncated(where=self.where, why=f"it has {total} bytes, and sends others")
        if self.size and (total, tag) != (self.size, self._tag):
            raise DigestMismatch(where=self.where, why="it changed while it was read")
        self._tag = tag
        self.modified = answer.headers.get("last-modified") or ""
        return total

    def _take(self, answer: http.client.HTTPResponse, length: int, allowance: Allowance) -> bytes:
        content = bytearray()
        # What has come, not all that is wanted: a server may send a byte now and then, for days.
        while piece := answer.read1(min(PIECE_BYTES, length + 1 - len(content))):
            content += piece
            allowance.came(len(piece))
        if len(content) > length:
            raise Truncated(where=self.where, why="the server sends too much")
        answer.read(0)  # only this, and not read1, lets the line be used again
        if len(content) < length:
            raise Again(f"{len(content)} of {length} bytes came")
        return bytes(content)

    def _drop(self) -> None:
        """Close the connection; the next request opens a new one."""
        if self._line is not None:
            self._line.close()
            self._line = None


class _Line:
    """A connection to a server, or to the proxy that this machine's environment asks for."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.public = True
        """Unknown counts as public: a proxy connects for us."""
        self._proxy = _proxy(host)
        self._connection = self._opened()

    def ask(self, address: str, headers: dict[str, str]) -> http.client.HTTPResponse:
        """Send one request."""
        split = urlsplit(address)
        path = quote(split.path or "/", safe="/%:@!$&'()*+,;=~-._")
        query = quote(split.query, safe="/%:@!$&'()*+,;=~-._?")
        target = f"{path}?{query}" if query else path
        if self._proxy is not None and self.host.scheme == "http":
            target = f"http://{self.host.shown}{target}"
            headers |= _proxy_login(self._proxy)
        self._connection.request("GET", target, headers={"Host": self.host.shown, **headers})
        return self._connection.getresponse()

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def _opened(self) -> http.client.HTTPConnection:
        name, port = self.host.name, self.host.port
        if self._proxy is not None:
            name, port = self._proxy.hostname or "", self._proxy.port or 80
        if self.host.scheme == "http":
            connection = http.client.HTTPConnection(name, port, timeout=SILENCE_SECONDS)
        else:
            import ssl

            connection = http.client.HTTPSConnection(
                name, port, timeout=SILENCE_SECONDS, context=ssl.create_default_context()
            )
            if self._proxy is not None:
                login = _proxy_login(self._proxy)
                connection.set_tunnel(self.host.name, self.host.port, login)
        connection.response_class = _Response
        connection.connect()
        if self._proxy is None:
            there = str(connection.sock.getpeername()[0]).partition("%")[0]
            self.public = is_public(ipaddress.ip_address(there))
        return connection


class _Response(http.client.HTTPResponse):
    """An answer that is read within the deadline of who asks, its head too."""

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(cast(socket.socket, _Timed(sock)), *args, **options)


class _Timed:
    """A socket, as far as an answer needs one."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def makefile(self, mode: str) -> BinaryIO:
        """What comes over it."""
        return cast(BinaryIO, io.BufferedReader(_Incoming(self._sock)))


class _Incoming(io.RawIOBase):
    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._file = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(left(SILENCE_SECONDS))
        return self._file.readinto(buffer)

    def close(self) -> None:
        self._file.close()
        super().close()


def _host_of(address: str) -> Host:
    """The server of an address, whose user and password are left aside.

    Raises: AddressRefused.
    """
    try:
        split = urlsplit(address)
        host = read_host(split._replace(netloc=split.netloc.rpartition("@")[2]).geturl())
        return host._replace(name=host.name.encode("idna").decode())
    except (ValueError, SourceRefused) as error:
        raise AddressRefused(where="the address", why="it is not a valid one") from error


def _basic(login: SplitResult) -> str:
    """The header for a user and password (RFC 7617)."""
    text = f"{unquote(login.username or '')}:{unquote(login.password or '')}"
    return "Basic " + base64.b64encode(text.encode()).decode()


def _proxy(host: Host) -> SplitResult | None:
    """The proxy that the environment asks for, or none."""
    if environment.proxy_bypass(host.name):
        return None
    proxies = environment.getproxies()
    found = proxies.get(host.scheme) or proxies.get("all", "")
    if not found:
        return None
    split = urlsplit(found if "://" in found else f"http://{found}")
    if split.scheme != "http":
        why = f"the proxy for it is spoken to by {split.scheme}; only http proxies are known"
        raise UnsupportedError(where=host.name, why=why)
    return split


def _proxy_login(proxy: SplitResult) -> dict[str, str]:
    return {"Proxy-Authorization": _basic(proxy)} if proxy.username is not None else {}


def _reason(error: Exception) -> str:
    """Why a request failed, in words."""
    if isinstance(error, TimeoutError) and not isinstance(error, TooLate):
        return "the server does not answer in time"
    return str(error) or "the connection broke"
