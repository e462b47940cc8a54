"""Volume groups made by LVM's own tools; their volumes are filled by hand."""

import contextlib
import os
import random
import struct
import subprocess
from pathlib import Path

import pytest

from regild.errors import RegildError
from regild.image import lvm as lvm_room
from regild.image.formats import open_disk
from regild.image.guest import open_guest
from regild.image.lvm import _crc, read_groups
from regild.image.lvm_text import read_text
from regild.image.volumes import read_volumes
from tests.image.disks import MemoryDisk, blank, reads_or_refuses, tool
from tests.image.guests import FILES, STATUS, Part, volume
from tests.image.test_volumes import LINUX, gpt

MIB = 1 << 20
ROOT_FILES = {
    "etc/os-release": FILES["etc/os-release"],
    "etc/fstab": "/dev/mapper/vg--x-root / ext4 rw 0 1\n/dev/vg-x/var /var ext4 rw 0 2\n",
    "usr/large": random.Random(2).randbytes(9 * MIB),
}


@contextlib.contextmanager
def looped(image: Path, offset: int, size: int):
    if os.geteuid():
        pytest.skip("a loop device needs root")
    argv = ["losetup", "-f", "--show", "-o", str(offset), "--sizelimit", str(size), str(image)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"this machine gives no loop device: {done.stderr.strip()}")
    device = done.stdout.strip()
    try:
        yield device
    finally:
        subprocess.run(["losetup", "-d", device], check=True)


def lvm(name: str, devices: list[str], *argv: str) -> None:
    """LVM without device-mapper, on these devices only."""
    accepted = ",".join(f'"a|^{device}$|"' for device in devices)
    config = f'devices{{filter=[{accepted},"r|.*|"] use_devicesfile=0 scan_lvs=0}}'
    tool("lvm", name, "-q", "-y", "--driverloaded", "n", "--config", config, *argv)


def group(tmp_path: Path) -> Path:
    """A GPT disk with two physical volumes: a root of two pieces, a striped /var, one more."""
    sectors = [(2048, 81920), (83968, 81920)]
    entries = [(LINUX, start, start + count - 1, "") for start, count in sectors]
    image = tmp_path / "disk"
    image.write_bytes(gpt(entries, size=84 * MIB).content)
    with contextlib.ExitStack() as stack:
        one, two = (
            stack.enter_context(looped(image, start * 512, count * 512)) for start, count in sectors
        )
        both = [one, two]
        lvm("pvcreate", both, *both)
        lvm("vgcreate", both, "-s", "1M", "vg-x", *both)
        create = ("lvcreate", both, "-an", "-Zn", "-Wn")
        lvm(*create, "-L", "10M", "-n", "root", "vg-x", one)
        lvm(*create, "-L", "16M", "-i", "2", "-I", "64k", "-n", "var", "vg-x")
        lvm("lvextend", both, "-L", "20M", "vg-x/root", two)
        lvm(*create, "-L", "4M", "-n", "pair", "vg-x")
    for start, _count in sectors:
        strange(image, start * 512 + 4096)
    return image


def strange(image: Path, area: int) -> None:
    """Give the last volume a type that nobody knows: others need a module to be made."""
    with image.open("r+b") as file:
        file.seek(area)
        head = bytearray(file.read(512))
        offset, length = struct.unpack_from("<QQ", head, 40)
        file.seek(area + offset)
        text = file.read(length)
        at = text.index(b'"striped"', text.index(b"pair {"))
        text = text[: at + 1] + b"unknown" + text[at + 8 :]
        file.seek(area + offset)
        file.write(text)
        head[56:60] = _crc(text).to_bytes(4, "little")
        head[:4] = _crc(bytes(head[4:])).to_bytes(4, "little")
        file.seek(area)
        file.write(head)


def fill(image: Path, tmp_path: Path) -> None:
    """Put a guest into the volumes."""
    root = volume(tmp_path / "root", Part(files=ROOT_FILES, mebibytes=20)).read_bytes()
    var = volume(tmp_path / "var", Part(files={"lib/dpkg/status": STATUS}, mebibytes=16))
    put(image, root, var.read_bytes())


def put(image: Path, root: bytes, content: bytes) -> None:
    """Write a root of 20 MiB and a /var of 16 to where LVM laid the extents of both."""
    first, second = 2048 * 512 + MIB, 83968 * 512 + MIB
    with image.open("r+b") as file:
        file.seek(first)
        file.write(root[: 10 * MIB])
        # The striped volume takes 8 extents of each, and the root's rest comes behind.
        for row in range(len(content) // 65536):
            place = (first + 10 * MIB) if row % 2 == 0 else second
            file.seek(place + row // 2 * 65536)
            file.write(content[row * 65536 : (row + 1) * 65536])
        file.seek(second + 8 * MIB)
        file.write(root[10 * MIB :])


def test_linear_and_striped_volumes_are_read_and_the_others_named(tmp_path):
    image = group(tmp_path)
    fill(image, tmp_path)
    with open_disk(image) as disk, open_guest(disk) as guest:
        assert [(one.where, one.why) for one in guest.unknowns] == [
            ("LVM volume vg-x/pair", "it is an LVM volume of type 'unknown'")
        ]
        assert [mount.path for mount in guest.mounts] == ["/", "/var"]
        assert guest.mounts[0].filesystem == "ext4 on LVM"
        assert guest.tree.read("/usr/large", 10 * MIB) == ROOT_FILES["usr/large"]
        assert guest.tree.read("/var/lib/dpkg/status", 1000) == STATUS.encode()


def test_a_group_without_one_of_its_physical_volumes_is_said(tmp_path):
    image = group(tmp_path)
    fill(image, tmp_path)
    with image.open("r+b") as file:
        file.seek(83968 * 512)
        file.write(bytes(MIB))
    name = reads_or_refuses(image, lambda disk: open_guest(disk).__enter__())
    assert name == "NothingRead"


def test_damaged_metadata_are_read_or_refused(tmp_path):
    image = group(tmp_path)
    fill(image, tmp_path)
    content = image.read_bytes()
    source = random.Random(6)
    for _turn in range(60):
        broken = bytearray(content)
        begin = 2048 * 512 + source.choice((512, 4096, 4096 + 512))
        for _change in range(source.randrange(1, 4)):
            broken[begin + source.randrange(200)] = source.choice((0, 1, 0x20, 0x7D, 0xFF))
        try:
            with open_guest(MemoryDisk(bytes(broken))) as guest:
                guest.tree.names("/")
                assert guest.unknowns
        except RegildError as error:
            assert 3 <= error.exit_code <= 6, repr(error)


def physical(name: str, text: str) -> bytes:
    """A physical volume by hand, its text in one area."""
    areas = struct.pack("<8Q", MIB, 0, 0, 0, 4096, MIB - 4096, 0, 0)
    rest = struct.pack("<I8s32sQ", 32, b"LVM2 001", name.encode() * 32, 8 * MIB) + areas
    rest = rest.ljust(492, b"\0")
    volume = bytearray(8 * MIB)
    volume[512:1024] = struct.pack("<8sQI", b"LABELONE", 1, _crc(rest)) + rest
    content = text.encode() + b"\0"
    facts = struct.pack("<IQQ", 1, 4096, MIB - 4096)
    where = struct.pack("<QQII", 512, len(content), _crc(content), 0)
    head = (b" LVM2 x[5A%r0N*>" + facts + where).ljust(508, b"\0")
    volume[4096:4608] = struct.pack("<I", _crc(head)) + head
    volume[4608 : 4608 + len(content)] = content
    return bytes(volume)


def told(stripe: int, name: str = "v") -> str:
    return (
        name + ' { id = "group" seqno = 1 extent_size = 2048 physical_volumes { p { id = "'
        'aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaaa" pe_start = 2048 } } logical_volumes { r {'
        ' status = ["VISIBLE"] segment1 { start_extent = 0 extent_count = 2 type = "striped"'
        f' stripe_count = 1 stripes = ["p", {stripe}] }} }} }} }}'
    )


@pytest.mark.parametrize(("stripe", "why"), [(0, ""), (-1, "reaches over"), (6, "reaches over")])
def test_a_volume_lies_within_its_physical_one(stripe, why):
    disk = MemoryDisk(physical("a", told(stripe)))
    (found,) = read_groups(disk, read_volumes(disk)).volumes
    assert why in found.why
    assert found.places == (() if why else ((MIB, 2 * MIB),))


def test_metadata_without_end_are_refused(monkeypatch):
    disk = MemoryDisk(physical("a", told(0)))
    monkeypatch.setattr(lvm_room, "MAX_TEXTS_BYTES", 100)
    assert "too large" in read_groups(disk, read_volumes(disk)).whys[0]


@pytest.mark.parametrize(
    "text",
    [
        "a {",
        "a = [1, 2",
        "a = }",
        "a { b = 1 } }",
        'a = "x',
        "a { b = 1 b = 2 }",
        "a" + "{b" * 5000,
        "a = 123456789012345678901234567890",
        "= 1",
        "a { b }",
        "\x00",
    ],
)
def test_text_that_is_none_of_lvms_is_refused(text):
    with pytest.raises(RegildError):
        read_text(text, "test")


def test_the_text_of_lvm_is_read():
    text = '# c\nvg-1 { id = "a\\"b" # c\n n = 3 l = ["x", 1, "y", 2]\n 0vg { m = [] } }\nz = 1\n'
    ((name, section),) = read_text(text, "test")
    assert (name, section.text("id"), section.number("n")) == ("vg-1", 'a"b', 3)
    assert section.items("l") == ["x", 1, "y", 2]
    assert [key for key, _one in section.sections()] == ["0vg"]


def test_a_volume_group_of_no_partition_table_is_found(tmp_path):
    image = blank(tmp_path / "disk", 32 * MIB)
    with looped(image, 0, 32 * MIB) as device:
        lvm("pvcreate", [device], device)
        lvm("vgcreate", [device], "-s", "1M", "v", device)
        lvm("lvcreate", [device], "-an", "-Zn", "-Wn", "-L", "10M", "-n", "r", "v")
    root = volume(tmp_path / "root", Part(files=FILES, mebibytes=10)).read_bytes()
    with image.open("r+b") as file:
        file.seek(MIB)
        file.write(root)
    with open_disk(image) as disk, open_guest(disk) as guest:
        assert guest.unknowns == ()
        assert guest.tree.read("/var/lib/dpkg/status", 1000) == STATUS.encode()
