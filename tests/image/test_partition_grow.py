"""Tables of larger disks, judged by other people's tools."""

from __future__ import annotations

from pathlib import Path

import pytest

from regild.errors import Malformed, UnsupportedFormat
from regild.image.convert import write_raw
from regild.image.formats import open_disk
from regild.image.longer import Longer, Stretch, beneath
from regild.image.overlay import Overlay
from regild.image.partition_grow import grow_partition
from regild.image.partitions import read_partitions
from tests.image.disks import blank, tool

MIB = 1 << 20
NEW = 40 * MIB


def grown(disk: Path, offset: int, out: Path, size: int = NEW) -> int:
    """Grow the partition at an offset; the new disk goes to `out`."""
    with (
        open_disk(disk) as base,
        Overlay.create(out.with_suffix(".overlay"), Longer(base, size)) as overlay,
    ):
        length = grow_partition(overlay, base.size, offset, "the disk")
        with out.open("xb") as file:
            write_raw(overlay, file)
    return length


@pytest.mark.parametrize("label", ["gpt", "dos"])
def test_the_last_partition_reaches_to_the_new_end(tmp_path: Path, label: str) -> None:
    disk, out = blank(tmp_path / "disk", 16 * MIB), tmp_path / "out"
    rows = f"label: {label}\nstart=2048, size=4096\nstart=8192, size=16384\n"
    tool("sfdisk", "--quiet", disk, text=rows)
    length = grown(disk, 4 * MIB, out)
    with open_disk(out) as again:
        first, last = read_partitions(again) or ()
    assert (first.offset, first.bytes) == (MIB, 2 * MIB)
    assert (last.offset, last.bytes) == (4 * MIB, length)
    assert NEW - 4 * MIB - 2 * MIB < length <= NEW - 4 * MIB
    assert "No errors detected" in tool("sfdisk", "--verify", out)
    if label == "gpt":
        told = tool("sgdisk", "-v", out)
        assert "No problems found" in told
        with open_disk(disk) as before:
            (_, was) = read_partitions(before) or ()
        assert (last.uuid, last.type) == (was.uuid, was.type)


def test_the_backup_at_the_old_end_is_gone_and_the_new_one_is_enough(tmp_path: Path) -> None:
    disk, out = blank(tmp_path / "disk", 16 * MIB), tmp_path / "out"
    tool("sfdisk", "--quiet", disk, text="label: gpt\nstart=2048\n")
    grown(disk, MIB, out)
    content = bytearray(out.read_bytes())
    assert content.count(b"EFI PART") == 2
    content[512:1024] = bytes(512)
    out.write_bytes(content)
    with open_disk(out) as again:
        (only,) = read_partitions(again) or ()
    assert only.bytes > 30 * MIB


def test_a_damaged_first_header_is_not_written_anew_as_a_good_one(tmp_path: Path) -> None:
    disk = blank(tmp_path / "disk", 16 * MIB)
    tool("sfdisk", "--quiet", disk, text="label: gpt\nstart=2048\n")
    content = bytearray(disk.read_bytes())
    content[512 + 60] ^= 1  # in the disk's own id
    disk.write_bytes(content)
    with pytest.raises(Malformed, match="first GPT is damaged"):
        grown(disk, MIB, tmp_path / "out")


@pytest.mark.parametrize(
    ("rows", "offset", "words"),
    [
        ("label: gpt\nstart=2048, size=4096\nstart=8192\n", MIB, "partition 2 stands behind"),
        ("label: dos\nstart=2048, size=4096\nstart=8192\n", MIB, "partition 2 stands behind"),
        ("label: dos\nstart=2048,type=5\nstart=4096,type=83\n", 2 * MIB, "logical"),
    ],
)
def test_what_cannot_grow_is_said(tmp_path: Path, rows: str, offset: int, words: str) -> None:
    disk = blank(tmp_path / "disk", 16 * MIB)
    tool("sfdisk", "--quiet", disk, text=rows)
    with pytest.raises(UnsupportedFormat, match=words):
        grown(disk, offset, tmp_path / "out")


def test_a_disk_without_a_table_is_the_filesystems_whole(tmp_path: Path) -> None:
    assert grown(blank(tmp_path / "disk", MIB), 0, tmp_path / "out") == NEW


def test_a_longer_disk_reads_as_zeros_behind_its_end(tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(b"x" * 1000)
    with open_disk(tmp_path / "disk") as base:
        longer = Longer(base, 5000)
        assert longer.read(990, 100) == b"x" * 10 + bytes(90)
        assert longer.read(2000, 3000) == bytes(3000)
        assert list(longer.extents()) == list(base.extents())
        assert beneath(longer) is base
        part = Stretch(longer, 500, 1000)
        assert part.read(499, 2) == b"x" + b"\0"
        assert list(part.extents()) == [(0, 500)]
