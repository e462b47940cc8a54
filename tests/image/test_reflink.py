"""A raw disk shares its blocks with what it is written from, where the filesystem has that."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from regild.host.reflink import Sharing
from regild.image.convert import write_raw
from regild.image.formats import open_disk
from regild.image.overlay import Overlay
from regild.ovf.member import Member
from regild.publish.stored import Copied
from tests.image.disks import blank, noise, tool
from tests.image.mounted import mounted

MIB = 1 << 20
GRAIN = 65536
BASE = noise(20 * MIB)


def written(folder: Path) -> tuple[Path, Path, bytes]:
    """A raw disk with changes, written as a new one, and once more as a file of a package; what
    they have to hold."""
    base, scratch, out = folder / "base.raw", folder / "scratch.raw", folder / "out.raw"
    base.write_bytes(BASE + bytes(4 * MIB))
    wanted = bytearray(base.read_bytes())
    with open_disk(base) as disk, Overlay.create(folder / "overlay", disk) as overlay:
        for offset, content in ((3 * MIB, noise(2 * MIB)), (9 * MIB + 4096, noise(5000))):
            overlay.write(offset, content)
            wanted[offset : offset + len(content)] = content
        overlay.discard(12 * MIB, GRAIN)
        wanted[12 * MIB : 12 * MIB + GRAIN] = bytes(GRAIN)
        overlay.flush()
        os.sync()
        before = free(folder)
        with scratch.open("xb") as file:
            write_raw(overlay, file)
        with out.open("x+b") as file:
            stored = Copied((Member("a", scratch, 0, scratch.stat().st_size),), is_ours=True)
            stored.write_to(file)
            file.truncate(stored.bytes)
        os.sync()
        (folder / "took").write_text(str(before - free(folder)))
    return scratch, out, bytes(wanted)


def free(folder: Path) -> int:
    status = os.statvfs(folder)
    return status.f_bfree * status.f_frsize


def test_the_bytes_are_the_same_where_nothing_is_shared(tmp_path: Path) -> None:
    scratch, out, wanted = written(tmp_path)
    assert scratch.read_bytes() == out.read_bytes() == wanted


@pytest.mark.root
@pytest.mark.parametrize("kind", ["btrfs", "xfs"])
def test_blocks_are_shared_where_the_filesystem_can(kind: str, tmp_path: Path) -> None:
    image = blank(tmp_path / "volume", 320 * MIB)
    tool(f"mkfs.{kind}", "-q", image)
    with mounted(image, tmp_path / "mount") as folder:
        scratch, out, wanted = written(folder)
        assert scratch.read_bytes() == out.read_bytes() == wanted
        assert int((folder / "took").read_text()) < 8 * MIB  # two copies of 20 MiB
        with scratch.open("r+b") as file:  # each file is its own all the same
            file.write(b"changed")
        assert out.read_bytes() == wanted
        assert (folder / "base.raw").read_bytes()[: 20 * MIB] == BASE


def test_one_refusal_is_enough(tmp_path: Path) -> None:
    sharing = Sharing()
    (tmp_path / "one").write_bytes(b"x" * 4096)
    with (tmp_path / "one").open("rb") as source, (tmp_path / "two").open("wb") as target:
        place = source.fileno(), 1, target.fileno(), 0, 100
        assert not sharing.share(*place)
        assert not sharing.share(*place)
    assert (tmp_path / "two").stat().st_size == 0


def test_what_is_no_file_of_ours_is_copied(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(BASE)
    target = tmp_path / "two"
    with target.open("wb") as file:
        Copied((Member("one", tmp_path / "one", 0, len(BASE)),)).write_to(file)
    assert target.read_bytes() == BASE
