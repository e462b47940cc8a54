"""What a booted guest wrote to its drive: a loader from where loaders lie, and nothing else."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from regild.change.loader import GRUB, take_loader
from regild.change.tree import Part
from regild.errors import RecordRefused
from regild.image.overlay import Overlay
from regild.image.partitions import read_gap
from tests.image.disks import MemoryDisk
from tests.image.test_volumes import BIOS, LINUX, gpt, mbr

SECTOR = 512
MIB = 1 << 20
ROOT = Part("/", 2 * MIB, 4 * MIB, "ext4")
GPT = ((BIOS, 2048, 4095, ""), (LINUX, 4096, 12287, ""))
CORE = b"core" * 5000


def boot_sector(sector: int, table: bytes) -> bytes:
    """GRUB's first sector, over a table that stays."""
    code = bytearray(440)
    code[0x5C:0x64] = struct.pack("<Q", sector)
    code[0x180 : 0x180 + len(GRUB)] = GRUB
    return bytes(code) + table


def core(*lists: tuple[int, int]) -> bytes:
    """GRUB's second stage with the lists of where the rest of it lies."""
    first = bytearray(b"d" * 300 + bytes(212))
    for number, (begin, count) in enumerate(lists, 1):
        first[SECTOR - 12 * number : SECTOR - 12 * number + 10] = struct.pack("<QH", begin, count)
    return bytes(first) + CORE


class Trial:
    """A disk, and what its guest left of it."""

    def __init__(self, disk: MemoryDisk, folder: Path) -> None:
        self.base = disk
        self.left = Overlay.create(folder / "booted", disk)
        self.result = Overlay.create(folder / "overlay", disk)

    def install(self, at: int, *lists: tuple[int, int]) -> None:
        """Write a loader as grub-install does: to the first sector, and from a sector on."""
        self.left.write(0, boot_sector(at, self.base.read(440, 72)))
        self.left.write(at * SECTOR, core(*lists or ((at + 1, 40),)))

    def take(self, *areas: tuple[int, int], parts: tuple[Part, ...] = (ROOT,)) -> None:
        take_loader(self.result, self.base, self.left, areas, parts)

    def differing(self) -> set[int]:
        """The sectors that are not as they were."""
        return {
            at
            for at in range(self.base.size // SECTOR)
            if self.result.read(at * SECTOR, SECTOR) != self.base.read(at * SECTOR, SECTOR)
        }


@contextlib.contextmanager
def trial(disk: MemoryDisk, folder: Path) -> Iterator[Trial]:
    made = Trial(disk, folder)
    with made.left, made.result:
        yield made


def areas_of(disk: MemoryDisk, first: int) -> tuple[tuple[int, int], ...]:
    return (*read_gap(disk, first), (MIB, MIB))


def test_a_loader_is_taken_from_a_bios_boot_partition_and_the_first_sector(tmp_path: Path) -> None:
    with trial(gpt(GPT), tmp_path) as one:
        one.install(2048)
        one.take(*areas_of(one.base, MIB))
        assert one.differing() == {0, *range(2048, 2048 + len(core()) // SECTOR + 1)}
        assert one.result.read(0, SECTOR) == one.left.read(0, SECTOR)
        assert one.result.read(MIB, MIB) == one.left.read(MIB, MIB)


def test_a_loader_is_taken_from_the_gap_of_an_mbr(tmp_path: Path) -> None:
    with trial(mbr([(0x83, 4096, 8192)]), tmp_path) as one:
        one.install(1, (2, 20), (30, 20))
        one.take(*read_gap(one.base, 2 * MIB))
        assert one.differing() == {0, *range(1, 1 + len(core()) // SECTOR + 1)}


def test_what_a_guest_writes_elsewhere_on_its_drive_stays_out(tmp_path: Path) -> None:
    with trial(gpt(GPT), tmp_path) as one:
        one.install(2048)
        before = one.base.content
        places = {
            "disk signature and table": (440, 72),
            "header": (SECTOR, 92),
            "entries": (2 * SECTOR + 100 * 128, 128),
            "filesystem": (3 * MIB, 4096),
            "behind the last partition": (12290 * SECTOR, SECTOR),
            "backup": (one.base.size - SECTOR, SECTOR),
        }
        for at, length in places.values():
            one.left.write(at, b"\xa5" * length)
        one.take(*areas_of(one.base, MIB))
        for name, (at, length) in places.items():
            assert one.result.read(at, length) == before[at : at + length], name
        assert one.result.read(0, 440) == one.left.read(0, 440)


@pytest.mark.parametrize(
    ("at", "lists"),
    [(6000, ((6001, 40),)), (2048, ((6001, 40),)), (2048, ((2049, 10), (6001, 30))), (1, ())],
    ids=["all of it", "but its first sector", "a part", "in the table"],
)
def test_a_loader_that_reads_its_blocks_from_elsewhere_is_refused(
    at: int, lists: tuple[tuple[int, int], ...], tmp_path: Path
) -> None:
    with trial(gpt(GPT), tmp_path) as one:
        one.install(at, *lists)
        with pytest.raises(RecordRefused, match=r"boot loader.*blocks of a filesystem"):
            one.take(*areas_of(one.base, MIB))
        assert one.differing() == set()


@pytest.mark.parametrize("sector", [(1 << 64) - 1, 16384, 16383, 1 << 55])
def test_a_loader_beyond_the_drive_is_refused(sector: int, tmp_path: Path) -> None:
    with trial(gpt(GPT), tmp_path) as one:
        one.left.write(0, boot_sector(sector, one.base.read(440, 72)))
        with pytest.raises(RecordRefused):
            one.take(*areas_of(one.base, MIB))


def test_a_loader_in_front_of_a_filesystem_is_refused(tmp_path: Path) -> None:
    with trial(gpt(GPT), tmp_path) as one:
        one.left.write(ROOT.offset + 100, b"stage 1")
        with pytest.raises(RecordRefused, match=r"/ is refused.*in front of its filesystem"):
            one.take(*areas_of(one.base, MIB))


def test_firmware_partitions_alone_need_no_grub_of_a_bios(tmp_path: Path) -> None:
    with trial(gpt(GPT), tmp_path) as one:
        one.left.write(MIB + 700, b"program")
        one.take((MIB, MIB))
        assert one.differing() == {2049}


@pytest.mark.parametrize(
    ("disk", "first", "gap"),
    [
        (mbr([(0x83, 2048, 4096)]), MIB, [(0, 440), (512, MIB - 512)]),
        (mbr([(0x0F, 2048, 4096)]), 2 * MIB, [(0, 440), (512, MIB - 512)]),
        (gpt(GPT), MIB, [(0, 440), (34 * 512, MIB - 34 * 512)]),
        (gpt(GPT, entries=256), MIB, [(0, 440), (66 * 512, MIB - 66 * 512)]),
        (gpt(GPT, sector=4096), 8 * MIB, [(0, 440), (6 * 4096, 8 * MIB - 6 * 4096)]),
        (mbr([(0x83, 2048, 4096)]), 0, []),
        (MemoryDisk(bytes(100)), 0, []),
    ],
    ids=["mbr", "extended", "gpt", "more entries", "4096", "no gap", "tiny"],
)
def test_the_gap_is_without_what_names_partitions(
    disk: MemoryDisk, first: int, gap: list[tuple[int, int]]
) -> None:
    assert list(read_gap(disk, first)) == gap
