"""apk's database in the format that Alpine's own images hold."""

from __future__ import annotations

import random

import pytest

from regild.describe.reader import describe_guest
from regild.model.content import Content
from tests.describe.guests import MemoryTree, guest

ALPINE = 'ID=alpine\nVERSION_ID=3.20.3\nPRETTY_NAME="Alpine Linux v3.20"\n'
INSTALLED = """C:Q1qKcZ+j23xssAXmgQhkOO8dHnbWw=
P:alpine-baselayout
V:3.6.5-r0
A:x86_64
S:8515
I:315392
T:Alpine base dir structure and init scripts
U:https://git.example/baselayout
L:GPL-2.0-only
o:alpine-baselayout
m:Somebody <somebody@example.com>
t:1714981135
c:66187892e05b03a41d08e9acabd19b7576a1c875
D:alpine-baselayout-data=3.6.5-r0 /bin/sh
q:1000
F:dev
F:etc
R:motd
Z:Q1SLkS9hBidUbPwwrw+XR0Whv3ww8=
F:root
M:0:0:700

C:Q1aaaaaaaaaaaaaaaaaaaaaaaaaaa=
P:libcrypto3
V:3.3.2-r0
A:x86_64
o:openssl
p:so:libcrypto.so.3=3
r:openssl

"""
PATH = "/lib/apk/db/installed"


def alpine(installed: str | bytes, path: str = PATH) -> Content:
    return describe_guest(guest(MemoryTree({"/etc/os-release": ALPINE, path: installed})))


@pytest.mark.parametrize("path", [PATH, "/usr/lib/apk/db/installed"])
def test_each_block_is_a_package(path: str) -> None:
    content = alpine(INSTALLED, path)
    assert content.unknowns == ()
    assert [(one.name, one.version, one.source, one.where) for one in content.packages] == [
        ("alpine-baselayout", "3.6.5-r0", "alpine-baselayout", path),
        ("libcrypto3", "3.3.2-r0", "openssl", path),
    ]
    assert content.platform.arch == "x86_64"
    purl = "pkg:apk/alpine/libcrypto3@3.3.2-r0?arch=x86_64&distro=alpine-3.20.3"
    assert content.packages[1].purl == purl
    assert PATH in {one.path for one in content.witnesses}


def test_one_database_under_two_names_is_read_once() -> None:
    files = dict.fromkeys((PATH, f"/usr{PATH}"), INSTALLED)
    content = describe_guest(guest(MemoryTree({"/etc/os-release": ALPINE, **files})))
    assert len(content.packages) == 2


@pytest.mark.parametrize(
    "damage",
    [
        "P:half\nV:1",
        "P:nameless version\nV:1\n",
        "P:twice\nP:twice\nV:1\n",
        "V:1-r0\nA:x86_64\n",
        "P:no-version\n\n",
        "no field at all\n",
        "P:bad\nV:\x1b[2J\n",
    ],
)
def test_what_stands_before_damage_is_kept_and_the_damage_named(damage: str) -> None:
    content = alpine(INSTALLED + damage)
    assert len(content.packages) == 2
    assert [one.where.startswith(PATH) for one in content.unknowns] == [True]


def test_an_empty_database_is_unknown() -> None:
    assert [one.where for one in alpine("").unknowns] == [PATH]


def test_changed_bytes_give_packages_or_unknowns() -> None:
    chance = random.Random(4)
    for _ in range(300):
        changed = bytearray(INSTALLED.encode())
        for _ in range(chance.randint(1, 6)):
            changed[chance.randrange(len(changed))] = chance.choice(b"\n:P\0V\xff A")
        content = alpine(bytes(changed[: chance.randrange(1, len(changed) + 1)]))
        assert content.packages or content.unknowns
