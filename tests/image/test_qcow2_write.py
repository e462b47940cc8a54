"""A qcow2 disk as it is written: whole for QEMU, equal to what went in, the unchanged moved."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from regild.image.formats import open_disk
from regild.image.overlay import Overlay
from regild.image.qcow2 import Qcow2Disk
from regild.image.qcow2_write import write_qcow2
from tests.image.disks import noise, tool

TEXT = b"".join(b"line %d of a text that packs well\n" % number for number in range(60_000))
CONTENT = TEXT + bytes(3 << 20) + noise(300_000, 2) + bytes(1 << 20) + TEXT[:700_000]
CONTENT += bytes(-len(CONTENT) % 512)
WAYS = {
    "zlib": ("-c",),
    "zstd": ("-c", "-o", "compression_type=zstd"),
    "nothing packed": (),
    "clusters of 4 KiB": ("-c", "-o", "cluster_size=4k"),
    "clusters of 2 MiB": ("-c", "-o", "cluster_size=2M"),
    "version 2": ("-c", "-o", "compat=0.10"),
    "subclusters": ("-c", "-o", "extended_l2=on,cluster_size=128k"),
}


def made(folder: Path, *options: str) -> Path:
    raw, path = folder / "disk.raw", folder / "disk.qcow2"
    raw.write_bytes(CONTENT)
    tool("qemu-img", "convert", "-f", "raw", "-O", "qcow2", *options, raw, path)
    return path


def written(folder: Path, base: Path, change: bytes = b"", at: int = 0, name: str = "new") -> Path:
    """The disk over which something was written, as a new file."""
    overlay, out = folder / f"{name}.overlay", folder / f"{name}.qcow2"
    with open_disk(base) as disk, Overlay.create(overlay, disk) as changed, out.open("wb") as file:
        if change:
            changed.write(at, change)
        write_qcow2(changed, file)
    return out


def checked(path: Path, content: bytes) -> None:
    """QEMU finds nothing to say of it, and reads what went in; so do we."""
    tool("qemu-img", "check", "-f", "qcow2", path)
    raw = path.with_suffix(".raw")
    tool("qemu-img", "convert", "-f", "qcow2", "-O", "raw", path, raw)
    assert raw.read_bytes() == content
    with open_disk(path) as disk:
        assert disk.read(0, disk.size) == content


@pytest.mark.parametrize("way", WAYS)
def test_a_changed_disk_is_whole_and_holds_the_change(tmp_path: Path, way: str) -> None:
    base = made(tmp_path, *WAYS[way])
    change = noise(100_000, 9) + TEXT[:200_000]
    at = 1_000_001
    expected = CONTENT[:at] + change + CONTENT[at + len(change) :]
    new = written(tmp_path, base, change, at)
    checked(new, expected)
    with open_disk(base) as old, open_disk(new) as disk:
        assert isinstance(old, Qcow2Disk)
        assert isinstance(disk, Qcow2Disk)
        if old.is_plain:
            assert (disk.is_zstd, disk.cluster_bits) == (old.is_zstd, old.cluster_bits)


@pytest.mark.parametrize("way", ["zlib", "zstd", "clusters of 4 KiB"])
def test_unchanged_clusters_are_the_same_packed_bytes(tmp_path: Path, way: str) -> None:
    base = made(tmp_path, *WAYS[way])
    new = written(tmp_path, base, b"x" * 5000, 10)
    with open_disk(base) as old, open_disk(new) as disk:
        assert isinstance(old, Qcow2Disk)
        assert isinstance(disk, Qcow2Disk)
        moved = 0
        for number in range(-(-(64 << 10) // (1 << old.cluster_bits)), 1 << 9):
            if number << old.cluster_bits >= old.size:
                break
            first, second = old.packed_at(number), disk.packed_at(number)
            if first is not None and second is not None:
                assert first[0] % 512 == second[0] % 512
                shorter = min(first[1], second[1])
                assert old.read_packed(first[0], shorter - 512 if shorter > 512 else 1) == (
                    disk.read_packed(second[0], shorter - 512 if shorter > 512 else 1)
                )
                moved += 1
        assert moved > 10


def test_many_generations_do_not_grow(tmp_path: Path) -> None:
    base = made(tmp_path, "-c")
    chance = random.Random(5)
    content = bytearray(CONTENT)
    first = 0
    for number in range(6):
        at, change = chance.randrange(0, 1_000_000), TEXT[number : number + 70_000]
        content[at : at + len(change)] = change
        base = written(tmp_path, base, change, at, f"generation{number}")
        first = first or base.stat().st_size
    checked(base, bytes(content))
    assert base.stat().st_size < 1.02 * first + 65536


def test_equal_disks_give_equal_bytes(tmp_path: Path) -> None:
    base = made(tmp_path, "-c")
    ways = [written(tmp_path, base, b"new", 7, name).read_bytes() for name in ("a", "b")]
    assert ways[0] == ways[1]


def test_any_disk_becomes_one(tmp_path: Path) -> None:
    raw, out = tmp_path / "some.img", tmp_path / "out.qcow2"
    raw.write_bytes(CONTENT)
    with open_disk(raw) as disk, out.open("wb") as file:
        write_qcow2(disk, file)
    checked(out, CONTENT)
    assert out.stat().st_size < len(CONTENT) // 4


def test_an_empty_disk_is_one_too(tmp_path: Path) -> None:
    raw, out = tmp_path / "some.img", tmp_path / "out.qcow2"
    raw.write_bytes(bytes(5 << 20))
    with open_disk(raw) as disk, out.open("wb") as file:
        write_qcow2(disk, file)
    checked(out, bytes(5 << 20))
