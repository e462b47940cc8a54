"""Servers that send a byte now and then, at whatever place of an answer: none holds us for ever."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from regild.errors import PublishError, TooSlow, Truncated, Unreachable
from regild.feeds.policy import reach_of
from regild.feeds.settings import read_policy
from regild.host import notice, patience, probe, web, web_api
from regild.host.address import Reach
from regild.host.fetch import Fetcher, Patience
from regild.host.notice import post
from regild.host.patience import Again
from regild.host.probe import answers_http
from regild.host.web import WebFile
from regild.host.web_api import WebApi
from regild.model.digest import sha256_of
from tests.host.test_hostile_servers import Talk, head_of, serve

LENGTH = 1 << 20
PARTS: dict[str, tuple[bytes, bytes]] = {
    "its head": (b"HTTP/1.1 2", b"0"),
    "a header": (b"HTTP/1.1 200 OK\r\nX: ", b"x"),
    "answers before the answer": (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "its body": (b"HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n", b"x"),
    "a chunk's extension": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;",
        b"x",
    ),
    "a trailer": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX:", b"x"),
}
HEADS = tuple(itertools.islice(PARTS, 3))


def dripping(part: str) -> Talk:
    """Who sends one part of an answer a piece at a time, for a while that no test may wait."""
    begin, piece = PARTS[part]

    def drip(asked: BinaryIO, answer: BinaryIO) -> None:
        head_of(asked)
        answer.write(begin)
        for _ in range(900):
            answer.write(piece)
            answer.flush()
            time.sleep(0.05)

    return drip


@pytest.fixture(autouse=True)
def given_up_soon() -> Iterator[None]:
    """45 s of dripping are not waited for."""
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < 20


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name, seconds in (
        (notice, "SECONDS", 0.5),
        (patience, "PAUSE_SECONDS", 0.0),
        (probe, "TIMEOUT_SECONDS", 0.5),
        (web, "ANSWER_SECONDS", 0.5),
        (web, "GRACE_SECONDS", 0.5),
        (web_api, "ANSWER_SECONDS", 0.5),
        (web_api, "GRACE_SECONDS", 0.5),
    ):
        monkeypatch.setattr(module, name, seconds)


@pytest.mark.parametrize("part", PARTS)
def test_a_feed_that_drips_is_given_up_as_too_slow(part: str) -> None:
    reach = Reach(hosts=frozenset(("127.0.0.1",)), answer_seconds=0.5)
    quick = Patience(attempts=2, first_pause=0, grace=0.5)
    with (
        serve(dripping(part)) as place,
        Fetcher(reach, quick) as reader,
        pytest.raises(TooSlow) as told,
    ):
        reader.find(f"http://{place}/Packages", LENGTH, approved=True)
    assert told.value.retryable
    assert "answer_seconds" in told.value.advice


def test_what_comes_slowly_but_fast_enough_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "regild.toml").write_text(
        '[feeds]\nallow = ["127.0.0.1"]\nanswer_seconds = 20\nslowest_bytes = 1\n'
    )

    def slowly(asked: BinaryIO, answer: BinaryIO) -> None:
        head_of(asked)
        answer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n")
        for _ in range(4):
            answer.write(b"xx")
            answer.flush()
            time.sleep(0.2)

    reach = reach_of(read_policy(tmp_path / "regild.toml"))
    with serve(slowly) as place, Fetcher(reach, Patience(grace=0.5)) as reader:
        assert reader.find(f"http://{place}/a", 10, approved=True) == b"x" * 8


@pytest.mark.parametrize("part", HEADS)
def test_an_instance_that_drips_does_not_answer(hasty: None, part: str) -> None:
    with serve(dripping(part)) as place:
        assert not answers_http(f"http://{place}/")


@pytest.mark.parametrize("part", HEADS)
def test_a_webhook_that_drips_was_not_told(hasty: None, part: str) -> None:
    with serve(dripping(part)) as place, pytest.raises(Unreachable):
        post(f"http://{place}/hook", b"{}", {})


@pytest.mark.parametrize("part", PARTS)
def test_an_api_that_drips_is_given_up(hasty: None, tmp_path: Path, part: str) -> None:
    def ask(api: WebApi) -> object:
        return api.ask("GET", "/v2/", (200,))

    def download(api: WebApi) -> object:
        return api.download("/f", tmp_path / "f", sha256_of(b""), LENGTH, lambda count: None)

    def upload(api: WebApi) -> object:
        file = tmp_path / "given"
        file.write_bytes(b"x")
        return api.upload("PUT", "/f", (200,), file, length=1, headers={}, advance=print)

    for talk in (ask, download, upload):
        with serve(dripping(part)) as place, pytest.raises((Unreachable, PublishError)):
            talk(WebApi(f"http://{place}"))


@pytest.mark.parametrize("part", HEADS)
def test_a_file_behind_the_web_that_drips_is_given_up(hasty: None, part: str) -> None:
    with serve(dripping(part)) as place, pytest.raises((Again, Truncated)):
        WebFile(f"http://{place}/disk", "disk").try_fetch(0, 100)
