"""The planning state of apk: sources, keys, world, and what a solver reads of what is installed."""

from __future__ import annotations

from regild.describe.reader import describe_guest
from regild.model.appliance import Descriptor
from regild.model.content import Content, Source
from regild.ovf.content import insert_descriptor, read_descriptor
from tests.describe.guests import MemoryTree, guest
from tests.feeds.apk_repositories import public
from tests.ovf.samples import envelope

ALPINE = 'ID=alpine\nVERSION_ID="3.20.3"\n'
INSTALLED = """C:Q1abc=
P:musl
V:1.2.5-r0
A:x86_64
S:1
I:400
p:so:libc.musl-x86_64.so.1=1
F:lib
R:ld-musl-x86_64.so.1
a:0:0:755

P:openssl
V:3.3.2-r0
A:x86_64
D:so:libc.musl-x86_64.so.1
o:openssl

"""
REPOSITORIES = """# a comment
https://who:secret@mirror.example/alpine/v3.20/main
@edge https://mirror.example/alpine/edge/main
/media/cdrom/apks
"""
FILES: dict[str, bytes | str] = {
    "/etc/os-release": ALPINE,
    "/lib/apk/db/installed": INSTALLED,
    "/etc/apk/repositories": REPOSITORIES,
    "/etc/apk/world": "openssl>3\n",
    "/etc/apk/arch": "x86_64\n",
    "/etc/apk/keys/a.rsa.pub": public(),
}


def described(**more: bytes | str) -> Content:
    return describe_guest(guest(MemoryTree({**FILES, **more})))


def test_everything_that_a_plan_starts_from_is_there() -> None:
    content = described()
    assert content.unknowns == ()
    main, edge, media = content.sources
    assert main == Source(
        type="apk",
        uri="https://mirror.example/alpine/v3.20/main",
        suite="",
        options=("credentials=removed",),
        where="/etc/apk/repositories:2",
    )
    assert (edge.suite, edge.uri) == ("edge", "https://mirror.example/alpine/edge/main")
    assert media.uri == "file:///media/cdrom/apks"
    planning = content.planning
    assert planning.type == "apk"
    assert planning.architectures == ("x86_64",)
    assert planning.auto == ("musl:x86_64",)
    assert [file.text for file in planning.preferences] == ["openssl>3\n"]
    assert [ring.path for ring in planning.keyrings] == ["/etc/apk/keys/a.rsa.pub"]
    assert planning.status == (
        "P:musl\nV:1.2.5-r0\nA:x86_64\nI:400\np:so:libc.musl-x86_64.so.1=1\n\n"
        "P:openssl\nV:3.3.2-r0\nA:x86_64\nD:so:libc.musl-x86_64.so.1\n"
    )
    assert "secret" not in repr(content)


def test_a_private_key_does_not_leave_the_guest() -> None:
    secret = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"
    content = described(**{"/etc/apk/keys/b.rsa.pub": secret})
    assert [one.where for one in content.unknowns] == ["/etc/apk/keys/b.rsa.pub"]
    assert "c2VjcmV0" not in repr(content)


def test_what_is_damaged_leaves_no_planning_state() -> None:
    content = described(**{"/etc/apk/world": b"\xff"})
    assert [one.where for one in content.unknowns] == ["/etc/apk/world"]
    assert content.planning.type == ""


def test_the_planning_state_survives_the_descriptor() -> None:
    content = described()
    found = read_descriptor(insert_descriptor(envelope(), Descriptor(content=content)))
    assert found is not None
    assert found.content.state == content.state
