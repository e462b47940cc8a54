"""What reads disks and their tables: containers, partitions, LVM, LUKS."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator

from regild.image.disk import Disk
from regild.image.window import Window
from tests.fuzz.targets.target import Target, file_of, folder, texts
from tests.fuzz.targets.thin import BLOCK, sparse_disk, thin


def run_disk(content: bytes) -> None:
    """Open whatever disk it is and read here and there."""
    from regild.image.disk import disk_of

    handle = os.memfd_create("disk")
    try:
        os.write(handle, content)
        _look_over(disk_of(Window(handle, "the disk", 0, len(content))))
    finally:
        os.close(handle)


def run_child(content: bytes) -> None:
    """Open a disk that may name `base.vhd` or `base.vmdk` beside it, and read here and there."""
    from regild.image.disk import open_disk

    with open_disk(file_of(content)) as disk:
        _look_over(disk)


def _look_over(disk: Disk) -> None:
    end = 0
    for offset, length in itertools.islice(disk.extents(), 200):
        assert 0 <= end <= offset < offset + length <= disk.size
        end = offset + length
    step = max(1, disk.size // 16)
    for offset in {0, *range(0, disk.size, step), max(0, disk.size - 4096)}:
        length = min(70_000, disk.size - offset)
        assert len(disk.read(offset, length)) == length


def run_volumes(content: bytes) -> None:
    """Read partition tables and what the partitions hold; a sector each 512 bytes, thinly."""
    from regild.image.lvm import read_groups
    from regild.image.volumes import read_volumes

    disk = sparse_disk(content)
    volumes = read_volumes(disk)
    assert len(volumes) < 100_000
    read_groups(disk, volumes)


def run_luks(content: bytes) -> None:
    """Read a header of LUKS."""
    from regild.image.luks_header import read_header

    disk = sparse_disk(content)
    read_header(disk, 0, disk.size, "the volume")


def run_lvm_text(content: bytes) -> None:
    """Read LVM's own text."""
    from regild.image.lvm_text import read_text

    read_text(content.decode(errors="replace"), "the metadata")


def seeds_of_disks(*forms: tuple[str, str]) -> Iterator[bytes]:
    """A tiny disk in some of qemu-img's forms."""
    from tests.image.disks import noise, tool

    raw = folder() / "seed.raw"
    raw.write_bytes(noise(3000) + bytes(200_000) + noise(70_000, 2) + bytes(60_000))
    for number, (form, option) in enumerate(forms):
        made = folder() / f"seed{number}.{form}"
        packed = ["-c"] if "compression" in option or form == "qcow2" else []
        wish = ["-o", option] if option else []
        tool("qemu-img", "convert", "-f", "raw", *packed, "-O", form, *wish, raw, made)
        yield made.read_bytes()


def seeds_of_vmdks() -> Iterator[bytes]:
    """Stream, sparse, and the text of a split one."""
    yield from seeds_of_disks(
        ("vmdk", "subformat=streamOptimized"), ("vmdk", "subformat=monolithicSparse")
    )
    yield (
        b"# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\n"
        b'createType="twoGbMaxExtentFlat"\nRW 4 FLAT "x-f001.vmdk" 0\nRW 9 ZERO\n'
    )


def seeds_of_children() -> Iterator[bytes]:
    """What differs from a VMDK and from a VHD; these stay beside the inputs."""
    from tests.image.disks import blank, tool
    from tests.image.test_parents import differencing

    raw = blank(folder() / "seed.raw", 4 << 20)
    for form, name in (("vmdk", "base.vmdk"), ("vpc", "base.vhd")):
        tool("qemu-img", "convert", "-f", "raw", "-O", form, raw, folder() / name)
    child = folder() / "child"
    named = ("-u", "-F", "vmdk", "-b", "base.vmdk")
    tool("qemu-img", "create", "-q", "-f", "vmdk", *named, child, "4M")
    yield child.read_bytes()
    yield differencing(child, folder() / "base.vhd", {3: bytes(512)}).read_bytes()


def seeds_of_volumes() -> Iterator[bytes]:
    """Partition tables of all kinds, thin."""
    from regild.image.volumes import read_volumes
    from tests.image.disks import blank, tool

    tables = {
        "gpt": "label: gpt\n,1M,L\n,1M,S\n,,L\n",
        "dos": "label: dos\n,1M,L\n,4M,E\n,1M,L\n,1M,L\n",
    }
    for text in tables.values():
        path = blank(folder() / "seed.table", 16 << 20)
        tool("sfdisk", "-q", path, text=text)
        yield thin(path, read_volumes)


def seeds_of_luks() -> Iterator[bytes]:
    """Headers that cryptsetup made."""
    from tests.image.disks import blank, tool

    key = folder() / "key"
    key.write_text("secret")
    for kind in ("luks1", "luks2"):
        path = blank(folder() / "seed.luks", 20 << 20)
        line = [
            "cryptsetup",
            "-q",
            "luksFormat",
            "--type",
            kind,
            "--pbkdf-force-iterations",
            "1000",
        ]
        tool(*line, "--pbkdf", "pbkdf2", path, key)
        content = path.read_bytes()
        yield b"".join(
            number.to_bytes(4, "little") + content[number * BLOCK : (number + 1) * BLOCK]
            for number in (*range(8), len(content) // BLOCK - 1)
        )


LVM = """vg { id = "a" seqno = 1 extent_size = 8192
physical_volumes { pv0 { id = "b" pe_start = 2048 pe_count = 10 } }
logical_volumes { root { id = "c" segment_count = 1 segment1 { start_extent = 0
extent_count = 2 type = "striped" stripe_count = 1 stripes = ["pv0", 0] } } } } # x
"""

TARGETS: dict[str, Target] = {
    "vmdk": Target(run_disk, seeds_of_vmdks),
    "qcow2": Target(
        run_disk,
        lambda: seeds_of_disks(
            ("qcow2", "compression_type=zlib,cluster_size=4096"),
            ("qcow2", "compression_type=zstd,cluster_size=4096"),
            ("qcow2", "compat=0.10,cluster_size=4096"),
        ),
    ),
    "vhd": Target(run_disk, lambda: seeds_of_disks(("vpc", ""), ("vpc", "subformat=fixed"))),
    "vhdx": Target(run_disk, lambda: seeds_of_disks(("vhdx", "block_size=1M,log_size=1M"))),
    "child": Target(run_child, seeds_of_children),
    "vdi": Target(run_disk, lambda: seeds_of_disks(("vdi", ""))),
    "volumes": Target(run_volumes, seeds_of_volumes),
    "luks": Target(run_luks, seeds_of_luks),
    "lvm": Target(run_lvm_text, texts(LVM)),
}
