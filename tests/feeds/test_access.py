"""Proxies, logins and client certificates against real servers, and that no password is told."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from regild.errors import AccessDenied, FeedUnreachable, RegildError, UsageError
from regild.feeds.apt import refresh
from regild.feeds.policy import SitePolicy
from regild.feeds.settings import read_policy
from regild.model.content import Source
from regild.model.progress import Silent
from tests.feeds.gates import (
    NAME,
    PASSWORD,
    Certificates,
    make_certificates,
    nginx,
    tinyproxy,
)
from tests.feeds.repositories import NOW, Deb, Suite, content_of, publish

URI = "http://deb.example/debian"
CONTENT = content_of((), (Source("apt", URI, "stable", ("main",)),))


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory, keys: Certificates) -> Iterator[list[int]]:
    """nginx's TLS port and plain port, and the proxy's."""
    folder = tmp_path_factory.mktemp("servers")
    for name in ("private", "entitled", "open"):
        publish(folder / "www" / name, Suite((Deb("a", "2.0"),)))
    with (
        nginx(folder / "nginx", folder / "www", keys) as (tls, plain),
        tinyproxy(folder / "proxy") as proxy,
    ):
        yield [tls, plain, proxy]


def site(folder: Path, mirror: str, logins: str, access: str) -> SitePolicy:
    """A policy as a site would write it."""
    (folder / "netrc").write_text(logins)
    (folder / "regild.toml").write_text(
        f'[feeds]\nlogins = ["netrc"]\n[feeds.mirrors]\n"{URI}" = "{mirror}"\n{access}'
    )
    return read_policy(folder / "regild.toml")


def offered(folder: Path, policy: SitePolicy) -> bool:
    available = refresh(CONTENT, policy, folder / "cache", NOW, Silent())
    return available.find_newest("a", "amd64") is not None


def test_a_repository_with_a_login(
    tmp_path: Path, ports: list[int], keys: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    mirror = f"https://127.0.0.1:{ports[0]}/private"
    access = f'[feeds.access."https://127.0.0.1:{ports[0]}"]\nca = "{keys.ca}"\n'
    login = f"machine 127.0.0.1:{ports[0]}/private login {NAME} password {PASSWORD}\n"
    policy = site(tmp_path, mirror, login, access)
    assert offered(tmp_path, policy)
    assert PASSWORD not in repr(policy) and PASSWORD not in caplog.text
    for path in (tmp_path / "cache").rglob("*"):
        assert not path.is_file() or PASSWORD.encode() not in path.read_bytes()


@pytest.mark.parametrize(
    "login",
    [
        "",
        f"machine 127.0.0.1 login {NAME} password wrong\n",
        f"machine 127.0.0.2 login {NAME} password {PASSWORD}\n",
        f"machine 127.0.0.1/other login {NAME} password {PASSWORD}\n",
        f"default login {NAME} password {PASSWORD}\n",
    ],
)
def test_a_login_that_is_not_meant_for_it_does_not_open(
    tmp_path: Path, ports: list[int], keys: Certificates, login: str
) -> None:
    mirror = f"https://127.0.0.1:{ports[0]}/private"
    access = f'[feeds.access."https://127.0.0.1:{ports[0]}"]\nca = "{keys.ca}"\n'
    with pytest.raises(AccessDenied, match="401") as caught:
        offered(tmp_path, site(tmp_path, mirror, login, access))
    assert PASSWORD not in str(caught.value)


def test_a_login_goes_over_plain_http_only_where_it_says_so(
    tmp_path: Path, ports: list[int]
) -> None:
    mirror = f"http://127.0.0.1:{ports[1]}/private"
    secret = f"login {NAME} password {PASSWORD}\n"
    with pytest.raises(AccessDenied):
        offered(tmp_path, site(tmp_path, mirror, f"machine 127.0.0.1 {secret}", ""))
    assert offered(tmp_path, site(tmp_path, mirror, f"machine http://127.0.0.1 {secret}", ""))


def test_a_redirect_takes_no_login_along(
    tmp_path: Path, ports: list[int], keys: Certificates
) -> None:
    mirror = f"https://127.0.0.1:{ports[0]}/away"
    access = f'[feeds.access."https://127.0.0.1:{ports[0]}"]\nca = "{keys.ca}"\n'
    login = f"machine 127.0.0.1 login {NAME} password {PASSWORD}\n"
    with pytest.raises(RegildError, match="leads from https"):
        offered(tmp_path, site(tmp_path, mirror, login, access))


def test_a_repository_that_asks_for_a_client_certificate(
    tmp_path: Path, ports: list[int], keys: Certificates
) -> None:
    mirror = f"https://127.0.0.1:{ports[0]}/entitled"
    access = f'[feeds.access."{mirror}"]\nca = "{keys.ca}"\n'
    with pytest.raises(AccessDenied, match="403"):
        offered(tmp_path, site(tmp_path, mirror, "", access))
    entitled = f'{access}certificate = "{keys.client}"\nkey = "{keys.client}"\n'
    assert offered(tmp_path, site(tmp_path, mirror, "", entitled))


def test_a_server_that_nobody_vouches_for(tmp_path: Path, ports: list[int]) -> None:
    mirror = f"https://127.0.0.1:{ports[0]}/open"
    with pytest.raises(FeedUnreachable, match="certificate"):
        offered(tmp_path, site(tmp_path, mirror, "", ""))


def test_a_certificate_that_is_none(tmp_path: Path, ports: list[int], keys: Certificates) -> None:
    mirror = f"https://127.0.0.1:{ports[0]}/open"
    access = f'[feeds.access."{mirror}"]\nca = "{keys.ca}"\ncertificate = "netrc"\n'
    with pytest.raises(UsageError, match="netrc"):
        offered(tmp_path, site(tmp_path, mirror, "", access))


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_behind_a_proxy_that_asks_for_a_login(
    tmp_path: Path, ports: list[int], keys: Certificates, scheme: str
) -> None:
    tls, plain, proxy = ports
    port = tls if scheme == "https" else plain
    mirror = f"{scheme}://127.0.0.1:{port}/private"
    access = f'[feeds.access."{mirror}"]\nproxy = "http://127.0.0.1:{proxy}"\nca = "{keys.ca}"\n'
    secret = f"login {NAME} password {PASSWORD}\n"
    own = f"machine {scheme}://127.0.0.1:{port} {secret}"
    with pytest.raises(AccessDenied, match="407") as caught:
        offered(tmp_path, site(tmp_path, mirror, own, access))
    assert PASSWORD not in str(caught.value)
    both = f"{own}machine http://127.0.0.1:{proxy} {secret}"
    assert offered(tmp_path, site(tmp_path, mirror, both, access))


def test_a_proxy_of_the_environment_may_hold_its_login(
    tmp_path: Path, ports: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, plain, proxy = ports
    monkeypatch.setenv("http_proxy", f"http://{NAME}:{PASSWORD}@127.0.0.1:{proxy}")
    monkeypatch.setenv("no_proxy", "")
    login = f"machine http://127.0.0.1:{plain} login {NAME} password {PASSWORD}\n"
    mirror = f"http://127.0.0.1:{plain}/private"
    assert offered(tmp_path, site(tmp_path, mirror, login, ""))
    monkeypatch.setenv("http_proxy", f"gopher://{NAME}:{PASSWORD}@127.0.0.1:{proxy}")
    with pytest.raises(RegildError) as caught:
        offered(tmp_path, site(tmp_path, mirror, login, ""))
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[feeds.access."ftp://x"]\n', "no address"),
        ('[feeds.access."http://x"]\nproxy = "http://a:secret@b"\n', "without name and password"),
        ('[feeds.access."http://x"]\nkey = "k"\n', "no certificate"),
        ('[feeds.access."http://x"]\nwhat = "k"\n', "what"),
        ('[feeds.keys]\n"http://x" = ["ABCD"]\n', "fingerprints"),
        ('[feeds.keys]\n"http://x" = []\n', "fingerprints"),
        ("[feeds]\nmax_age_days = -1\n", "below 0"),
    ],
)
def test_a_wrong_setting_is_told(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "regild.toml").write_text(text)
    with pytest.raises(UsageError, match=said) as caught:
        read_policy(tmp_path / "regild.toml")
    assert "secret" not in str(caught.value)
