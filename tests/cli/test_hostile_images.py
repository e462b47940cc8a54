"""Hostile images, whole, by the command that users type: it ends by itself within its bounds.

The bounds are the kernel's: a process that takes more memory or processor time than it may is ended
by a signal, which is no exit code of ours.
"""

from __future__ import annotations

import json
import random
import resource
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.cli import golden
from tests.image.disks import tool, write_vmdk
from tests.image.test_further_filesystems import bombed
from tests.image.test_volumes import gpt

MEMORY_BYTES = 400 << 20
CPU_SECONDS = 20
UNPACKING_CPU_SECONDS = 60
"""For eight gigabytes of zeros: 3 s alone, and over 20 were seen beside other work."""


def bounded(seconds: int) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))


def status_of_a_gigabyte(folder: Path) -> Path:
    """It takes no room on the disk: all of it is a hole."""
    tree = folder / "tree"
    for path, text in golden.GUEST.items():
        (tree / path.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
        (tree / path.lstrip("/")).write_text(text)
    with (tree / "var/lib/dpkg/status").open("r+b") as file:
        file.truncate(1 << 30)
    image = folder / "disk.raw"
    tool("mke2fs", "-q", "-F", "-t", "ext4", "-d", tree, image, "16M")
    return image


def capacity_of_2_63(folder: Path) -> Path:
    path = write_vmdk(folder / "disk.vmdk", random.Random(1).randbytes(1 << 16))
    content = bytearray(path.read_bytes())
    for at in (0, content.rindex(b"KDMV")):  # the header, and its copy at the end
        struct.pack_into("<Q", content, at + 12, 1 << 63)
    path.write_bytes(content)
    return path


def a_million_partitions(folder: Path) -> Path:
    content = bytearray(gpt((), entries=16).content)
    for at in (512, len(content) - 512):
        struct.pack_into("<I", content, at + 80, 1_000_000)
        struct.pack_into("<I", content, at + 16, 0)
        struct.pack_into("<I", content, at + 16, zlib.crc32(content[at : at + 92]))
    (folder / "disk.raw").write_bytes(content)
    return folder / "disk.raw"


def a_chain_that_bites_its_tail(folder: Path) -> Path:
    for one, two in (("a", "b"), ("b", "a")):
        named = ("-u", "-F", "qcow2", "-b", f"{two}.qcow2")
        tool("qemu-img", "create", "-q", "-f", "qcow2", *named, folder / f"{one}.qcow2", "8M")
    return folder / "a.qcow2"


def a_folder_in_itself(folder: Path) -> Path:
    """A hard link of a folder into itself, where the walk comes by."""
    image = golden.filesystem(folder, {**golden.GUEST, "/srv/loop/file": "x"})
    tool("debugfs", "-w", "-R", "ln /srv/loop /srv/loop/again", image)
    return image


def a_database_behind_itself(folder: Path) -> Path:
    tree = folder / "links/var/lib"
    tree.mkdir(parents=True)
    (folder / "links/etc").mkdir()
    (folder / "links/etc/os-release").write_text(golden.OS_RELEASE)
    (tree / "dpkg").symlink_to("../lib/dpkg")
    image = folder / "disk.raw"
    tool("mke2fs", "-q", "-F", "-t", "ext4", "-d", folder / "links", image, "8M")
    return image


def a_bomb_in_a_block(folder: Path) -> Path:
    return bombed(folder, "xz")


def bombs_in_grains(folder: Path) -> Path:
    """Each grain is the guest's own and 8 MiB of zeros more."""
    content = golden.filesystem(folder).read_bytes()
    return write_vmdk(
        folder / "disk.vmdk", content, pack=lambda piece: zlib.compress(piece + bytes(8 << 20), 1)
    )


def a_bomb_in_a_packed_disk(folder: Path) -> Path:
    """32 GiB of zeros in a megabyte."""
    from backports import zstd

    path = folder / "disk.raw.zst"
    path.write_bytes(zstd.compress(bytes(256 << 20)) * 128)
    return path


def a_logical_partition_behind_itself(folder: Path) -> Path:
    """The chain of an extended partition comes back to its begin, and each has a partition."""
    content = bytearray(4 << 20)
    entry = struct.Struct("<B3sB3sII")
    content[446:462] = entry.pack(0, b"", 5, b"", 2048, 4096)
    at = 2048 * 512
    content[at + 446 : at + 462] = entry.pack(0, b"", 0x83, b"", 1, 64)
    content[at + 462 : at + 478] = entry.pack(0, b"", 5, b"", 0, 4096)
    for place in (0, at):
        content[place + 510 : place + 512] = b"\x55\xaa"
    (folder / "disk.raw").write_bytes(content)
    return folder / "disk.raw"


HOSTILE: dict[str, tuple[Callable[[Path], Path], tuple[int, ...]]] = {
    "a dpkg status of 1 GiB": (status_of_a_gigabyte, (3,)),
    "a capacity of 2^63": (capacity_of_2_63, (4, 5)),
    "a million partitions": (a_million_partitions, (3, 4, 5)),
    "a chain of backing files that bites its tail": (a_chain_that_bites_its_tail, (4, 5)),
    "a folder in itself": (a_folder_in_itself, (3,)),
    "a database behind a symlink to itself": (a_database_behind_itself, (3,)),
    "a bomb in a block": (a_bomb_in_a_block, (3,)),
    "bombs in grains": (bombs_in_grains, (3, 4, 5)),
    "a bomb in a packed disk": (a_bomb_in_a_packed_disk, (4,)),
    "a logical partition behind itself": (a_logical_partition_behind_itself, (3, 4, 5)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_it_ends_within_its_bounds_and_says_why(tmp_path: Path, name: str) -> None:
    make, codes = HOSTILE[name]
    line = [sys.executable, "-m", "regild", "describe", "--json", str(make(tmp_path))]
    seconds = UNPACKING_CPU_SECONDS if name == "a bomb in a packed disk" else CPU_SECONDS
    limit = partial(bounded, seconds)
    done = subprocess.run(line, capture_output=True, text=True, check=False, preexec_fn=limit)
    assert done.returncode in codes, done.stderr[-500:]
    answer = json.loads(done.stdout)
    assert answer["error"] if "error" in answer else answer["unknowns"]
