"""What reads disks and their tables: containers, partitions, LVM, LUKS."""

from __future__ import annotations

import contextlib
import itertools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from regild.image.disk import Disk
from tests.fuzz.targets.sums import sums_believed
from tests.fuzz.targets.target import Target, file_of, folder, texts
from tests.fuzz.targets.thin import BLOCK, laid_out, sparse_disk, thin, thin_file


def run_disk(content: bytes) -> None:
    """Open whatever disk it is and read here and there."""
    handle = os.memfd_create("disk")
    try:
        os.write(handle, content)
        _look_into(handle, len(content))
    finally:
        os.close(handle)


def run_thin_file(content: bytes) -> None:
    """The same with a file that is mostly holes; sums in it are believed."""
    handle = os.memfd_create("disk")
    try:
        with sums_believed():
            _look_into(handle, laid_out(content, handle))
    finally:
        os.close(handle)


def run_child(content: bytes) -> None:
    """Open a thin file that may name `base.vhd` or `base.vmdk` beside it; read here and there."""
    from regild.image.formats import open_disk

    path = file_of(b"")
    with path.open("r+b") as file:
        laid_out(content, file.fileno())
    with open_disk(path) as disk:
        _look_over(disk)


def _look_into(handle: int, length: int) -> None:
    from regild.image.formats import disk_of
    from regild.image.window import Window

    _look_over(disk_of(Window(handle, "the disk", 0, length)))


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
    with sums_believed():
        volumes = read_volumes(disk)
        assert len(volumes) < 100_000
        read_groups(disk, volumes)


def run_luks(content: bytes) -> None:
    """Read a header of LUKS."""
    from regild.image.luks_header import read_header

    disk = sparse_disk(content)
    with sums_believed():
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


def thin_seeds(*forms: tuple[str, str]) -> Iterator[bytes]:
    """The same, thin."""
    return map(thin_file, seeds_of_disks(*forms))


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
    yield thin_file(child.read_bytes())
    made = differencing(child, folder() / "base.vhd", {3: bytes(512)})
    yield thin_file(made.read_bytes())


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
    yield from seeds_of_groups()


def seeds_of_groups() -> Iterator[bytes]:
    """A disk of LVM, where the machine can make one."""
    from regild.image.lvm import read_groups
    from regild.image.volumes import read_volumes
    from tests.image.test_lvm import group

    with contextlib.suppress(BaseException), tempfile.TemporaryDirectory() as place:
        yield thin(group(Path(place)), lambda disk: read_groups(disk, read_volumes(disk)))


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
    "vhd": Target(run_thin_file, lambda: thin_seeds(("vpc", ""), ("vpc", "subformat=fixed"))),
    "vhdx": Target(run_thin_file, lambda: thin_seeds(("vhdx", "block_size=1M,log_size=1M"))),
    "child": Target(run_child, seeds_of_children),
    "vdi": Target(run_thin_file, lambda: thin_seeds(("vdi", ""))),
    "volumes": Target(run_volumes, seeds_of_volumes),
    "luks": Target(run_luks, seeds_of_luks),
    "lvm": Target(run_lvm_text, texts(LVM)),
}
