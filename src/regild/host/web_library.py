"""httpx, without its own command line: that loads rich and pygments wherever they are installed,
two thirds of what loading all of it costs, for a program that nobody runs here; and with clients
that keep the deadlines of `regild.host.deadline`."""

from __future__ import annotations

import ssl
import sys
from typing import Any, cast

from regild.host.deadline import TooLate, left

# A module that is None counts as one that is not installed.
cast(dict[str, Any], sys.modules).setdefault("httpx._main", None)

import httpcore  # noqa: E402 - only now
import httpx  # noqa: E402 - only now

__all__ = ["httpx", "keep_time"]


def keep_time(client: httpx.Client) -> httpx.Client:
    """Let all that a new client reads and writes end with the deadline of the thread that asks.

    httpx has no way to name the backend that its own transports use, hence its inner names; they
    are read before they are set, so that a release without them ends here and not without
    deadlines.
    """
    for transport in (client._transport, *client._mounts.values()):
        if transport is not None:
            pool = cast(Any, transport)._pool
            pool._network_backend = _Backend(pool._network_backend)
    return client


class _Backend:
    """httpcore's NetworkBackend, on whose connections no wait goes beyond the deadline."""

    def __init__(self, inner: httpcore.NetworkBackend) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, *args: Any, **options: Any
    ) -> _Stream:
        wait = _left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._inner.connect_tcp(host, port, wait, *args, **options))


class _Stream:
    """httpcore's NetworkStream."""

    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _left(timeout, httpcore.WriteTimeout))

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> _Stream:
        # The time that ssl takes for a handshake, and for each read, is in all.
        wait = _left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, wait))


def _left(timeout: float | None, over: type[Exception]) -> float | None:
    try:
        return left(timeout)
    except TooLate as error:
        raise over(str(error)) from error
