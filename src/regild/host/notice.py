"""Telling others: a request to a web server of the site's own, and mail (RFC 5321, RFC 5322)."""

from __future__ import annotations

import smtplib
from collections.abc import Mapping
from email.message import EmailMessage
from urllib.parse import urlsplit

from regild.errors import Unreachable
from regild.host.deadline import within

SECONDS = 20.0
"""How long an answer is waited for."""


def post(address: str, content: bytes, headers: Mapping[str, str]) -> None:
    """Send some bytes to a web server, which must answer with success (2xx); redirects are not
    followed.

    Raises: Unreachable; the address's path, which may be a secret, does not stand in it.
    """
    from regild.host.web_library import httpx, keep_time

    parts = urlsplit(address)
    where = f"{parts.scheme}://{parts.hostname}"
    try:
        # Its head says it all; a body may be without end.
        with (
            within(SECONDS),
            keep_time(httpx.Client(timeout=SECONDS)) as client,
            client.stream("POST", address, content=content, headers=dict(headers)) as answer,
        ):
            status, fine = answer.status_code, answer.is_success
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unreachable(where=where, why=type(error).__name__) from error
    if not fine:
        raise Unreachable(where=where, why=f"it answers {status}")


def send_mail(server: str, message: EmailMessage) -> None:
    """Hand a mail to a server, `HOST:PORT`, which must take it for every recipient.

    Raises: Unreachable.
    """
    host, _, port = server.rpartition(":")
    try:
        with smtplib.SMTP(host, int(port), timeout=SECONDS) as session:
            session.ehlo_or_helo_if_needed()  # only then is it known what the server can do
            # Against listening; who answers is not proven (RFC 7435).
            if session.has_extn("starttls"):
                session.starttls()
            refused = session.send_message(message)
    except (OSError, smtplib.SMTPException) as error:
        raise Unreachable(where=f"the mail server {server}", why=str(error)) from error
    if refused:
        why = f"it refused {', '.join(sorted(refused))}"
        raise Unreachable(where=f"the mail server {server}", why=why)
