"""The keys that sources are verified with; nothing else leaves the guest."""

from __future__ import annotations

import pytest

from regild.describe.keyrings import find_certificates
from regild.describe.reader import describe_guest
from regild.model.content import Content
from regild.model.json import to_json
from tests.describe.guests import debian
from tests.describe.test_apt_sources import KEY

BINARY = b"\x99\x02\x0d\x04" + bytes(40)
PLAIN = "deb http://mirror.example/d s main\n"
SIGNED = "deb [signed-by=/usr/share/keyrings/a.gpg] http://mirror.example/d s main\n"


def described(sources: str, files: dict[str, bytes | str]) -> Content:
    return describe_guest(debian({"/etc/apt/sources.list": sources, **files}))


def paths(content: Content) -> list[str]:
    return [keyring.path for keyring in content.planning.keyrings]


TRUSTED: dict[str, bytes | str] = {
    "/etc/apt/trusted.gpg": BINARY,
    "/etc/apt/trusted.gpg.d/b.asc": KEY,
    "/etc/apt/trusted.gpg.d/a.gpg": BINARY,
    "/etc/apt/trusted.gpg.d/c.gpg~": BINARY,
}


def test_a_source_that_names_no_key_is_verified_with_the_trusted_ones() -> None:
    content = described(PLAIN, TRUSTED)
    assert paths(content) == [
        "/etc/apt/trusted.gpg",
        "/etc/apt/trusted.gpg.d/a.gpg",
        "/etc/apt/trusted.gpg.d/b.asc",
    ]
    assert content.planning.keyrings[0].keys == BINARY
    assert content.unknowns == ()


def test_a_fingerprint_points_into_the_trusted_keyrings() -> None:
    line = f"deb [signed-by={'AB' * 20}] http://mirror.example/d s main\n"
    assert len(paths(described(line, TRUSTED))) == 3


def test_a_source_that_names_its_keyring_needs_no_other() -> None:
    content = described(SIGNED, {**TRUSTED, "/usr/share/keyrings/a.gpg": BINARY})
    assert paths(content) == ["/usr/share/keyrings/a.gpg"]


def test_a_named_keyring_that_is_missing_is_unknown() -> None:
    content = described(SIGNED, {})
    assert content.unknowns[0].where == "/usr/share/keyrings/a.gpg"


def test_an_empty_trusted_keyring_is_nothing() -> None:
    assert described(PLAIN, {"/etc/apt/trusted.gpg": b""}).unknowns == ()


@pytest.mark.parametrize(
    "content",
    [
        b"root:$6$SECRET:19000:0:99999:7:::\n",
        b"\x95\x05\x86\x04SECRET",
        b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nSECRET\n-----END PGP PRIVATE KEY BLOCK-----\n",
        b"-----BEGIN OPENSSH PRIVATE KEY-----\nSECRET\n",
    ],
)
def test_a_file_that_holds_no_certificates_stays_in_the_guest(content: bytes) -> None:
    found = described(
        "deb [signed-by=/etc/shadow] http://mirror.example/d s main\n", {"/etc/shadow": content}
    )
    assert found.planning.keyrings == ()
    assert found.unknowns[0].where == "/etc/shadow"
    assert "SECRET" not in to_json(found)


def test_of_an_armoured_file_only_the_certificates_are_kept() -> None:
    mixed = f"a SECRET note\n{KEY}\nmore\n{KEY}".encode()
    assert find_certificates(mixed) == (KEY + KEY).encode()
