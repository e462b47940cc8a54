"""Names and passwords out of the files that others keep them in."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from regild.errors import Malformed
from regild.host.login import Login, find_login, read_login_text, read_logins

TEXT = """\
# apt_auth.conf(5)
machine mirror.example/debian login a password one
machine http://mirror.example:8080 login b password two
machine other.example
  login c
  password three
default login d password four
"""


def found(url: str) -> str:
    login = find_login(url, tuple(read_login_text(TEXT, "it")))
    return base64.b64decode(login.header.removeprefix("Basic ")).decode() if login else ""


@pytest.mark.parametrize(
    ("url", "pair"),
    [
        ("https://mirror.example/debian", "a:one"),
        ("https://MIRROR.example/debian/x", "a:one"),
        ("https://mirror.example:8443/debian/x", "a:one"),
        ("https://mirror.example/debian-x", ""),
        ("http://mirror.example/debian/x", ""),
        ("http://mirror.example:8080/x", "b:two"),
        ("https://other.example/", "c:three"),
        ("https://x.other.example/", ""),
        ("https://else.example/", ""),
    ],
)
def test_a_login_is_for_its_host_its_path_and_tls(url: str, pair: str) -> None:
    assert found(url) == pair


def test_a_folder_is_read_as_apt_does(tmp_path: Path) -> None:
    (tmp_path / "10.conf").write_text("machine a.example login a password one")
    (tmp_path / "20.conf").write_text("machine a.example login b password two")
    (tmp_path / "30.txt").write_text("nonsense")
    assert [one.name for one in read_logins([tmp_path])] == ["a", "b"]


@pytest.mark.parametrize("text", ["machine", "hello there", "machine a:b:c login x", "macdef x"])
def test_what_is_no_login_file_is_told_without_its_words(text: str) -> None:
    with pytest.raises(Malformed) as caught:
        list(read_login_text(f"machine m login n password secret\n{text}", "the file"))
    assert "secret" not in str(caught.value)


def test_a_password_is_not_shown() -> None:
    assert "secret" not in repr(Login("h", None, "", "https", "n", "secret"))
