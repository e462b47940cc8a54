"""Disks that the tests build themselves: in memory, by a format's own structures, by real tools."""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from regild.errors import RegildError
from regild.image.disk import Disk
from regild.image.formats import open_disk
from regild.image.grains import check_range
from regild.image.vmdk_layout import AT_END, MARKER, NO_PARENT, Header

PACKAGES = {
    "qemu-img": "qemu-utils",
    "mke2fs": "e2fsprogs",
    "debugfs": "e2fsprogs",
    "mkfs.vfat": "dosfstools",
    "mcopy": "mtools",
    "mdel": "mtools",
    "mmd": "mtools",
    "sgdisk": "gdisk",
    "sfdisk": "fdisk",
    "mkswap": "util-linux",
    "mkfs.xfs": "xfsprogs",
    "mkfs.btrfs": "btrfs-progs",
    "lvm": "lvm2",
    "btrfs": "btrfs-progs",
    "cryptsetup": "cryptsetup-bin",
    "dumpe2fs": "e2fsprogs",
    "mkntfs": "ntfs-3g",
    "ntfs-3g": "ntfs-3g",
    "ntfscp": "ntfs-3g",
    "mksquashfs": "squashfs-tools",
    "unsquashfs": "squashfs-tools",
    "xorriso": "xorriso",
    "hivexregedit": "libwin-hivex-perl",
    "qemu-io": "qemu-utils",
}


def tool(*argv: object, text: str | None = None) -> str:
    """Run a real tool; the test is skipped where it is not installed."""
    name = str(argv[0])
    path = shutil.which(name, path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    if path is None:
        pytest.skip(f"{name} is needed: install the package {PACKAGES.get(name, name)}")
    done = subprocess.run(
        [path, *map(str, argv[1:])], input=text, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class MemoryDisk:
    """A disk in memory; `extents` of a test's own choice must cover what is not zero."""

    format = "memory"
    bytes_read = 0

    def __init__(self, content: bytes, extents: list[tuple[int, int]] | None = None) -> None:
        self.content = content
        self.size = len(content)
        self._extents = [(0, len(content))] if extents is None else extents

    def read(self, offset: int, length: int) -> bytes:
        check_range("memory", self.size, offset, length)
        return self.content[offset : offset + length]

    def extents(self) -> Iterator[tuple[int, int]]:
        return iter(self._extents)


def blank(path: Path, size: int) -> Path:
    """A file of zeros that takes no room."""
    with path.open("wb") as file:
        file.truncate(size)
    return path


def noise(length: int, seed: int = 1) -> bytes:
    """Bytes that look random and compress a little, the same in every run."""
    source = random.Random(seed)
    return bytes(source.choices(range(64), k=length))


def descriptor(sectors: int, extent: str = 'SPARSE "disk.vmdk"', *more: str) -> bytes:
    lines = [
        "# Disk DescriptorFile",
        "version=1",
        "CID=12345678",
        *(more or (f"parentCID={NO_PARENT}", 'createType="streamOptimized"')),
        f"RW {sectors} {extent}",
        'ddb.adapterType = "lsilogic"',
    ]
    return "\n".join(lines).encode()


def write_vmdk(
    path: Path,
    content: bytes,
    *,
    grain: int = 128,
    flags: int = 0x30001,
    text: bytes | None = None,
    footer: bool = True,
    pack: Callable[[bytes], bytes] = zlib.compress,
    change: Callable[[Header], Header] = lambda header: header,
    marker_of: Callable[[int], int] = lambda sector: sector,
) -> Path:
    """A streamOptimized or sparse VMDK by hand, with zero grains left out; hooks break it."""
    compressed = bool(flags & 0x10000)
    sectors = -(-len(content) // 512)
    text = descriptor(sectors) if text is None else text
    file = bytearray(128 * 512)
    file[512 : 512 + len(text)] = text
    tables = -(-sectors // (grain * 512))
    places = [[0] * 512 for _ in range(tables)]
    step = grain * 512
    for number in range(-(-len(content) // step)):
        piece = content[number * step : (number + 1) * step].ljust(step, b"\0")
        if not any(piece):
            continue
        places[number // 512][number % 512] = len(file) // 512
        if compressed:
            packed = pack(piece)
            piece = struct.pack("<QI", marker_of(number * grain), len(packed)) + packed
        file += piece.ljust(-(-len(piece) // 512) * 512, b"\0")
    directory = []
    for table in places:
        directory.append(len(file) // 512 if any(table) else 0)
        if any(table):
            file += struct.pack("<512I", *table)
    at = len(file) // 512
    packed_directory = struct.pack(f"<{tables}I", *directory)
    file += packed_directory.ljust(-(-len(packed_directory) // 512) * 512, b"\0")
    header = change(Header(3, flags, sectors, grain, 1, 20, 512, 0, at, 128, int(compressed)))
    if footer and compressed:
        file += MARKER.pack(1, 0, 3).ljust(512, b"\0") + header.packed() + bytes(512)
        first = struct.pack("<Q", AT_END)
        file[:512] = header.packed()[:56] + first + header.packed()[64:]
    else:
        file[:512] = header.packed()
    path.write_bytes(file)
    return path


def content_of(path: Path) -> bytes:
    with open_disk(path) as disk:
        return disk.read(0, disk.size)


def by_extents(disk: Disk) -> bytes:
    """What a reader sees who believes the extents."""
    content = bytearray(disk.size)
    before = -1
    for offset, length in disk.extents():
        assert offset > before and length > 0
        content[offset : offset + length] = disk.read(offset, length)
        before = offset + length
    assert before <= disk.size
    return bytes(content)


def reads_or_refuses(path: Path, use: Callable[[Disk], object]) -> str:
    """Whatever is in a file, it is read or refused with a typed error; the error's name."""
    try:
        with open_disk(path) as disk:
            use(disk)
    except RegildError as error:
        assert 3 <= error.exit_code <= 6, repr(error)
        assert str(error) and error.advice
        return type(error).__name__
    return ""


def whole(disk: Disk) -> object:
    """Read all that a disk says it holds, a little at a time."""
    assert disk.size < 1 << 46
    total = 0
    for offset, length in disk.extents():
        while length:
            count = min(length, 1 << 20)
            disk.read(offset, count)
            offset, length, total = offset + count, length - count, total + count
            assert total < 1 << 28
    return total
