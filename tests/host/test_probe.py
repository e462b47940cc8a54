"""Whether a running machine answers, however it goes on after that."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from regild.host.probe import accepts_connection, answers_http


@contextlib.contextmanager
def answering(head: bytes) -> Iterator[int]:
    """A port at which one request gets some bytes, and then nothing more for ever."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as door:

        def answer() -> None:
            line, _ = door.accept()
            with line:
                line.recv(1 << 16)
                line.sendall(head)
                ended.wait(60)

        thread = threading.Thread(target=answer)
        thread.start()
        yield door.getsockname()[1]
        ended.set()
        thread.join()


@pytest.mark.parametrize(("code", "good"), [(200, True), (302, True), (404, False), (503, False)])
def test_the_head_of_an_answer_is_enough(code: int, good: bool) -> None:
    with answering(b"HTTP/1.1 %d X\r\n\r\nthe begin of a body without end" % code) as port:
        assert answers_http(f"http://127.0.0.1:{port}/") is good


def test_where_nobody_listens_nothing_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
    assert not accepts_connection("127.0.0.1", port)
    assert not answers_http(f"http://127.0.0.1:{port}/")
    assert not answers_http("file:///etc/passwd")
