"""A file on a server is read in pieces; what may pass is tried again, and a change is an error."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from regild.errors import (
    AddressRefused,
    DigestMismatch,
    MissingFile,
    NotPermitted,
    Truncated,
    Unreachable,
    UnsupportedError,
)
from regild.host import patience, remote
from regild.host.remote import (
    BLOCK_BYTES,
    FIRST_BYTES,
    HEAD_BLOCKS,
    TAIL_BLOCKS,
    Address,
    RemoteFile,
    address_of,
    open_bytes,
    open_remote,
    read_place,
)
from tests.host.ranges import Shelf, serve_ranges
from tests.host.test_fetch import certificate_for

CONTENT = b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(100_000))
LAST = CONTENT[-1000:]


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    (tmp_path / "disk").write_bytes(CONTENT)
    with serve_ranges(tmp_path) as served:
        yield served


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PAUSE_SECONDS", 0.0)


def opened(shelf: Shelf, name: str = "disk") -> RemoteFile:
    address = address_of(read_place(f"{shelf.url}/{name}"))
    assert address is not None
    return open_remote(address)


def tail(file: RemoteFile) -> bytes:
    return file.read(len(CONTENT) - 1000, 1000)


def test_only_the_blocks_that_are_needed_are_fetched(shelf: Shelf) -> None:
    file = opened(shelf)
    assert file.size == len(CONTENT)
    assert file.read(10, 90) == CONTENT[10:100]
    assert tail(file) == LAST
    assert tail(file) == LAST
    assert file.requests == len(shelf.requests) == 2
    assert file.bytes_read == shelf.bytes_sent <= FIRST_BYTES + TAIL_BLOCKS * BLOCK_BYTES


def test_who_reads_behind_the_first_bytes_gets_the_head_at_once(shelf: Shelf) -> None:
    file = opened(shelf)
    for place in range(HEAD_BLOCKS):
        assert file.read(place * BLOCK_BYTES, 9) == CONTENT[place * BLOCK_BYTES :][:9]
    assert len(shelf.requests) == 2


def test_who_reads_the_end_gets_the_tail_at_once(shelf: Shelf) -> None:
    file = opened(shelf)
    blocks = -(-len(CONTENT) // BLOCK_BYTES)
    for number in reversed(range(blocks - TAIL_BLOCKS, blocks)):
        assert file.read(number * BLOCK_BYTES, 9) == CONTENT[number * BLOCK_BYTES :][:9]
    assert len(shelf.requests) == 2


def test_reading_straight_on_asks_for_more_at_once(shelf: Shelf) -> None:
    with open_bytes(read_place(f"{shelf.url}/disk")) as stream:
        pieces = [stream.read(10_000) for _ in range(len(CONTENT) // 10_000 + 1)]
        assert b"".join(pieces) == CONTENT
        assert stream.read(1) == b""
    assert shelf.bytes_sent == len(CONTENT)
    assert len(shelf.requests) <= 6


@pytest.mark.parametrize("seed", range(4))
def test_pieces_read_anywhere_are_those_of_the_file(shelf: Shelf, seed: int) -> None:
    file = opened(shelf)
    dice = random.Random(seed)
    for _ in range(60):
        begin = dice.randrange(len(CONTENT))
        length = min(dice.choice((1, 512, 70_000, 900_000)), len(CONTENT) - begin)
        assert file.read(begin, length) == CONTENT[begin : begin + length]
    assert shelf.bytes_sent <= len(CONTENT)


def test_what_is_kept_is_bounded(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "HELD_BLOCKS", 8)
    file = opened(shelf)
    assert file.read(0, len(CONTENT)) == CONTENT
    assert len(file._blocks) <= 8


def test_a_tail_of_which_some_was_let_go_of_is_read_again(shelf: Shelf) -> None:
    file = opened(shelf)
    assert tail(file) == LAST
    last = -(-len(CONTENT) // BLOCK_BYTES) - 1
    for number in (last - 8, last - 6, last - 5):
        del file._blocks[number]
    for number in (last - 5, last - 8, last - 6):
        assert file.read(number * BLOCK_BYTES, 9) == CONTENT[number * BLOCK_BYTES :][:9]


@pytest.mark.parametrize("failure", [503, 0, -1, 429])
def test_what_may_pass_is_tried_again(shelf: Shelf, failure: int) -> None:
    file = opened(shelf)
    shelf.failures = [failure, failure]
    assert tail(file) == LAST


def test_what_does_not_pass_is_an_error(shelf: Shelf) -> None:
    file = opened(shelf)
    shelf.failures = [500] * 10
    with pytest.raises(Unreachable, match="500"):
        tail(file)


def test_a_file_that_becomes_another_is_an_error(shelf: Shelf) -> None:
    file = opened(shelf)
    shelf.tag = '"2"'
    with pytest.raises(DigestMismatch, match="changed"):
        tail(file)


def test_a_server_without_ranges_is_not_asked_for_everything(shelf: Shelf) -> None:
    shelf.ranges = False
    with pytest.raises(UnsupportedError, match="download"):
        opened(shelf)
    assert shelf.bytes_sent <= len(CONTENT)
    assert len(shelf.requests) == 1


def test_what_is_not_there_and_what_is_forbidden(shelf: Shelf) -> None:
    with pytest.raises(MissingFile):
        opened(shelf, "none")
    shelf.failures = [403]
    with pytest.raises(NotPermitted):
        opened(shelf)
    with pytest.raises(Truncated):
        opened(shelf).read(len(CONTENT), 1)
    with pytest.raises(Unreachable, match="refused"):
        open_remote("http://127.0.0.1:1/x")
    with pytest.raises(AddressRefused):
        open_remote("http://127.0.0.1:99999/x")


def test_a_redirect_is_followed_but_not_for_ever(shelf: Shelf) -> None:
    shelf.redirects = {"/a": "/b", "/b": f"{shelf.url}/disk", "/c": "/c", "/d": "ftp://x.example/"}
    file = opened(shelf, "a")
    assert tail(file) == LAST
    assert len(shelf.requests) == 4
    with pytest.raises(Unreachable, match="redirected"):
        opened(shelf, "c")
    with pytest.raises(AddressRefused):
        opened(shelf, "d")


def test_where_a_redirect_led_may_end(shelf: Shelf) -> None:
    shelf.redirects = {"/a": "/b?signed=1"}
    (shelf.folder / "b").write_bytes(CONTENT)
    file = opened(shelf, "a")
    shelf.failures = [403]
    assert tail(file) == LAST


def test_no_redirect_from_a_public_server_to_a_private_one(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    import regild.host.web as web

    shelf.redirects = {"/a": shelf.url.replace("127.0.0.1", "localhost") + "/disk"}
    assert tail(opened(shelf, "a")) == LAST
    answers = iter([True, False])
    monkeypatch.setattr(web, "is_public", lambda address: next(answers))
    with pytest.raises(AddressRefused, match="not public"):
        opened(shelf, "a?2")


def test_over_tls_with_a_certificate_that_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "disk").write_bytes(CONTENT)
    certificate = certificate_for("localhost", tmp_path)
    with serve_ranges(tmp_path, certificate) as shelf:
        with pytest.raises(Unreachable, match="certificate"):
            opened(shelf, "disk?untrusted")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert tail(opened(shelf)) == LAST
        (tmp_path / "plain").mkdir()
        shelf.redirects = {"/a": "http://localhost:1/disk"}
        with pytest.raises(AddressRefused, match="safe"):
            opened(shelf, "a")


def test_a_user_and_a_password_are_sent_and_never_shown(shelf: Shelf) -> None:
    shelf.password = "Basic bWU6c2Vjcmc="
    place = read_place(shelf.url.replace("//", "//me:secrg@") + "/disk?token=secret")
    assert str(place) == f"{shelf.url}/disk"
    assert place.name == "disk"
    assert tail(open_remote(str(place))) == LAST
    shelf.password = "other"
    with pytest.raises(NotPermitted) as told:
        open_remote(str(read_place(shelf.url.replace("//", "//me:secrg@") + "/disk")))
    assert "secr" not in str(told.value)


def test_two_addresses_that_differ_in_their_query_are_two(shelf: Shelf) -> None:
    one, two, again = (read_place(f"{shelf.url}/disk?id={n}") for n in (1, 2, 1))
    assert str(one) != str(two)
    assert one == again


def test_a_path_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("golden.ova", "./https:/x", "/a/b", "httpd.ova", "s3/x", "ftp://x/y"):
        assert address_of(read_place(text)) is None
    assert isinstance(read_place("s3://bucket/key.ova"), Address)
    assert str(read_place("https://h.example/a/b.ova").parent) == "https://h.example/a"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "https:").mkdir()
    (tmp_path / "https:/x").touch()
    assert address_of(read_place("https://x")) is None
