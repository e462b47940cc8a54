"""Reading the network: bounds, patience, and the addresses that are never reached."""

from __future__ import annotations

import hashlib
import io
import ipaddress
import socket
from pathlib import Path
from typing import Any

import pytest

from regild.errors import FeedUnreachable, SourceRefused, TooLarge
from regild.host.address import Reach, is_local_name, is_public, literal_address
from regild.host.fetch import Fetcher, Patience
from regild.host.run import run
from tests.feeds.servers import Answer, serve

LOCAL = Reach(hosts=frozenset(("127.0.0.1", "localhost")))
QUICK = Patience(connect=2, silence=2, attempts=3, first_pause=0)


def fetcher(reach: Reach = LOCAL, patience: Patience = QUICK) -> Fetcher:
    return Fetcher(reach, patience, pause=lambda seconds: None)


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1", "10.0.0.1", "172.16.9.9", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "0.0.0.0", "224.0.0.1", "240.0.0.1", "255.255.255.255", "203.0.113.5", "::", "::1",
        "fe80::1", "fc00::1", "ff02::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::",
        "fec0::1", "2001:db8::1", "2001:0:1::1",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public(text: str) -> None:
    assert not is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_addresses_that_are_public(text: str) -> None:
    assert is_public(ipaddress.ip_address(text))


def test_old_spellings_of_an_address_are_seen_through() -> None:
    spelt = ["127.1", "0x7f000001", "2130706433", "0177.0.0.1"]
    assert {str(literal_address(name)) for name in spelt} == {"127.0.0.1"}
    assert literal_address("mirror.example") is None


def test_local_names_are_known() -> None:
    assert is_local_name("localhost") and is_local_name("Mirror.LOCAL.") and is_local_name("db")
    assert not is_local_name("mirror.example")


def test_reads_bytes_and_their_digest() -> None:
    with serve({"/a": Answer(b"hello")}) as server, fetcher() as reader:
        file = io.BytesIO()
        arrived = reader.fetch(f"{server.url}/a", file, 100, approved=True)
    assert file.getvalue() == b"hello"
    assert arrived is not None
    assert arrived.digest == "sha256:" + hashlib.sha256(b"hello").hexdigest()


def test_what_is_absent_is_none() -> None:
    with serve({}) as server, fetcher() as reader:
        assert reader.find(f"{server.url}/none", 10, approved=True) is None


def test_more_than_the_limit_is_refused_announced_or_not() -> None:
    answers = {"/a": Answer(b"x" * 11), "/b": Answer(b"x" * 11, chunked=True)}
    with serve(answers) as server, fetcher() as reader:
        for path in answers:
            with pytest.raises(TooLarge):
                reader.find(server.url + path, 10, approved=True)


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "127.1", "[::1]", "0x7f000001"])
def test_loopback_is_refused_unless_approved(name: str) -> None:
    with fetcher() as reader, pytest.raises(SourceRefused):
        reader.find(f"http://{name}:9/a", 10)


def test_the_sites_networks_are_reached() -> None:
    reach = Reach(networks=(ipaddress.ip_network("127.0.0.0/8"),))
    with serve({"/a": Answer(b"ok")}) as server, fetcher(reach) as reader:
        assert reader.find(f"{server.url}/a", 10) == b"ok"


def test_redirects_are_followed() -> None:
    with (
        serve({"/a": Answer(status=302, to="/b"), "/b": Answer(b"ok")}) as server,
        fetcher() as reader,
    ):
        assert reader.find(f"{server.url}/a", 10, approved=True) == b"ok"


@pytest.mark.parametrize(
    "to", ["http://169.254.169.254/latest", "http://[::1]:1/x", "file:///etc/passwd", "gopher://x"]
)
def test_a_redirect_to_where_the_site_does_not_go_is_refused(to: str) -> None:
    with (
        serve({"/a": Answer(status=302, to=to)}) as server,
        fetcher() as reader,
        pytest.raises(SourceRefused),
    ):
        reader.find(f"{server.url}/a", 10, approved=True)


@pytest.mark.parametrize("scheme", ["http", "ftp"])
def test_a_login_in_a_redirect_is_not_shown(scheme: str) -> None:
    to = f"{scheme}://somebody:secret@host.example/x"
    with (
        serve({"/a": Answer(status=302, to=to)}) as server,
        fetcher() as reader,
        pytest.raises(SourceRefused) as caught,
    ):
        reader.find(f"{server.url}/a", 10, approved=True)
    assert "host.example" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_ring_of_redirects_ends() -> None:
    with (
        serve({"/a": Answer(status=301, to="/a")}) as server,
        fetcher() as reader,
        pytest.raises(FeedUnreachable, match="too often"),
    ):
        reader.find(f"{server.url}/a", 10, approved=True)


def test_a_passing_failure_is_tried_again() -> None:
    answer = Answer(b"ok", failures=[503, 0])
    with serve({"/a": answer}) as server, fetcher() as reader:
        assert reader.find(f"{server.url}/a", 10, approved=True) == b"ok"
    assert answer.asked == 3


def test_a_transfer_that_breaks_off_is_tried_again_and_then_unreachable() -> None:
    answer = Answer(b"half", declared=100)
    told: list[int] = []
    with serve({"/a": answer}) as server, fetcher() as reader, pytest.raises(FeedUnreachable):
        reader.fetch(f"{server.url}/a", io.BytesIO(), 200, approved=True, advance=told.append)
    assert answer.asked == 3
    assert sum(told) <= 4


def test_a_refusal_of_the_server_is_not_tried_again() -> None:
    answer = Answer(status=403)
    with (
        serve({"/a": answer}) as server,
        fetcher() as reader,
        pytest.raises(FeedUnreachable, match="403"),
    ):
        reader.find(f"{server.url}/a", 10, approved=True)
    assert answer.asked == 1


def test_nobody_listening_is_unreachable() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with fetcher() as reader, pytest.raises(FeedUnreachable):
        reader.find(f"http://127.0.0.1:{port}/a", 10, approved=True)


def test_the_name_is_asked_for_once_and_the_checked_address_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    real = socket.getaddrinfo

    def answers(host: str, *rest: Any, **more: Any) -> list[Any]:
        if host != "mirror.example":
            return list(real(host, *rest, **more))
        asked.append(host)
        place = "127.0.0.1" if len(asked) == 1 else "169.254.169.254"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (place, server.port))]

    reach = Reach(networks=(ipaddress.ip_network("127.0.0.0/8"),))
    with serve({"/a": Answer(b"ok")}) as server, fetcher(reach) as reader:
        monkeypatch.setattr("regild.host.fetch.socket.getaddrinfo", answers)
        url = f"http://mirror.example:{server.port}/a"
        assert reader.find(url, 10) == b"ok"
        assert server.hosts == [f"mirror.example:{server.port}"]
        with pytest.raises(SourceRefused, match=r"169\.254"):
            reader.find(url, 10)


def certificate_for(name: str, folder: Path) -> Path:
    """A certificate for a name, signed by itself, with its key in the same file."""
    path = folder / f"{name}.pem"
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=x", "-addext", f"subjectAltName=DNS:{name}"]
    files = ["-keyout", path, "-out", folder / "cert"]
    run(["openssl", "req", "-x509", *kind, *names, *files], purpose="to make a certificate")
    path.write_bytes(path.read_bytes() + (folder / "cert").read_bytes())
    return path


@pytest.mark.parametrize(("name", "good"), [("mirror.example", True), ("other.example", False)])
def test_the_certificate_is_checked_for_the_name_not_for_the_address(
    name: str, good: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = certificate_for(name, tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    real = socket.getaddrinfo

    def answers(host: str, *rest: Any, **more: Any) -> list[Any]:
        return list(real("127.0.0.1" if host == "mirror.example" else host, *rest, **more))

    reach = Reach(networks=(ipaddress.ip_network("127.0.0.0/8"),))
    with serve({"/a": Answer(b"ok")}, certificate) as server, fetcher(reach) as reader:
        monkeypatch.setattr("regild.host.fetch.socket.getaddrinfo", answers)
        url = f"https://mirror.example:{server.port}/a"
        if good:
            assert reader.find(url, 10) == b"ok"
        else:
            with pytest.raises(FeedUnreachable, match="certificate"):
                reader.find(url, 10)


def test_files_are_read_in_allowed_folders_only(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    for folder in (inside, outside):
        folder.mkdir()
        (folder / "a b").write_bytes(b"text")
    (inside / "link").symlink_to(outside / "a b")
    with fetcher(Reach(folders=(inside,))) as reader:
        assert reader.find(f"file://{inside}/a%20b", 10) == b"text"
        assert reader.find(f"file://{inside}/none", 10) is None
        for path in (f"{outside}/a%20b", f"{inside}/link", f"{inside}/../out/a%20b"):
            with pytest.raises(SourceRefused):
                reader.find(f"file://{path}", 10)


def test_a_proxy_of_the_environment_is_used_and_local_names_are_not_asked_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serve({"http://mirror.example/a": Answer(b"ok")}) as server, fetcher() as reader:
        monkeypatch.setenv("http_proxy", server.url)
        monkeypatch.delenv("no_proxy", raising=False)
        assert reader.find("http://mirror.example/a", 10) == b"ok"
        for name in ("localhost", "127.1", "10.0.0.1", "db"):
            with pytest.raises(SourceRefused):
                reader.find(f"http://{name}/a", 10)
