"""What a booted guest left of a filesystem, read as an upper directory: which files it wrote to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from regild.change.acquire import main as acquire
from regild.change.record import read_record
from regild.change.tree import Part
from regild.image.ext import ExtVolume
from regild.image.formats import open_disk
from regild.image.overlay import Overlay
from regild.image.region import Region
from regild.image.writeback import Writeback
from regild.model.json import to_json
from regild.model.progress import Silent
from regild.model.record import Inode
from tests.image.ext_images import make_image

pytestmark = pytest.mark.root


def test_a_file_that_kept_its_inode_was_written_through(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("written", "replaced", "touched", "gone"):
        (source / name).write_bytes(b"old")
    image = make_image(tmp_path / "image", "ext4", source)
    upper = tmp_path / "upper"
    upper.mkdir()
    with open_disk(image) as disk, Overlay.create(tmp_path / "booted", disk) as booted:
        volume = ExtVolume(Region(booted, ((0, disk.size),), "test"), "test", writable=True)
        guest = Writeback(volume)
        put(guest, "/made", b"new")
        put(guest, "/written", b"new")
        guest.remove("/replaced")
        put(guest, "/other", b"")  # takes the number that became free
        put(guest, "/replaced", b"new")
        guest.remove("/gone")
        guest.flush()
        volume.close()
        booted.flush()
    part = Part("/", 0, image.stat().st_size, "ext4")
    with image.open("rb") as file:
        place = {"disk": file.fileno(), "where": "test", "offset": 0, "bytes": part.bytes}
        asked = {
            "parts": to_json((part,), 0),
            "upper": str(upper),
            "booted": str(tmp_path / "booted"),
        }
        acquire({**place, **asked}, Silent())
    with (tmp_path / "content").open("wb") as content:
        record = read_record(upper, source, content, 1 << 30)
    found = {entry.path: entry.in_place for entry in record.entries if entry.becomes.kind == "file"}
    assert found["/written"] and not found["/replaced"] and not found["/made"]
    assert not os.path.lexists(upper / "touched")


def put(guest: Writeback, path: str, content: bytes) -> None:
    number = guest.find(path)
    if number is None:
        number = guest.make(path, Inode("file"))
    guest.write_content(number, len(content), [content] if content else [])
    guest.write_metadata(number, Inode("file", 0o644, mtime_ns=10**18), 10**18)
