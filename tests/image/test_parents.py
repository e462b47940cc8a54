"""Disks that are the difference to another one: VMDK held against qemu-img, VHD against libvhdi."""

import itertools
import random
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import pyvhdi

from regild.errors import ExternalFile, Malformed, MissingFile, RegildError, Truncated
from regild.image.formats import open_disk
from tests.image.disks import by_extents, noise, tool

MIB = 1 << 20
SIZE = 9 * MIB
BLOCK = 2 * MIB


def base(folder: Path) -> Path:
    path = folder / "base.raw"
    content = bytearray(SIZE)
    for place in (0, 700_001, 4 * MIB - 3, SIZE - 5000):
        content[place : place + 5000] = noise(5000, place)
    path.write_bytes(content)
    return path


def content_of(path: Path) -> bytes:
    with open_disk(path) as disk:
        content = disk.read(0, disk.size)
        assert by_extents(disk) == content
        dice = random.Random(3)
        for _ in range(40):
            at = dice.randrange(disk.size - 70_000)
            count = dice.choice([1, 511, 4096, 65_537])
            assert disk.read(at, count) == content[at : at + count]
    return content


# VMDK

PARENTS = ("monolithicSparse", "streamOptimized", "monolithicFlat", "twoGbMaxExtentSparse")


def chain(folder: Path, subformat: str = "monolithicSparse") -> Path:
    """top.vmdk over middle.vmdk over base.vmdk, each with writes of its own."""
    option = ("-o", f"subformat={subformat}")
    tool("qemu-img", "convert", "-O", "vmdk", *option, base(folder), folder / "base.vmdk")
    for below, name, writes in (
        ("base", "middle", ("write -P 7 1M 100k", "write -P 8 700000 5")),
        ("middle", "top", ("write -P 9 2M 3k", "write -z 4M 64k")),
    ):
        made = folder / f"{name}.vmdk"
        tool("qemu-img", "create", "-q", "-f", "vmdk", "-F", "vmdk", "-b", f"{below}.vmdk", made)
        tool("qemu-io", "-f", "vmdk", *(part for one in writes for part in ("-c", one)), made)
    return folder / "top.vmdk"


@pytest.mark.parametrize("subformat", PARENTS)
def test_a_chain_of_vmdks_reads_as_qemu_img_reads_it(tmp_path: Path, subformat: str) -> None:
    top = chain(tmp_path, subformat)
    tool("qemu-img", "convert", "-O", "raw", top, tmp_path / "all.raw")
    assert content_of(top) == (tmp_path / "all.raw").read_bytes()


def test_a_snapshot_in_parts_reads_through_to_a_parent_in_parts(tmp_path: Path) -> None:
    """As VMware keeps one: a descriptor that names its parent's, each with extents of its own."""
    raw = base(tmp_path).read_bytes()
    half = 5 * MIB
    extents = {"base": [raw[:half], raw[half:]], "top": [bytes(half), bytes(SIZE - half)]}
    for name, parts in extents.items():
        lines = []
        for number, part in enumerate(parts):
            piece = tmp_path / f"{name}-s{number}"
            piece.write_bytes(part)
            made = piece.with_suffix(".vmdk")
            tool("qemu-img", "convert", "-f", "raw", "-O", "vmdk", piece, made)
            lines.append(f'RW {len(part) // 512} SPARSE "{made.name}"')
        head = ["# Disk DescriptorFile", "version=1", f"CID=0000000{len(name)}"]
        head += ["parentCID=00000004", 'parentFileNameHint="base.vmdk"'] * (name == "top")
        head += ['createType="twoGbMaxExtentSparse"']
        (tmp_path / f"{name}.vmdk").write_text("\n".join([*head, *lines]))
    wanted = bytearray(raw)
    tool("qemu-io", "-f", "vmdk", "-c", "write -P 5 64k 64k", tmp_path / "top-s0.vmdk")
    tool("qemu-io", "-f", "vmdk", "-c", "write -P 6 1M 64k", tmp_path / "top-s1.vmdk")
    wanted[65536:131072] = b"\5" * 65536
    wanted[half + MIB : half + MIB + 65536] = b"\6" * 65536
    assert content_of(tmp_path / "top.vmdk") == bytes(wanted)


def test_a_vmdk_whose_parent_was_written_to_is_refused(tmp_path: Path) -> None:
    top = chain(tmp_path)
    tool("qemu-io", "-f", "vmdk", "-c", "write -P 1 0 512", tmp_path / "middle.vmdk")
    with pytest.raises(Malformed, match="differs from a disk"), open_disk(top):
        pass


def hinted(path: Path, name: str) -> None:
    """Let a VMDK name another parent, whose name is not longer."""
    content = path.read_bytes()
    begin = content.index(b"parentFileNameHint=")
    end = content.index(b"\n", begin)
    line = f'parentFileNameHint="{name}"'.encode()
    assert len(line) <= end - begin
    path.write_bytes(content[:begin] + line.ljust(end - begin) + content[end:])


@pytest.mark.parametrize("name", ["/b.vmdk", "../b.vmdk", "a/b.vmdk", "..", r"a\b.vmdk"])
def test_a_parent_outside_of_the_folder_is_never_followed(tmp_path: Path, name: str) -> None:
    top = chain(tmp_path)
    hinted(top, name)
    with pytest.raises(ExternalFile, match="no plain name"), open_disk(top):
        pass


def test_a_parent_that_is_gone_a_symlink_or_the_disk_itself_is_refused(tmp_path: Path) -> None:
    top = chain(tmp_path)
    (tmp_path / "middle.vmdk").rename(tmp_path / "m.vmdk")
    with pytest.raises(MissingFile), open_disk(top):
        pass
    (tmp_path / "middle.vmdk").symlink_to("m.vmdk")
    with pytest.raises(ExternalFile, match="symlink"), open_disk(top):
        pass
    hinted(top, "top.vmdk")
    with pytest.raises(Malformed, match="twice"), open_disk(top):
        pass


def test_a_vmdk_inside_of_another_file_has_no_parent(tmp_path: Path) -> None:
    content = chain(tmp_path).read_bytes()
    (tmp_path / "outer").write_bytes(bytes(512) + content)
    with (
        pytest.raises(ExternalFile, match="parent"),
        open_disk(tmp_path / "outer", 512, len(content)),
    ):
        pass


# VHD


def summed(structure: bytes, at: int) -> bytes:
    """A structure of VHD with its checksum put in."""
    checksum = ~(sum(structure) - sum(structure[at : at + 4])) & 0xFFFFFFFF
    return structure[:at] + struct.pack(">I", checksum) + structure[at + 4 :]


def identity(path: Path) -> bytes:
    return path.read_bytes()[-512:][68:84]


def differencing(
    path: Path, parent: Path, sectors: dict[int, bytes], locator: str = "", name: str = ""
) -> Path:
    """A differencing VHD with some sectors of its own, laid out by the format's specification."""
    footer = bytearray(parent.read_bytes()[-512:])
    struct.pack_into(">Q", footer, 16, 512)
    struct.pack_into(">I", footer, 60, 4)
    footer[68:84] = random.Random(path.name).randbytes(16)
    size = struct.unpack_from(">Q", footer, 48)[0]
    count = -(-size // BLOCK)
    told = (locator or f".\\{parent.name}").encode("utf-16-le")
    table_at, told_at = 512 + 1024, 4096
    header = struct.pack(">8sQQIIII", b"cxsparse", 2**64 - 1, table_at, 0x10000, count, BLOCK, 0)
    header += identity(parent) + bytes(8) + (name or parent.name).encode("utf-16-be").ljust(512)
    header = header[:576].replace(b" " * 2, b"\0\0")
    header += struct.pack(">4sIIIQ", b"W2ru", 512, len(told), 0, told_at)
    header = summed(header.ljust(1024, b"\0"), 36)
    table = [0xFFFFFFFF] * count
    body = b""
    for number in sorted({sector * 512 // BLOCK for sector in sectors}):
        first = number * BLOCK // 512
        bitmap, block = bytearray(512), bytearray(BLOCK)
        for sector, content in sectors.items():
            if first <= sector < first + BLOCK // 512:
                bitmap[(sector - first) // 8] |= 0x80 >> (sector - first) % 8
                at = (sector - first) * 512
                block[at : at + 512] = content
        table[number] = (8192 + len(body)) // 512
        body += bytes(bitmap) + bytes(block)
    closed = summed(bytes(footer), 64)
    front = closed + header + struct.pack(f">{count}I", *table)
    path.write_bytes(front.ljust(told_at, b"\0") + told.ljust(4096, b"\0") + body + closed)
    return path


def vhds(folder: Path, subformat: str, run: int = 1) -> tuple[Path, bytes]:
    """top.vhd over middle.vhd over base.vhd, and what they hold together; what is written are runs
    of sectors, at multiples of their length."""
    parent = folder / "base.vhd"
    tool("qemu-img", "convert", "-O", "vpc", "-o", f"subformat={subformat}", base(folder), parent)
    with open_disk(parent) as disk:
        wanted = bytearray(disk.read(0, disk.size))
    for name, own in (("middle", (0, 3, 4, 1400, 4095, 4096)), ("top", (3, 9000, 17_000))):
        begins = [number // run * run for number in own]
        numbers = {begin + more for begin in begins for more in range(run)}
        sectors = {number: noise(512, number + len(name)) for number in numbers}
        for number, content in sectors.items():
            wanted[number * 512 : number * 512 + 512] = content
        parent = differencing(folder / f"{name}.vhd", parent, sectors)
    return parent, bytes(wanted)


def theirs(*chain: Path) -> bytes:
    """What libvhdi reads through some VHDs, the parent last."""
    files = [pyvhdi.file() for _ in chain]
    for file, path in zip(files, chain, strict=True):
        file.open(str(path))
    for child, parent in itertools.pairwise(files):
        child.set_parent(parent)
    return files[0].read(files[0].get_media_size())


@pytest.mark.parametrize("subformat", ["dynamic", "fixed"])
def test_a_chain_of_vhds_reads_as_libvhdi_reads_it(tmp_path: Path, subformat: str) -> None:
    # A byte of the bitmap is all or nothing to libvhdi 20260901: eight sectors, as NTFS writes.
    top, wanted = vhds(tmp_path, subformat, run=8)
    assert content_of(top) == wanted
    assert theirs(top, tmp_path / "middle.vhd", tmp_path / "base.vhd") == wanted


def test_each_sector_of_a_vhd_is_its_own_or_its_parents(tmp_path: Path) -> None:
    """The first sector of a byte is its highest bit, as the specification counts."""
    top, wanted = vhds(tmp_path, "dynamic")
    assert content_of(top) == wanted


def test_a_vhd_over_another_disk_than_its_parent_is_refused(tmp_path: Path) -> None:
    top, _ = vhds(tmp_path, "dynamic")
    (tmp_path / "base.vhd").replace(tmp_path / "middle.vhd")
    with pytest.raises(Malformed, match="unique id"), open_disk(top):
        pass


LED_AWAY = (r"C:\base.vhd", r"..\base.vhd", "/base.vhd", r".\a\base.vhd", "..", r"\\s\t\base.vhd")


@pytest.mark.parametrize("locator", LED_AWAY)
def test_a_vhds_parent_is_never_a_path(tmp_path: Path, locator: str) -> None:
    vhds(tmp_path, "dynamic")
    top = differencing(tmp_path / "away.vhd", tmp_path / "base.vhd", {}, locator)
    with pytest.raises(ExternalFile, match="no plain name"), open_disk(top):
        pass


def test_a_chain_of_vhds_that_bites_its_tail_is_refused(tmp_path: Path) -> None:
    vhds(tmp_path, "dynamic")
    top = differencing(tmp_path / "x.vhd", tmp_path / "base.vhd", {}, r".\x.vhd")
    with pytest.raises(Malformed, match="twice"), open_disk(top):
        pass


def test_a_long_chain_of_vhds_is_refused(tmp_path: Path) -> None:
    parent, _ = vhds(tmp_path, "dynamic")
    for number in range(16):
        parent = differencing(tmp_path / f"{number}.vhd", parent, {})
    with pytest.raises(RegildError, match="longer than 16"), open_disk(parent):
        pass


# Cut off


@pytest.mark.parametrize("form", ["vpc", "vhdx", "vdi"])
def test_a_disk_of_blocks_that_was_cut_off_is_told_when_it_is_opened(
    tmp_path: Path, form: str
) -> None:
    made = tmp_path / "disk"
    tool("qemu-img", "convert", "-O", form, base(tmp_path), made)
    whole, content = content_of(made), made.read_bytes()
    told = 0
    for percent in range(5, 100, 5):
        made.write_bytes(content[: len(content) * percent // 100])
        try:
            assert content_of(made) == whole
        except Truncated:
            told += 1
            with pytest.raises(Truncated), open_disk(made):
                pass
    assert told > 3


def damage(content: bytes, dice: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(dice.randint(1, 4)):
        at = dice.choice([0, 512, 1536, 4096, 8192]) + dice.randrange(600)
        changed[at % len(changed)] = dice.choice((0, 1, 0x7F, 0xFF, dice.randrange(256)))
    return bytes(changed[: dice.randrange(len(changed))] if dice.random() < 0.2 else changed)


MADE: dict[str, Callable[[Path], Path]] = {
    "vmdk": chain,
    "vhd": lambda folder: vhds(folder, "fixed")[0],
}


@pytest.mark.parametrize("form", MADE)
def test_a_damaged_child_is_read_or_refused(tmp_path: Path, form: str) -> None:
    top = MADE[form](tmp_path)
    content, dice = top.read_bytes(), random.Random(5)
    for _ in range(60):
        changed = damage(content, dice)
        if form == "vhd" and len(changed) > 2048:  # so that more than the checksum is tried
            changed = changed[:512] + summed(changed[512:1536], 36) + changed[1536:]
        top.write_bytes(changed)
        try:
            with open_disk(top) as disk:
                disk.read(0, min(disk.size, SIZE))
                list(disk.extents())
        except RegildError as error:
            assert error.exit_code in (4, 5)
