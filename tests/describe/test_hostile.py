"""Whatever a guest's files hold, describing ends soon, with values or typed errors."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regild.describe.reader import describe_guest
from regild.model.content import Content
from regild.model.json import from_json, to_json
from tests.describe.guests import debian, paragraph

PATHS = (
    "/etc/os-release",
    "/etc/debian_version",
    "/var/lib/dpkg/status",
    "/var/lib/dpkg/updates/0001",
    "/var/lib/dpkg/status.d/one",
    "/var/lib/dpkg/arch",
    "/var/lib/apt/extended_states",
    "/etc/apt/sources.list",
    "/etc/apt/sources.list.d/a.sources",
    "/etc/apt/preferences",
    "/etc/apt/apt.conf",
    "/etc/apt/trusted.gpg",
    "/opt/app/VERSION",
)
PIECES = st.sampled_from(
    (
        *("Package: a", "Status: install ok installed", "Version: 1", "Architecture: all"),
        *("Types: deb", "URIs: http://m.example/d", "Suites: s", "Signed-By: /k", "Pin: x"),
        *("deb ", "http://u:p@h/", "cdrom:[x]/ ", "[", "]", "=", "{", "}", ";", '"', "'", "\\"),
        *("\n", "\n\n", " ", "\t", ":", "#", "/*", "*/", "//", "APT::", "$(ARCH)", "\0", "é"),
        *("-----BEGIN PGP PUBLIC KEY BLOCK-----", "\x99", "ID=", "VERSION_ID=", "1" * 300),
    )
)
TEXTS = st.lists(PIECES, max_size=30).map("".join)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(PATHS), st.one_of(TEXTS, st.binary(max_size=60))))
def test_no_file_breaks_describing(files: dict[str, bytes | str]) -> None:
    files.setdefault("/var/lib/dpkg/status", paragraph("dpkg"))
    content = describe_guest(debian(files))
    assert from_json(Content, to_json(content)) == content
    assert content.packages or content.unknowns
    told = [text for path, text in files.items() if not path.startswith("/etc/apt/")]
    if not any("u:p@" in str(text) for text in told):  # a version may be any text, a source not
        assert "u:p@" not in to_json(content)


MIB = 1 << 20
BOMBS = {
    "comments that do not end": ("/etc/apt/apt.conf", "/* " * (MIB // 3)),
    "quotes that do not end": ("/etc/apt/apt.conf", '" ' * (MIB // 2)),
    "blocks in blocks": ("/etc/apt/apt.conf", "a{" * (MIB // 2)),
    "brackets that do not end": ("/etc/apt/sources.list", "deb " + "[" * (MIB - 4)),
    "words of brackets": ("/etc/apt/sources.list", "deb x " + "[" * (MIB - 6)),
    "an endless option": ("/etc/apt/sources.list", "deb [" + "a" * (MIB - 40) + "] http://m/d s m"),
    "endless lines": ("/etc/apt/sources.list", "deb http://m/d s m\n" * (MIB // 19)),
    "keys that do not end": (
        "/etc/apt/trusted.gpg",
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\n" * 100_000,
    ),
    "stanzas without end": (
        "/etc/apt/preferences",
        "Package: a\nPin: b\nPin-Priority: 1\n\n" * 27_000,
    ),
    "many keyrings": (
        "/etc/apt/sources.list",
        "".join(
            f"deb [signed-by={','.join(f'/k/{n}/{m}' for m in range(90))}] http://m/d s m\n"
            for n in range(900)
        ),
    ),
    "many components": (
        "/etc/apt/sources.list.d/a.sources",
        f"Types: deb\nURIs: {'http://m/d ' * 400}\nSuites: s\nComponents: {'c ' * 400_000}\n",
    ),
    "marks without end": (
        "/var/lib/apt/extended_states",
        "Package: dpkg\nArchitecture: amd64\nAuto-Installed: 1\n\n" * 90_000,
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_goes_off_quietly(name: str) -> None:
    path, text = BOMBS[name]
    begun = time.process_time()
    content = describe_guest(debian({"/etc/apt/sources.list": "deb http://m/d s m\n", path: text}))
    assert time.process_time() - begun < 5
    assert len(to_json(content)) < 16 * MIB
