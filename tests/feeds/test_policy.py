"""The image proposes, the site decides."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regild.errors import SourceRefused, UsageError
from regild.feeds.policy import (
    Address,
    Mirror,
    SitePolicy,
    _bases,
    decide,
    reach_of,
    with_options,
)
from regild.feeds.settings import read_policy

OPEN = SitePolicy()
URI = "http://mirror.example/debian"


def first(uri: str, policy: SitePolicy = OPEN) -> Address:
    return decide(uri, policy)[0]


def test_a_public_name_is_read_as_it_stands() -> None:
    assert first(URI) == Address(URI, approved=False)


@pytest.mark.parametrize(
    "uri",
    [
        "http://127.0.0.1/debian", "http://localhost/debian", "http://10.1.2.3/", "http://[::1]/",
        "http://169.254.169.254/latest", "http://2130706433/", "http://0x7f.1/", "http://apt/debian",
        "http://mirror.local/x", "file:/srv/mirror", "file:///etc", "copy:/srv/x", "cdrom:[Disk]/",
        "ftp://mirror.example/x", "mirror+file:/etc/mirrors", "http://a@mirror.example/",
        "http://mirror.example/../x", "http://mirror.example/%2e%2e/x", "http://mirror.example\\@x/",
        "http://mirror.example/a?b", "http://mirror.example:99999/", "http:///x", "http:/x", "",
        "http://mirror.exa mple/", "http://mirror.example/\n", "http://" + "a" * 3000,
    ],
)  # fmt: skip
def test_what_only_the_site_may_name_is_refused(uri: str) -> None:
    with pytest.raises(SourceRefused):
        decide(uri, OPEN)


@pytest.mark.parametrize("rest", ["mirror.example/", "mirror.example:99999/", "mirror.example/a?b"])
def test_a_login_in_an_address_is_not_shown(rest: str) -> None:
    with pytest.raises(SourceRefused) as caught:
        decide(f"http://somebody:secret@{rest}", OPEN)
    assert "secret" not in str(caught.value)


def test_the_site_may_allow_hosts_networks_addresses_and_folders() -> None:
    allow = ("apt", "db.local:8080", "10.0.0.0/8", "http://192.168.1.1/debian", "/srv/mirror")
    policy = with_options(OPEN, allow=allow)
    assert first("http://apt/debian", policy).approved
    assert first("http://db.local:8080/x", policy).approved
    assert not first("http://10.1.2.3/x", policy).approved
    assert first("http://192.168.1.1/debian/", policy).approved
    assert first("file:/srv/mirror/debian", policy).approved
    for uri in (
        "http://db.local/x",
        "http://192.168.1.1/debian-x",
        "file:/srv/mirrors",
        "file:/srv",
    ):
        with pytest.raises(SourceRefused):
            decide(uri, policy)
    reach = reach_of(policy)
    assert reach.hosts == {"apt", "db.local:8080", "192.168.1.1:80"}
    assert reach.folders == (Path("/srv/mirror"),)
    assert [str(network) for network in reach.networks] == ["10.0.0.0/8"]


def test_mirrors_replace_the_longest_beginning() -> None:
    policy = with_options(
        OPEN,
        mirrors=[f"{URI}=http://10.0.0.1/d", f"{URI}/special=file:/srv/s", f"{URI}2=/srv/two"],
    )
    assert first(f"{URI}/", policy) == Address("http://10.0.0.1/d/", approved=True)
    assert first(f"{URI}/pool/x", policy).url == "http://10.0.0.1/d/pool/x"
    assert first(f"{URI}/special/x", policy).url == "file:///srv/s/x"
    assert first(f"{URI}2/x", policy).url == "file:///srv/two/x"
    assert first(f"{URI}3/x", policy).url == f"{URI}3/x"
    assert first("HTTP://Mirror.Example/debian/x", policy).url == "http://10.0.0.1/d/x"
    assert reach_of(policy).hosts == {"10.0.0.1:80"}


def test_a_folder_of_repositories_stands_for_every_address() -> None:
    policy = with_options(OPEN, offline=Path("/srv/off"))
    urls = [place.url for place in decide(f"{URI}/dists/x", policy)]
    assert urls == [
        "file:///srv/off/mirror.example/debian/dists/x",
        "file:///srv/off/debian/dists/x",
        "file:///srv/off/dists/x",
        "file:///srv/off/x",
    ]
    assert reach_of(policy).folders == (Path("/srv/off"),)


@given(st.text(max_size=40).map(lambda text: f"http://mirror.example/{text}"))
def test_no_address_leads_out_of_the_folder(uri: str) -> None:
    try:
        places = decide(uri, SitePolicy(offline="/srv/off"))
    except SourceRefused:
        return
    for place in places:
        assert place.url.startswith("file:///srv/off") and "/../" not in place.url + "/"


def test_reads_the_sites_file(tmp_path: Path) -> None:
    path = tmp_path / "regild.toml"
    path.write_text(
        f'[feeds]\nmirrors = {{"{URI}" = "/srv/m"}}\nallow = ["apt"]\noffline = "off"\n'
    )
    assert read_policy(path) == SitePolicy(
        mirrors=(Mirror(URI, "/srv/m"),), allow=("apt",), offline=str(tmp_path / "off")
    )
    path.write_text("[other]\nx = 1\n")
    assert read_policy(path) == OPEN


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[feeds]\nalow = []\n", "alow"),
        ("[feeds\n", "line 1"),
        ("feeds = 3\n", "table"),
        ("[feeds]\nallow = 'x'\n", "allow"),
        ("[feeds]\nallow = [1]\n", "allow"),
        ("[feeds]\nallow = ['a b']\n", "a b"),
        ("[feeds]\nmirrors = ['x']\n", "mirrors"),
        ("[feeds]\nmirrors = {x = 'y'}\n", "x=y"),
        ("[feeds]\noffline = 3\n", "offline"),
    ],
)
def test_a_wrong_file_is_told_by_name(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "regild.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=said):
        read_policy(path)


@pytest.mark.parametrize("text", ["x", "http://a.example", "http://a.example=ftp://b", "=", "a=/b"])
def test_a_wrong_mirror_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        with_options(OPEN, mirrors=[text])


def test_the_machines_own_sources_are_those_of_its_apt() -> None:
    said = (
        "'http://mirror.example/debian/dists/stable/InRelease' x 0 \n"
        "'http://mirror.example/debian/dists/stable/main/binary-amd64/Packages.xz' x 0 \n"
        "'https://flat.example/a/InRelease' x 0 \n'file:/srv/m/dists/x/InRelease' x 0 \nE: no\n"
    )
    assert sorted(_bases(said)) == ["http://mirror.example/debian/", "https://flat.example/a/"]
