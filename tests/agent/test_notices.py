"""People are told, at least once, by real servers for web and mail on this machine."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from regild.agent.keeping import engine
from regild.agent.minding.notices import OCCASIONS, SENTENCES, headers_of, mail_of
from regild.model.policy import Notices
from tests.agent.sites import NEW, RENEWED, Site
from tests.agent.test_reconcile import add, once
from tests.cli.conftest import Said, regild

__all__ = ["regild"]

Regild = Callable[..., Said]
SECRET = "a secret of the site"


@dataclass
class Hook:
    """What a web server was told, and whether it listens."""

    address: str = ""
    away: bool = False
    told: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(content) for _, content in self.told]


@pytest.fixture
def hook() -> Iterator[Hook]:
    found = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            if not found.away:
                found.told.append((dict(self.headers), content))
            self.send_response(503 if found.away else 204)
            self.end_headers()

        def log_message(self, *words: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        found.address = f"http://127.0.0.1:{server.server_port}/secret-path"
        yield found
        server.shutdown()
        thread.join()


class Letters:
    """A mail server's handler that keeps what it is handed."""

    def __init__(self) -> None:
        self.kept: list[Any] = []

    async def handle_DATA(  # noqa: N802 - the name that the library calls
        self, server: Any, session: Any, envelope: Any
    ) -> str:
        self.kept.append((envelope.rcpt_tos, message_from_bytes(envelope.content)))
        return "250 OK"


@pytest.fixture
def letters() -> Iterator[tuple[Letters, str]]:
    handler = Letters()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = Controller(handler, hostname="127.0.0.1", port=port)
    controller.start()
    yield handler, f"127.0.0.1:{port}"
    controller.stop()


@pytest.fixture
def first(tmp_path: Path, regild: Regild, hook: Hook, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A site whose agent has taken its first turn."""
    monkeypatch.setitem(engine.WORKS, "update", RENEWED)
    monkeypatch.setenv("REGILD_ACTOR", "anna")
    (tmp_path / "hook.key").write_text(SECRET + "\n")
    made = Site(tmp_path)
    made.write(policy(hook))
    made.offer("web", NEW)
    made.next_disk("web")
    add(made, regild, "web")
    once(regild, made)
    return made


@pytest.fixture
def site(first: Site, hook: Hook) -> Site:
    """The same, of which everything was told."""
    hook.told.clear()
    return first


def policy(hook: Hook, more: str = "") -> str:
    return (
        '[agent.images.web]\napproval = ["production"]\n[agent.notify]\n'
        f'webhooks = ["{hook.address}"]\nsecret = "hook.key"\n{more}'
    )


def test_the_first_turn_tells_what_it_brings_about_and_nothing_of_what_was_before(
    first: Site, hook: Hook
) -> None:
    said = [(one["occasion"], one["kind"], one["subject"]) for one in hook.events]
    assert ("pending", "approval.ask", "web@2 -> production") in said
    assert ("done", "generation.add", "web@2") in said
    assert ("done", "generation.add", "web@1") not in said


def test_what_happens_is_told(regild: Regild, site: Site, hook: Hook) -> None:
    regild("approve", "web@2", "production", *site.store)
    once(regild, site)
    regild("revoke", "web@2", "--why", "old", *site.store)
    once(regild, site)
    once(regild, site)
    said = [(one["occasion"], one["kind"], one["subject"]) for one in hook.events]
    assert said == [
        ("done", "channel.promote", "web@production"),
        ("revoked", "generation.revoke", "web@2"),
    ]
    assert hook.events[1]["facts"]["why"] == "old"
    for headers, content in hook.told:
        moment, _, signed = headers["Regild-Signature"].partition(",v1=")
        expected = hmac.new(
            SECRET.encode(), moment.removeprefix("t=").encode() + b"." + content, hashlib.sha256
        )
        assert signed == expected.hexdigest()
        assert headers["Regild-Event"] == str(json.loads(content)["event"])


def test_who_was_away_is_told_later(regild: Regild, site: Site, hook: Hook) -> None:
    hook.away = True
    site.write(policy(hook, 'on = ["revoked"]\n'))
    regild("revoke", "web@2", "--why", "old", *site.store)
    answer = once(regild, site, 4)
    (failure,) = answer["failures"]
    assert "it answers 503" in failure["why"]
    assert "secret-path" not in json.dumps(answer)
    assert failure["again"] is not None
    hook.away = False
    jobs = regild("agent", "jobs", *site.store, "--json").json["jobs"]
    assert "secret-path" not in json.dumps(jobs)
    (key,) = [one["key"] for one in jobs]
    regild("agent", "retry", key, *site.store)
    once(regild, site)
    assert [one["kind"] for one in hook.events] == ["generation.revoke"]


def test_mail_reaches_people(
    regild: Regild, site: Site, hook: Hook, letters: tuple[Letters, str]
) -> None:
    handler, server = letters
    more = (
        f'mail = ["anna@site.example", "bert@site.example"]\nsender = "regild@site.example"\n'
        f'smtp = "{server}"\non = ["revoked"]\n'
    )
    site.write(policy(hook, more))
    regild("revoke", "web@2", "--why", "CVE-2026-1111\nBcc: x@y.example\x1b[2J", *site.store)
    once(regild, site)
    ((recipients, letter),) = handler.kept
    assert recipients == ["anna@site.example", "bert@site.example"]
    assert letter["Subject"] == "regild: revoked: web@2"
    assert letter["Message-ID"].endswith("@site.example>")
    assert letter["Bcc"] is None
    begins = letter.get_payload().replace("\r\n", "\n")
    assert begins.startswith("web@2: the generation must not run any more\n\n")
    assert r"why: CVE-2026-1111\nBcc: x@y.example\x1b[2J" in letter.get_payload()
    assert [one["kind"] for one in hook.events] == ["generation.revoke"]


def test_without_a_secret_nothing_is_signed_and_a_short_one_is_refused(
    regild: Regild, site: Site, hook: Hook
) -> None:
    assert "Regild-Signature" not in headers_of(b"{}", 1, b"", 0)
    (site.folder / "hook.key").write_text("short")
    regild("revoke", "web@2", "--why", "old", *site.store)
    assert "too short for a secret" in once(regild, site, 2)["failures"][0]["why"]


@pytest.mark.parametrize(
    ("subject", "how"),
    [
        ("web@2 -> production", "regild approve web@2 production"),
        ("shop: wave 2 of web@7", "regild group approve shop"),
    ],
)
def test_a_mail_about_a_question_says_how_to_answer_it(subject: str, how: str) -> None:
    told = {"event": 7, "at": "2026-03-01T10:00:00+00:00", "actor": "agent", "facts": {"id": 1}}
    told |= {"occasion": "pending", "kind": "approval.ask", "subject": subject}
    letter = mail_of(Notices(mail=("anna@site.example",), sender="r@site.example"), told)
    text = letter.get_content()
    assert text.startswith(f"{subject}: it waits for somebody to say yes\nTo say yes: {how}\n\n")


def test_every_occasion_has_a_sentence() -> None:
    assert SENTENCES.keys() == OCCASIONS.keys()
