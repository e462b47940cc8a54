import random
import struct
import uuid
import zlib

import pytest

from regild.errors import Malformed, TooLarge
from regild.image import volumes
from regild.image.formats import open_disk
from regild.image.partitions import read_partitions
from regild.image.volumes import read_volumes
from tests.image.disks import MemoryDisk, blank, tool

LINUX = uuid.UUID("0FC63DAF-8483-4772-8E79-3D69D8477DE4")
BIOS = uuid.UUID("21686148-6449-6E6F-744E-656564454649")


def gpt(partitions, size=8 << 20, sector=512, entries=128, each=128, content=()):
    """A disk with a GPT and its backup; partitions are (type, first sector, last sector, name)."""
    disk = bytearray(size)
    disk[446:462] = struct.pack("<B3sB3sII", 0, b"", 0xEE, b"", 1, size // sector - 1)
    disk[510:512] = b"\x55\xaa"
    table = bytearray(entries * each)
    for index, (kind, first, last, name) in enumerate(partitions):
        struct.pack_into(
            "<16s16sQQQ72s",
            table,
            index * each,
            kind.bytes_le,
            uuid.UUID(int=index + 1).bytes_le,
            first,
            last,
            0,
            name.encode("utf-16-le"),
        )
    end = size // sector - 1
    table_sectors = -(-len(table) // sector)
    for own, other, at in ((1, end, 2), (end, 1, end - table_sectors)):
        header = struct.pack(
            "<8sIIIIQQQQ16sQIII",
            *(b"EFI PART", 0x10000, 92, 0, 0, own, other, 34, end - 34, bytes(16)),
            *(at, entries, each, zlib.crc32(table)),
        )
        check = struct.pack("<I", zlib.crc32(header))
        disk[own * sector : own * sector + 92] = header[:16] + check + header[20:]
        disk[at * sector : at * sector + len(table)] = table
    for at, piece in content:
        disk[at : at + len(piece)] = piece
    return MemoryDisk(bytes(disk))


def mbr(entries, size=8 << 20, more=()):
    disk = bytearray(size)
    struct.pack_into("<I", disk, 440, 0xCAFE1234)
    for sector, records in ((0, entries), *more):
        for index, (kind, start, count) in enumerate(records):
            entry = struct.pack("<B3sB3sII", 0, b"", kind, b"", start, count)
            at = sector * 512 + 446 + index * 16
            disk[at : at + 16] = entry
        disk[sector * 512 + 510 : sector * 512 + 512] = b"\x55\xaa"
    return MemoryDisk(bytes(disk))


TWO = ((BIOS, 64, 2047, "boot"), (LINUX, 2048, 4095, "röot"))


def test_a_gpt_is_read_with_types_names_and_ids():
    boot, root = read_partitions(gpt(TWO))
    assert (boot.number, boot.offset, boot.bytes) == (1, 64 * 512, 1984 * 512)
    assert boot.type == str(BIOS).upper()
    assert (root.label, root.uuid) == ("röot", str(uuid.UUID(int=2)))


def test_sectors_of_4096_bytes_are_found_by_their_table():
    disk = gpt(((LINUX, 64, 127, "a"),), sector=4096)
    (found,) = read_partitions(disk)
    assert (found.offset, found.bytes) == (64 * 4096, 64 * 4096)


@pytest.mark.parametrize("at", [512, 520, 512 + 72, 1024, 1024 + 130])
def test_the_backup_is_taken_when_the_first_copy_is_damaged(at):
    disk = gpt(TWO)
    content = bytearray(disk.content)
    content[at] ^= 0xFF
    assert read_partitions(MemoryDisk(bytes(content))) == read_partitions(disk)


def test_a_gpt_damaged_in_both_copies_is_refused_and_not_taken_for_an_empty_disk():
    content = bytearray(gpt(TWO).content)
    content[1024] ^= 1
    content[-512 - 128 * 128] ^= 1
    with pytest.raises(Malformed, match="both copies"):
        read_partitions(MemoryDisk(bytes(content)))


def test_a_million_partitions_are_refused():
    disk = gpt((), entries=16)
    content = bytearray(disk.content)
    for at in (512, len(content) - 512):
        struct.pack_into("<I", content, at + 80, 1 << 20)
        content[at + 16 : at + 20] = bytes(4)
        struct.pack_into("<I", content, at + 16, zlib.crc32(content[at : at + 92]))
    with pytest.raises(TooLarge):
        read_partitions(MemoryDisk(bytes(content)))


def test_hundreds_of_partitions_are_refused():
    many = [(LINUX, 2048 + 2 * n, 2049 + 2 * n, "") for n in range(300)]
    with pytest.raises(TooLarge, match="300"):
        read_partitions(gpt(many, entries=512))


def test_proving_that_volumes_are_empty_has_one_budget(monkeypatch):
    monkeypatch.setattr(volumes, "EMPTY_SCAN_BYTES", 3 << 19)
    disk = gpt([(LINUX, 2048 * n, 2048 * n + 2047, "") for n in (1, 2, 3)])
    assert [volume.kind for volume in read_volumes(disk)] == ["empty", "unknown", "unknown"]


def test_partitions_that_overlap_are_refused():
    with pytest.raises(Malformed, match="overlaps"):
        read_partitions(gpt(((LINUX, 64, 200, "a"), (LINUX, 200, 300, "b"))))


def test_a_partition_behind_the_end_is_an_unknown_volume():
    (volume,) = read_volumes(gpt(((LINUX, 64, 1 << 30, "a"),)))
    assert volume.kind == "unknown"
    assert "over the disk's end" in volume.why


def test_primary_and_logical_partitions_keep_linux_numbers():
    disk = mbr(
        [(0x83, 64, 100), (0, 0, 0), (0x05, 1000, 4000)],
        more=(
            (1000, [(0x83, 8, 100), (0x05, 200, 300)]),
            (1200, [(0x82, 8, 50), (0x05, 600, 100)]),
            (1600, [(0x83, 8, 20)]),
        ),
    )
    found = [(p.number, p.offset // 512, p.bytes // 512, p.type) for p in read_partitions(disk)]
    assert found == [
        (1, 64, 100, "83"),
        (5, 1008, 100, "83"),
        (6, 1208, 50, "82"),
        (7, 1608, 20, "83"),
    ]
    assert read_partitions(disk)[0].uuid == "cafe1234-01"


@pytest.mark.parametrize(
    "more",
    [
        ((1000, [(0x83, 8, 9), (0x05, 0, 300)]),),
        ((1000, [(0x83, 8, 9), (0x05, 200, 9)]), (1200, [(0x83, 8, 9), (0x05, 0, 9)])),
        ((1000, [(0x83, 8, 9), (0x05, 200, 9)]),),
        ((1000, [(0x83, 8, 9), (0x05, 1 << 30, 9)]),),
        (),
    ],
    ids=["itself", "loop", "no record", "outside", "no first record"],
)
def test_a_broken_chain_of_logical_partitions_is_refused(more):
    with pytest.raises(Malformed):
        read_partitions(mbr([(0x05, 1000, 4000)], more=more))


def test_a_long_chain_of_logical_partitions_is_refused():
    more = tuple((1000 + 4 * n, [(0x83, 1, 1), (0x05, 4 * (n + 1), 4)]) for n in range(200))
    with pytest.raises(TooLarge):
        read_partitions(mbr([(0x05, 1000, 4000)], more=more))


def test_a_long_chain_that_names_no_partition_is_refused():
    more = tuple((1000 + 4 * n, [(0, 0, 0), (0x05, 4 * (n + 1), 4)]) for n in range(600))
    with pytest.raises(TooLarge):
        read_partitions(mbr([(0x05, 1000, 4000)], more=more))


def test_a_second_chain_goes_on_with_the_numbers_of_the_first():
    first, second = [(0x83, 8, 9), (0x05, 200, 9)], [(0x83, 8, 9)]
    more = ((1000, first), (1200, second), (3000, second))
    found = read_partitions(mbr([(0x05, 1000, 400), (0x05, 3000, 400)], more=more))
    assert [one.number for one in found] == [5, 6, 7]


def test_bios_boot_and_swap_and_blank_volumes_are_not_unknown():
    swap = bytes(4086) + b"SWAPSPACE2"
    disk = gpt(
        ((BIOS, 64, 127, ""), (LINUX, 128, 255, ""), (LINUX, 256, 400, "")),
        content=((64 * 512, b"\xeb\x63 code of GRUB"), (128 * 512, swap)),
    )
    assert [volume.kind for volume in read_volumes(disk)] == ["bios-boot", "swap", "empty"]


@pytest.mark.parametrize(
    ("at", "mark", "kind", "filesystem"),
    [
        (0, b"LUKS\xba\xbe\0\2", "encrypted", "LUKS"),
        (3, b"-FVE-FS-", "encrypted", "BitLocker"),
        (512, b"LABELONE", "lvm", "LVM2"),
        (0, b"XFSB", "filesystem", "xfs"),
        (65536 + 64, b"_BHRfS_M", "filesystem", "btrfs"),
        (3, b"NTFS    ", "filesystem", "ntfs"),
        (0, b"hsqs", "filesystem", "squashfs"),
        (32769, b"CD001", "filesystem", "iso9660"),
        (0, b"\xfc\x4e\x2b\xa9", "unknown", ""),
        (4000, b"something else", "unknown", ""),
    ],
)
def test_what_lies_in_a_volume_is_told_by_its_content(at, mark, kind, filesystem):
    disk = gpt(((LINUX, 2048, 8191, ""),), content=((2048 * 512 + at, mark),))
    (volume,) = read_volumes(disk)
    assert (volume.kind, volume.filesystem) == (kind, filesystem)
    assert volume.why or kind != "unknown"


def test_two_marks_at_once_are_unknown_and_both_are_named():
    base = 2048 * 512
    disk = gpt(((LINUX, 2048, 8191, ""),), content=((base, b"XFSB"), (base + 512, b"LABELONE")))
    (volume,) = read_volumes(disk)
    assert volume.kind == "unknown"
    assert "xfs and LVM2" in volume.why


def test_a_filesystem_in_a_partition_that_says_bios_boot_is_not_overlooked():
    disk = gpt(((BIOS, 2048, 8191, ""),), content=((2048 * 512, b"XFSB"),))
    assert read_volumes(disk)[0].kind == "filesystem"


def test_noise_and_nothing_are_told_apart():
    noise = random.Random(1).randbytes(1 << 20)
    assert read_volumes(MemoryDisk(noise))[0].kind == "unknown"
    assert read_volumes(MemoryDisk(bytes(1 << 20)))[0].kind == "empty"
    assert read_volumes(MemoryDisk(b"\0" * 100))[0].kind == "empty"


def test_changed_tables_give_typed_errors_only():
    logical = (1000, [(0x83, 8, 100), (0x05, 200, 300)]), (1200, [(0x82, 8, 50)])
    source = random.Random(2)
    for disk in (gpt(TWO), mbr([(0x83, 64, 100), (0x0F, 1000, 4000)], more=logical)):
        for _ in range(300):
            content = bytearray(disk.content)
            for _ in range(source.randrange(1, 6)):
                place = source.choice((source.randrange(440, 512), source.randrange(512, 1300)))
                content[place] = source.choice((0, 1, 5, 0x83, 0xEE, 0xFF))
            try:
                read_volumes(MemoryDisk(bytes(content)))
            except (Malformed, TooLarge) as error:
                assert error.exit_code == 4


def test_tables_of_real_tools_are_read(tmp_path):
    path = blank(tmp_path / "disk", 32 << 20)
    tool("sfdisk", path, text="label: dos\n,4M,83\n,4M,82\n,,5\n,4M,83\n,4M,83\n")
    found = read_partitions(MemoryDisk(path.read_bytes()))
    listed = tool("sfdisk", "-d", path)
    assert [p.number for p in found] == [1, 2, 5, 6]
    for partition in found:
        line = next(x for x in listed.splitlines() if x.startswith(f"{path}{partition.number} "))
        assert f"start= {partition.offset // 512:>11}" in line
        assert f"size= {partition.bytes // 512:>11}" in line


def test_a_gpt_of_a_real_tool_is_read(tmp_path):
    path = blank(tmp_path / "disk", 32 << 20)
    tool("sgdisk", "-n1:2048:+1M", "-t1:ef02", "-n5:0:0", "-c5:system", path)
    boot, system = read_partitions(MemoryDisk(path.read_bytes()))
    assert (boot.number, boot.type) == (1, str(BIOS).upper())
    assert (system.number, system.label, system.offset) == (5, "system", 4096 * 512)


@pytest.mark.parametrize("kind", ["ext2", "ext3", "ext4"])
def test_ext_filesystems_are_recognised_with_uuid_and_label(tmp_path, kind):
    path = tmp_path / "disk"
    own = "01234567-89ab-cdef-0123-456789abcdef"
    tool("mke2fs", "-q", "-t", kind, "-U", own, "-L", "system", path, "8M")
    (volume,) = read_volumes(MemoryDisk(path.read_bytes()))
    assert (volume.number, volume.name) == (0, "the whole disk")
    assert (volume.filesystem, volume.uuid, volume.label) == (kind, own, "system")


@pytest.mark.parametrize("bits", [12, 16, 32])
def test_fat_filesystems_are_recognised_with_serial_and_label(tmp_path, bits):
    path = blank(tmp_path / "disk", 40 << 20)
    tool("mkfs.vfat", "-F", bits, "-i", "ABCD1234", "-n", "BOOT", path)
    (volume,) = read_volumes(MemoryDisk(path.read_bytes()))
    assert (volume.filesystem, volume.uuid, volume.label) == ("vfat", "ABCD-1234", "BOOT")


def test_an_xfs_of_the_real_tool_is_recognised(tmp_path):
    path = blank(tmp_path / "disk", 320 << 20)
    own = "01234567-89ab-cdef-0123-456789abcdef"
    tool("mkfs.xfs", "-q", "-m", f"uuid={own}", "-L", "data", path)
    with open_disk(path) as disk:
        (volume,) = read_volumes(disk)
    assert (volume.filesystem, volume.uuid, volume.label) == ("xfs", own, "data")


def test_a_btrfs_of_the_real_tool_is_recognised(tmp_path):
    path = blank(tmp_path / "disk", 128 << 20)
    own = "01234567-89ab-cdef-0123-456789abcdef"
    tool("mkfs.btrfs", "-q", "-U", own, "-L", "data", path)
    with open_disk(path) as disk:
        (volume,) = read_volumes(disk)
    assert (volume.filesystem, volume.uuid, volume.label) == ("btrfs", own, "data")


def test_a_swap_of_the_real_tool_is_recognised(tmp_path):
    path = blank(tmp_path / "disk", 1 << 20)
    own = "01234567-89ab-cdef-0123-456789abcdef"
    tool("mkswap", "-U", own, "-L", "swap", path)
    with open_disk(path) as disk:
        (volume,) = read_volumes(disk)
    assert (volume.kind, volume.uuid, volume.label) == ("swap", own, "swap")


@pytest.mark.parametrize("version", ["luks1", "luks2"])
def test_a_luks_volume_of_the_real_tool_is_recognised(tmp_path, version):
    path = blank(tmp_path / "disk", 20 << 20)
    options = ("--type", version, "--pbkdf-force-iterations", "1000", "--pbkdf", "pbkdf2")
    tool("cryptsetup", "-q", "luksFormat", *options, path, "-", text="secret")
    with open_disk(path) as disk:
        (volume,) = read_volumes(disk)
    assert (volume.kind, volume.filesystem) == ("encrypted", "LUKS")
    assert len(volume.uuid) == 36


@pytest.mark.parametrize("sector", [512, 4096])
def test_logical_partitions_of_a_real_table_are_read_with_either_size_of_sector(tmp_path, sector):
    disk = blank(tmp_path / "disk", 64 << 20)
    step = (1 << 20) // sector
    made = [(1, "p", 1, 9), (2, "e", 10, 60), ("", "l", 11, 19), ("", "l", 20, 28)]
    words = ["o"]
    for number, kind, begin, end in made:
        words += ["n", kind, *([number] if number else []), begin * step, end * step - 1]
    words.append("w")
    tool("fdisk", "-b", sector, disk, text="".join(f"{word}\n" for word in words))
    for number in (1, 11, 20):
        tool("mke2fs", "-q", "-F", "-t", "ext4", "-E", f"offset={number << 20}", disk, "8M")
    with open_disk(disk) as opened:
        found = [one for one in read_volumes(opened) if one.filesystem]
    assert [(one.number, one.offset, one.bytes) for one in found] == [
        (1, 1 << 20, 8 << 20),
        (5, 11 << 20, 8 << 20),
        (6, 20 << 20, 8 << 20),
    ]
