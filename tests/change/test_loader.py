"""What a booted guest wrote to its drive: a loader from where loaders lie, and nothing else."""

from __future__ import annotations

import contextlib
import struct
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from regild.change.loader import GRUB, check_loader, take_loader, taken_of
from regild.change.loader_places import Place, find_places
from regild.change.tree import Part
from regild.errors import RecordRefused
from regild.image.overlay import Overlay
from regild.image.partitions import read_gap, read_tables
from regild.image.volumes import Volume, read_volumes
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
        self.record: dict[int, bytes] = {}
        """What is written besides, by place."""

    def install(self, at: int, *lists: tuple[int, int]) -> None:
        """Write a loader as grub-install does: to the first sector, and from a sector on."""
        self.left.write(0, boot_sector(at, self.base.read(440, 72)))
        self.left.write(at * SECTOR, core(*lists or ((at + 1, 40),)))

    def take(self, *places: Place, parts: tuple[Part, ...] = (ROOT,)) -> None:
        """As WRITE does: first the loader, then the record, then a look at what came of it."""
        take_loader(self.result, self.base, self.left, places, parts)
        for at, content in self.record.items():
            self.result.write(at, content)
        check_loader(self.result, self.base, taken_of(places))

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


def places_of(disk: MemoryDisk, *parts: Part, written: bool = True) -> tuple[Place, ...]:
    return find_places(disk, read_volumes(disk), parts or (ROOT,), written)


def test_a_loader_is_taken_from_a_bios_boot_partition_and_the_first_sector(tmp_path: Path) -> None:
    with trial(gpt(GPT), tmp_path) as one:
        one.install(2048)
        one.take(*places_of(one.base))
        assert one.differing() == {0, *range(2048, 2048 + len(core()) // SECTOR + 1)}
        assert one.result.read(0, SECTOR) == one.left.read(0, SECTOR)
        assert one.result.read(MIB, MIB) == one.left.read(MIB, MIB)


def test_a_loader_is_taken_from_the_gap_of_an_mbr(tmp_path: Path) -> None:
    with trial(mbr([(0x83, 4096, 8192)]), tmp_path) as one:
        one.install(1, (2, 20), (30, 20))
        one.take(*places_of(one.base))
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
        one.take(*places_of(one.base))
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
            one.take(*places_of(one.base))


@pytest.mark.parametrize("sector", [(1 << 64) - 1, 16384, 16383, 1 << 55])
def test_a_loader_beyond_the_drive_is_refused(sector: int, tmp_path: Path) -> None:
    with trial(gpt(GPT), tmp_path) as one:
        one.left.write(0, boot_sector(sector, one.base.read(440, 72)))
        with pytest.raises(RecordRefused):
            one.take(*places_of(one.base))


def test_a_loader_in_front_of_a_filesystem_is_refused(tmp_path: Path) -> None:
    with trial(gpt(GPT), tmp_path) as one:
        one.left.write(ROOT.offset + 100, b"stage 1")
        with pytest.raises(RecordRefused, match=r"/ is refused.*in front of its filesystem"):
            one.take(*places_of(one.base))


def test_firmware_partitions_alone_need_no_grub_of_a_bios(tmp_path: Path) -> None:
    with trial(gpt(GPT), tmp_path) as one:
        one.left.write(MIB + 700, b"program")
        one.take(*places_of(one.base))
        assert one.differing() == {2049}


def test_a_grub_that_lay_as_blocks_before_stays_where_nothing_of_it_changes(
    tmp_path: Path,
) -> None:
    with trial(blocks_before(), tmp_path) as one:
        one.record = {4 * MIB: b"a file"}
        one.left.write(4 * MIB, b"its file")
        one.take(*places_of(one.base))
        assert one.differing() == {4 * MIB // SECTOR}


@pytest.mark.parametrize("at", [6000, 6001, 6030])
def test_a_grub_that_lay_as_blocks_before_is_refused_where_they_change(
    at: int, tmp_path: Path
) -> None:
    with trial(blocks_before(), tmp_path) as one:
        one.record = {at * SECTOR: b"another file"}
        with pytest.raises(
            RecordRefused, match=r"boot loader.*by the blocks in which its file lay"
        ):
            one.take(*places_of(one.base))


def test_without_a_boot_a_grub_of_blocks_is_looked_after_too(tmp_path: Path) -> None:
    with trial(blocks_before(), tmp_path) as one:
        check_loader(one.result, one.base, ())
        one.result.write(6001 * SECTOR, b"another file")
        with pytest.raises(RecordRefused, match="no longer its own"):
            check_loader(one.result, one.base, ())


def blocks_before() -> MemoryDisk:
    """A disk on which GRUB was written as blocks of the root filesystem."""
    table = gpt(GPT).content[440:SECTOR]
    return gpt(GPT, content=((0, boot_sector(6000, table)), (6000 * SECTOR, core((6001, 40)))))


def test_lilo_is_refused(tmp_path: Path) -> None:
    with trial(gpt(GPT), tmp_path) as one:
        one.left.write(0, b"\xfa\xeb!\x01\xb4\x01LILO")
        with pytest.raises(RecordRefused, match="LILO reads its map"):
            one.take(*places_of(one.base))


ESP = uuid.UUID("C12A7328-F81F-11D2-BA4B-00A0C93EC93B")
DATA = uuid.UUID("EBD0A0A2-B9E5-4433-87C0-68B6B72699C7")


def fat(serial: int) -> bytes:
    """As much of a FAT as tells it from others."""
    head = bytearray(SECTOR)
    head[:3], head[510:] = b"\xeb\x3c\x90", b"\x55\xaa"
    struct.pack_into("<HBHB", head, 11, 512, 1, 1, 2)
    head[21] = 0xF8
    struct.pack_into("<I", head, 39, serial)
    return bytes(head)


FIRMWARE = ((ESP, 2048, 4095, ""), (LINUX, 4096, 12287, ""), (DATA, 12288, 14335, ""))


def two_fats() -> MemoryDisk:
    return gpt(FIRMWARE, content=((MIB, fat(1)), (6 * MIB, fat(2))))


def test_of_two_fats_only_the_firmwares_is_taken(tmp_path: Path) -> None:
    with trial(two_fats(), tmp_path) as one:
        one.left.write(MIB + 700, b"program")
        one.left.write(6 * MIB + 700, b"data of nobody")
        one.take(*places_of(one.base))
        assert one.differing() == {2049}


def test_a_fat_with_data_that_the_guest_changed_is_refused(tmp_path: Path) -> None:
    data = Part("/data", 6 * MIB, MIB, "vfat")
    with trial(two_fats(), tmp_path) as one:
        one.take(*places_of(one.base, ROOT, data))
        one.left.write(6 * MIB + 700, b"data")
        with pytest.raises(RecordRefused, match=r"/data.*on vfat is not taken over"):
            one.take(*places_of(one.base, ROOT, data))


def test_a_fat_that_the_guest_starts_from_is_its_firmwares_by_its_place(tmp_path: Path) -> None:
    with trial(two_fats(), tmp_path) as one:
        one.left.write(6 * MIB + 700, b"program")
        one.take(*places_of(one.base, ROOT, Part("/boot/efi", 6 * MIB, MIB, "vfat")))
        assert one.differing() == {6 * MIB // SECTOR + 1}


@pytest.mark.parametrize(
    ("at", "where"),
    [(100, "the first sector"), (40 * SECTOR, "the gap"), (MIB + 700, "partition 1")],
)
def test_a_loader_that_no_package_accounts_for_is_refused(
    at: int, where: str, tmp_path: Path
) -> None:
    with trial(two_fats(), tmp_path) as one:
        one.left.write(440, b"sign")  # the disk's signature is nobody's loader
        one.take(*places_of(one.base, written=False))
        one.left.write(at, b"loader")
        with pytest.raises(RecordRefused, match=f"{where}.*no package that it changed"):
            one.take(*places_of(one.base, written=False))
        assert one.differing() == set()


def test_the_gap_ends_with_the_first_partition_whatever_lies_in_layers() -> None:
    disk = mbr([(0x8E, 4096, 8192)])
    (whole,) = read_volumes(disk)
    inside = Volume(1_000_000, "LVM volume a", MIB, MIB, "filesystem", "ext4", layer="LVM")
    _code, gap = find_places(disk, (whole, inside), (ROOT,), True)
    assert gap.spans == ((SECTOR, 2 * MIB - SECTOR),)


def test_a_disk_without_a_table_has_no_gap_and_its_first_sector_stays(tmp_path: Path) -> None:
    disk = MemoryDisk(bytes(SECTOR) + b"LABELONE" + bytes(8 * MIB - SECTOR - 8))
    (whole,) = read_volumes(disk)
    assert (whole.kind, whole.number) == ("lvm", 0)
    inside = Volume(1_000_000, "LVM volume a", 8 * MIB, MIB, "filesystem", "ext4", layer="LVM")
    places = find_places(disk, (whole, inside), (Part("/", 8 * MIB, MIB, "ext4"),), True)
    assert [(one.where, one.spans, one.taken) for one in places] == [
        ("the first sector", ((0, 440),), False)
    ]


def test_a_firmware_partition_over_a_table_is_taken_without_it(tmp_path: Path) -> None:
    """The backup of a GPT, within the last partition."""
    last = 16384 - 1
    disk = gpt(((LINUX, 4096, 8191, ""), (ESP, 8192, last, "")), content=((4 * MIB, fat(1)),))
    root = Part("/", 2 * MIB, 2 * MIB, "ext4")
    with trial(disk, tmp_path) as one:
        one.left.write(4 * MIB + 700, b"program")
        one.take(*places_of(one.base, root))
        assert one.differing() == {8193}
        one.left.write(disk.size - SECTOR, b"EFI PART, another one")
        with pytest.raises(RecordRefused, match="where partitions are named"):
            one.take(*places_of(one.base, root))


def test_logical_partitions_are_named_in_records_of_their_own() -> None:
    more = ((4096, [(0x83, 64, 1000), (0x05, 2048, 2048)]), (6144, [(0x83, 64, 1000)]))
    disk = mbr([(0x83, 2048, 1024), (0x05, 4096, 8192)], more=more)
    assert read_tables(disk) == tuple((at * SECTOR + 440, 72) for at in (0, 4096, 6144))


def test_a_chain_of_records_without_an_end_is_followed_once() -> None:
    disk = mbr([(0x05, 4096, 8192)], more=((4096, [(0, 0, 0), (0x05, 0, 2048)]),))
    assert read_tables(disk) == ((440, 72), (4096 * SECTOR + 440, 72))


@pytest.mark.parametrize(
    ("disk", "first", "gap"),
    [
        (mbr([(0x83, 2048, 4096)]), MIB, [(0, 440), (512, MIB - 512)]),
        (mbr([(0x0F, 2048, 4096)]), 2 * MIB, [(0, 440), (512, MIB - 512)]),
        (gpt(GPT), MIB, [(0, 440), (34 * 512, MIB - 34 * 512)]),
        (gpt(GPT, entries=256), MIB, [(0, 440), (66 * 512, MIB - 66 * 512)]),
        (gpt(GPT, sector=4096), 4 * MIB, [(0, 440), (6 * 4096, 4 * MIB - 6 * 4096)]),
        (mbr([(0x83, 2048, 4096)]), 0, []),
        (MemoryDisk(bytes(100)), 0, []),
    ],
    ids=["mbr", "extended", "gpt", "more entries", "4096", "no gap", "tiny"],
)
def test_the_gap_is_without_what_names_partitions(
    disk: MemoryDisk, first: int, gap: list[tuple[int, int]]
) -> None:
    assert list(read_gap(disk, first)) == gap
