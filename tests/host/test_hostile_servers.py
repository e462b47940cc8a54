"""Servers that mean harm: answers without end, redirects that ask for credentials, a byte a day."""

from __future__ import annotations

import contextlib
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest

from regild.errors import PublishError, Truncated, Unreachable, UnsupportedError
from regild.host import patience, web, web_api
from regild.host.notice import post, send_mail
from regild.host.patience import Again
from regild.host.web import WebFile
from regild.host.web_api import WebApi
from regild.model.digest import sha256_of

Talk = Callable[[BinaryIO, BinaryIO], None]


@contextlib.contextmanager
def serve(talk: Talk) -> Iterator[str]:
    """Have a function talk to each who connects; its host and port."""

    class Desk(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):
                talk(cast(BinaryIO, self.rfile), cast(BinaryIO, self.wfile))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Desk) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def head_of(asked: BinaryIO) -> list[str]:
    """The lines of a request's head."""
    return [line.decode().strip() for line in iter(asked.readline, b"\r\n") if line]


def endless(asked: BinaryIO, answer: BinaryIO) -> None:
    head_of(asked)
    answer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        answer.write(b"x" * (1 << 16))


def test_a_webhook_that_answers_without_end_is_told_all_the_same() -> None:
    with serve(endless) as place:
        post(f"http://{place}/hook", b"{}", {})


def test_an_api_that_answers_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_api, "ANSWER_BYTES", 1 << 20)
    with serve(endless) as place, pytest.raises(PublishError, match="more than"):
        WebApi(f"http://{place}").ask("GET", "/v2/", (200,))


@pytest.mark.parametrize("secret", ["X-Auth-Token", "Authorization"])
def test_a_redirect_elsewhere_is_shown_no_credentials(tmp_path: Path, secret: str) -> None:
    seen: list[list[str]] = []

    def elsewhere(asked: BinaryIO, answer: BinaryIO) -> None:
        seen.append(head_of(asked))
        answer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndisk")

    with serve(elsewhere) as there:

        def home(asked: BinaryIO, answer: BinaryIO) -> None:
            seen.append(head_of(asked))
            told = f"HTTP/1.1 307 Moved\r\nLocation: http://{there}/d\r\nContent-Length: 0\r\n\r\n"
            answer.write(told.encode())

        with serve(home) as here:
            api = WebApi(f"http://{here}", {secret: "hunter2"})
            api.download("/f", tmp_path / "d", sha256_of(b"disk"), 4, lambda count: None)
    assert (tmp_path / "d").read_bytes() == b"disk"
    assert ["hunter2" in " ".join(head) for head in seen] == [True, False]


@pytest.mark.parametrize("target", ["file:///etc/passwd", "//[", "ftp://there/x"])
def test_a_redirect_to_what_is_no_web_is_refused(tmp_path: Path, target: str) -> None:
    def home(asked: BinaryIO, answer: BinaryIO) -> None:
        head_of(asked)
        answer.write(f"HTTP/1.1 302 Moved\r\nLocation: {target}\r\n\r\n".encode())

    with serve(home) as here, pytest.raises(PublishError):
        api = WebApi(f"http://{here}")
        api.download("/f", tmp_path / "d", sha256_of(b"disk"), 4, lambda count: None)
    assert not (tmp_path / "d").exists()


PART = "206 Partial\r\nContent-Range: bytes "
LIES: dict[str, tuple[str, int, type[Exception]]] = {
    "another place": (f"{PART}5-104/1000\r\nContent-Length: 100", 100, Truncated),
    "a total before its part": (f"{PART}0-99/-1\r\nContent-Length: 100", 100, Truncated),
    "a total of a thousand digits": (
        f"{PART}0-99/{'9' * 1000}\r\nContent-Length: 100",
        100,
        Truncated,
    ),
    "no place": ("206 Partial\r\nContent-Length: 100", 100, Truncated),
    "less than it says": (f"{PART}0-99/1000\r\nContent-Length: 100", 40, Again),
    "more than was asked for": (
        f"{PART}0-99/1000\r\nContent-Length: 1000000",
        1_000_000,
        Truncated,
    ),
    "no end": (f"{PART}0-99/1000", 1 << 30, Truncated),
    "no such range": ("416 Range Not Satisfiable\r\nContent-Length: 0", 0, Truncated),
    "the whole": ("200 OK\r\nContent-Length: 1000", 1000, UnsupportedError),
    "a length that is none": (f"{PART}0-99/1000\r\nContent-Length: -7", 0, Again),
    "a status of its own": ("299 Fine\r\nContent-Length: 100", 100, Truncated),
}
"""What a server says at the head of its answer to a request for bytes 0 to 99, how much it sends
then, and what that is taken for."""


@pytest.mark.parametrize("lie", LIES)
def test_an_answer_that_is_not_the_part_asked_for_is_never_taken_for_it(lie: str) -> None:
    head, length, error = LIES[lie]

    def liar(asked: BinaryIO, answer: BinaryIO) -> None:
        head_of(asked)
        answer.write(f"HTTP/1.1 {head}\r\n\r\n".encode())
        for _ in range(length >> 16):
            answer.write(b"x" * (1 << 16))
        answer.write(b"x" * (length & 0xFFFF))

    with serve(liar) as place, pytest.raises(error):
        WebFile(f"http://{place}/disk", "disk").try_fetch(0, 100)


def test_a_server_that_sends_a_byte_now_and_then_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(web, "GRACE_SECONDS", 0.0)

    def trickle(asked: BinaryIO, answer: BinaryIO) -> None:
        head_of(asked)
        answer.write(b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 0-9999/10000\r\n")
        answer.write(b"Content-Length: 10000\r\n\r\n")
        for _ in range(600):
            answer.write(b"x")
            answer.flush()
            time.sleep(0.1)

    with serve(trickle) as place:
        begun = time.monotonic()
        with pytest.raises(patience.Again, match="slow"):
            WebFile(f"http://{place}/disk", "disk").try_fetch(0, 10_000)
        assert time.monotonic() - begun < 50  # sixty seconds, were all of it waited for


def test_mail_is_sent_in_secret_where_the_server_can() -> None:
    said: list[str] = []

    def server(asked: BinaryIO, answer: BinaryIO) -> None:
        answer.write(b"220 mail.example\r\n")
        for line in asked:
            said.append(line.decode().strip())
            verb = said[-1].split()[0].upper()
            told: dict[str, bytes] = {"EHLO": b"250-mail.example\r\n250 STARTTLS\r\n"}
            answer.write(told.get(verb, b"454 not just now\r\n"))

    message: Any = EmailMessage()
    message["From"], message["To"] = "regild@site.example", "anna@site.example"
    with serve(server) as place, pytest.raises(Unreachable):
        send_mail(place, message)
    assert "STARTTLS" in said
    assert not any(line.startswith("MAIL") for line in said)
