"""A disk in a compressed file, in chunks, or kept as a difference, is the same disk."""

import bz2
import gzip
import lzma
import shutil
from pathlib import Path

import pytest

from regild.errors import (
    DiskFull,
    Malformed,
    RegildError,
    TooLarge,
    Truncated,
    UnsupportedFormat,
)
from regild.image import packed
from regild.image.formats import open_disk, open_parts
from tests.image.disks import by_extents, noise, tool

SIZE = 5 << 20


def raw_content() -> bytes:
    content = bytearray(SIZE)
    for place in (0, 700_001, (4 << 20) - 3, SIZE - 5000):
        content[place : place + 5000] = noise(5000, place)
    return bytes(content)


def zstd(content: bytes) -> bytes:
    from backports import zstd

    return bytes(zstd.compress(content))


KINDS = {
    "gz": lambda content: gzip.compress(content, 1),
    "xz": lambda content: lzma.compress(content, preset=0),
    "zst": zstd,
    "bz2": lambda content: bz2.compress(content, 1),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_packed_raw_disk_is_that_disk(tmp_path, kind):
    path = tmp_path / "named-by-no-suffix"
    path.write_bytes(KINDS[kind](raw_content()))
    with open_disk(path) as disk:
        assert disk.format == "raw"
        assert disk.size == SIZE
        assert by_extents(disk) == raw_content()
    assert sorted(tmp_path.iterdir()) == [path]


def test_what_two_runs_packed_one_after_the_other_is_one_disk(tmp_path):
    content = raw_content()
    for kind in ("gz", "xz", "bz2", "zst"):
        path = tmp_path / kind
        path.write_bytes(KINDS[kind](content[: -(1 << 20)]) + KINDS[kind](content[-(1 << 20) :]))
        with open_disk(path) as disk:
            assert disk.read(0, disk.size) == content


@pytest.mark.parametrize("kind", KINDS)
def test_a_packed_disk_that_is_cut_off_or_damaged_is_refused(tmp_path, kind):
    whole = KINDS[kind](raw_content())
    path = tmp_path / "disk"
    for share in (0.1, 0.5, 0.99):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises((Truncated, Malformed)), open_disk(path):
            pass
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 0xFF
    path.write_bytes(damaged)
    try:
        with open_disk(path) as disk:
            # zstd and deflate may not notice without a checksum; xz, gzip and bzip2 have one.
            assert kind == "zst"
            assert disk.size == SIZE
    except RegildError:
        pass


def test_an_archive_inside_and_a_disk_packed_twice_are_named(tmp_path):
    path = tmp_path / "disk"
    for inside in (gzip.compress(b"x"), bytes(257) + b"ustar" + bytes(512)):
        path.write_bytes(gzip.compress(inside))
        with pytest.raises(UnsupportedFormat, match="unpack it first"), open_disk(path):
            pass
    path.write_bytes(gzip.compress(b""))
    with pytest.raises(Truncated), open_disk(path):
        pass


def test_what_comes_out_is_bounded(tmp_path, monkeypatch):
    path = tmp_path / "bomb"
    path.write_bytes(gzip.compress(bytes(SIZE)))
    monkeypatch.setattr(packed, "UNPACKED_MAX", SIZE - 1)
    with pytest.raises(TooLarge), open_disk(path):
        pass
    monkeypatch.undo()
    monkeypatch.setattr(packed, "BLANK_MAX", SIZE // 4)
    monkeypatch.setattr(packed, "GROWTH_MAX", SIZE // 2 // path.stat().st_size)
    with pytest.raises(TooLarge), open_disk(path):
        pass
    monkeypatch.undo()
    monkeypatch.setattr(packed, "CHECK_BYTES", 1 << 20)
    monkeypatch.setattr(packed, "RESERVE_BYTES", 1 << 62)
    with pytest.raises(DiskFull), open_disk(path):
        pass


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_disk_in_chunks_is_the_disk(tmp_path, wrapped):
    raw = tmp_path / "raw"
    raw.write_bytes(raw_content())
    stream = tmp_path / "stream"
    tool("qemu-img", "convert", "-O", "vmdk", "-o", "subformat=streamOptimized", raw, stream)
    content = stream.read_bytes()
    content = gzip.compress(content) if wrapped else content
    parts = []
    for number, at in enumerate(range(0, len(content), 3001)):
        path = tmp_path / f"chunk.{number}"
        path.write_bytes(b"before" + content[at : at + 3001] + b"behind")
        parts.append((path, 6, len(content[at : at + 3001])))
    assert len(parts) > 3
    with open_parts(parts, wrapped) as disk:
        assert disk.read(0, SIZE) == raw_content()
        assert by_extents(disk)[:SIZE] == raw_content()
    with pytest.raises(RegildError), open_parts(parts[:2], wrapped) as disk:
        disk.read(0, disk.size)


def delta(folder: Path) -> tuple[Path, Path, bytes]:
    """A disk, a delta disk on it, and what the two hold together."""
    (folder / "raw").write_bytes(raw_content())
    parent, child = folder / "parent.vmdk", folder / "child.vmdk"
    tool("qemu-img", "convert", "-f", "raw", "-O", "vmdk", folder / "raw", parent)
    tool("qemu-img", "create", "-q", "-f", "vmdk", "-F", "vmdk", "-b", parent, child)
    for command in ("write -P 7 1M 70000", "write -P 8 4194304 10"):
        tool("qemu-io", "-f", "vmdk", "-c", command, child)
    tool("qemu-img", "convert", "-f", "vmdk", "-O", "raw", child, folder / "both")
    return parent, child, (folder / "both").read_bytes()


def test_a_delta_disk_is_read_through_its_parent(tmp_path):
    parent, child, both = delta(tmp_path)
    assert both != raw_content()
    with (
        open_disk(parent) as below,
        open_parts([(child, 0, child.stat().st_size)], False, below) as disk,
    ):
        assert disk.read(0, SIZE) == both
        assert by_extents(disk)[:SIZE] == both
        assert disk.bytes_read > below.bytes_read > 0


def test_a_delta_disk_of_another_parent_is_refused(tmp_path):
    parent, child, _ = delta(tmp_path)
    other = Path(shutil.copy(parent, tmp_path / "other.vmdk"))
    tool("qemu-io", "-f", "vmdk", "-c", "write -P 9 0 10", other)
    with (
        open_disk(other) as below,
        pytest.raises(Malformed, match="parent"),
        open_parts([(child, 0, child.stat().st_size)], False, below),
    ):
        pass
    with (
        open_disk(parent) as below,
        pytest.raises(UnsupportedFormat),
        open_parts([(tmp_path / "raw", 0, SIZE)], False, below),
    ):
        pass
