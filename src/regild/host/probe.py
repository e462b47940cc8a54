"""Asking a running machine whether it does its work: does it accept a connection, does a page come?

The addresses are those of the site's own instances. Of an answer its head says it all; a body may
be without end, and so may a head that comes byte by byte.
"""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from regild.host.deadline import within

TIMEOUT_SECONDS = 5.0
"""For all of a probe, connecting included."""
GOOD_CODES = range(200, 400)


def accepts_connection(host: str, port: int) -> bool:
    """Whether something listens at a port."""
    try:
        socket.create_connection((host, port), TIMEOUT_SECONDS).close()
    except (OSError, OverflowError):
        return False
    return True


def answers_http(url: str) -> bool:
    """Whether a page comes with a code from 200 to 399; redirects are not followed."""
    from regild.host.web_library import httpx, keep_time

    if urlsplit(url).scheme not in ("http", "https"):
        return False
    try:
        with (
            within(TIMEOUT_SECONDS),
            keep_time(httpx.Client(timeout=TIMEOUT_SECONDS)) as client,
            client.stream("GET", url) as answer,
        ):
            return answer.status_code in GOOD_CODES
    except (httpx.HTTPError, httpx.InvalidURL):
        return False
