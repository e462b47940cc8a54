"""Damaged packages end in an error of ours or in an answer, never in anything else."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from regild.errors import RegildError
from regild.model.digest import sha256_of
from regild.ovf.archive import open_appliance
from regild.ovf.content import insert_descriptor, read_descriptor, strip_descriptor
from regild.ovf.envelope import read_envelope
from regild.ovf.manifest import read_manifest
from regild.ovf.rewrite import DiskPatch, add_file, patch_sizes, remove_file
from tests.ovf.samples import envelope, rich_descriptor, system, write_ova
from tests.ovf.test_envelope import DRAFT

ROUNDS = 400
BITS = (
    b"<", b">", b'"', b"&", b"'", b"/>", b"<!--", b"]]>", b"&#0;", b"&#x10ffff;", b"\x00", b"\xff",
    b"xmlns:ovf=''", b"xmlns=''", b"<ovf:", b" ", b"-1", b"9" * 30, b"\\u0000", b"sha256:", b"=",
    b"<File ovf:id='x' ovf:href='y'/>", b"<VirtualSystem/>", b"<?regild empty?>", b"(", b")\n",
)  # fmt: skip


def damaged(content: bytes, chance: random.Random) -> bytes:
    """The content with a few cuts, copies and strange insertions."""
    found = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(found) + 1)
        end = min(len(found), at + chance.choice((0, 1, 3, 40)))
        other = chance.randrange(len(found) + 1)
        found[at:end] = chance.choice(
            (
                b"",
                chance.choice(BITS),
                bytes(found[other : other + 60]),
                bytes([chance.getrandbits(8)]),
            )
        )
    return bytes(found)


def edit_all(content: bytes) -> None:
    sizes = {file.id: 5 for file in read_envelope(content).files}
    patch_sizes(content, sizes, {"vmdisk1": DiskPatch(1, 2, "x")})
    remove_file(add_file(content, "new", "new.json", 5), "new")
    described = insert_descriptor(content, rich_descriptor())
    assert read_descriptor(described) == rich_descriptor()
    strip_descriptor(described)


@pytest.mark.parametrize("work", [read_descriptor, strip_descriptor, edit_all])
@pytest.mark.parametrize(
    "content",
    [
        insert_descriptor(envelope(), rich_descriptor()),
        insert_descriptor(envelope(systems="<VirtualSystem ovf:id='vm'/>"), rich_descriptor()),
        envelope(systems=system("a") + system("b")),
        DRAFT,
    ],
    ids=["described", "empty", "two", "draft"],
)
def test_damaged_envelopes(work: Callable[[bytes], object], content: bytes) -> None:
    chance = random.Random(7)
    for _ in range(ROUNDS):
        try:
            work(damaged(content, chance))
        except RegildError as error:
            assert str(error)


def test_damaged_manifests() -> None:
    chance = random.Random(7)
    content = b"".join(b"SHA256(file%d)= %s\n" % (n, sha256_of(b"")[7:].encode()) for n in range(9))
    for _ in range(ROUNDS):
        try:
            read_manifest(damaged(content, chance))
        except RegildError as error:
            assert str(error)


def test_damaged_archives(tmp_path: Path) -> None:
    chance = random.Random(7)
    path = write_ova(tmp_path / "x.ova", {"vm.ovf": envelope(), "disk1.vmdk": b"12345"})
    content = path.read_bytes()
    for _ in range(ROUNDS):
        path.write_bytes(damaged(content, chance))
        try:
            with open_appliance(path) as appliance:
                assert appliance.members
        except RegildError as error:
            assert str(error)
