"""What initial RAM disks hold, whatever they are packed with, and whatever is wrong with them."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import random
import subprocess

import pytest
from backports import zstd

from regild.errors import Malformed, RegildError, TooLarge, UnsupportedFormat
from regild.prove.initramfs import _Source, read_names
from tests.image.disks import tool

PACKERS = {
    "none": bytes,
    "gzip": gzip.compress,
    "xz": lambda content: lzma.compress(content, check=lzma.CHECK_CRC32),
    "zstd": zstd.compress,
    "bzip2": bz2.compress,
}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An archive that the real cpio makes."""
    folder = tmp_path_factory.mktemp("root")
    for name, content in {"init": b"#!/bin/sh\n", "lib/modules/6.1/a.ko": os.urandom(9999)}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    tool("cpio", "--version")
    names = "\n".join([".", *sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))])
    line = ["cpio", "--quiet", "-o", "-H", "newc"]
    done = subprocess.run(line, input=names.encode(), capture_output=True, cwd=folder, check=True)
    return done.stdout


WANTED = {"", "init", "lib", "lib/modules", "lib/modules/6.1", "lib/modules/6.1/a.ko"}


@pytest.mark.parametrize("packer", PACKERS)
def test_names_are_read_through_every_compression(archive: bytes, packer: str) -> None:
    assert {one.removeprefix(".") for one in read_names(PACKERS[packer](archive), "x")} == WANTED


@pytest.mark.parametrize("packer", ["gzip", "zstd"])
def test_microcode_in_front_is_an_archive_of_its_own(archive: bytes, packer: str) -> None:
    early = archive.replace(b"init", b"kern")
    found = read_names(early + bytes(512) + PACKERS[packer](archive + bytes(100) + archive), "x")
    assert {"init", "kern"} <= found


def test_an_unknown_compression_is_said(archive: bytes) -> None:
    with pytest.raises(UnsupportedFormat):
        read_names(b"\x02!L\x18" + archive, "x")


def test_a_bomb_is_bounded() -> None:
    head = (
        b"070701" + b"0" * 48 + b"%08X" % (2 << 30) + b"0" * 32 + b"00000005" + b"0" * 8 + b"big\0"
    )
    bomb = gzip.compress(head + bytes(2), 1) + gzip.compress(bytes(64 << 20), 9) * 40
    with pytest.raises((TooLarge, Malformed)):
        read_names(bomb, "x")


def test_damage_ends_in_a_typed_error(archive: bytes) -> None:
    dice = random.Random(5)
    for packer in ("none", "gzip", "zstd"):
        whole = PACKERS[packer](archive)
        for _ in range(60):
            broken = bytearray(whole)
            for _ in range(3):
                broken[dice.randrange(len(broken))] = dice.randrange(256)
            for content in (bytes(broken), whole[: dice.randrange(1, len(whole))]):
                try:
                    read_names(content, "x")
                except RegildError as error:
                    assert str(error)


def test_zeros_are_passed_over_at_once_and_pieces_without_copying_what_follows(
    archive: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []
    real = _Source._look

    def look(self: _Source, count: int) -> bytes:
        held = self._held
        piece = real(self, count)
        looks.append(held is not self._held)
        return piece

    monkeypatch.setattr(_Source, "_look", look)
    head = b"070701" + b"0" * 88 + b"00000002" + b"0" * 8 + b"a\0"
    packed = gzip.compress(archive + bytes(1 << 20) + head * 2000 + archive)
    assert "init" in read_names(packed, "x")
    assert len(looks) < 15_000  # a few for each header, none for each zero
    assert sum(looks) < 20  # once a step
