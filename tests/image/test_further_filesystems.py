"""NTFS, ISO 9660, squashfs: whole trees that other people's tools made, read back and compared."""

import contextlib
import lzma
import random
import shutil
import struct
import tracemalloc
import zlib

import pytest
from backports import zstd
from fs_explorer.errors import CorruptDataError
from hypothesis import given
from hypothesis import strategies as st

from regild.errors import RegildError
from regild.image.formats import open_disk
from regild.image.guest import open_guest
from regild.image.unpack import BLOCK_LIMIT, from_xz, from_zstd
from tests.image.disks import blank, tool
from tests.image.mounted import ntfs_mounted
from tests.image.test_filesystems import compare, fill


def ntfs(path, *options):
    tool("mkntfs", "-q", "-F", "-L", "Windows", *options, blank(path, 64 << 20))
    return path


@pytest.mark.parametrize("options", [(), ("-c", "512"), ("-c", "65536"), ("-C",)], ids=" ".join)
def test_ntfs_reads_as_ntfs_3g_shows_it(tmp_path, options):
    image = ntfs(tmp_path / "disk", *options)
    with ntfs_mounted(image, tmp_path / "m", *(["compression"] if options == ("-C",) else [])) as m:
        fill(m / "tree")
        (m / "etc").mkdir()
        (m / "etc/os-release").write_text("ID=x\n")
        (m / "tree/compresses").write_bytes(b"all the same " * 30_000)
    with (
        ntfs_mounted(image, tmp_path / "m", "ro") as m,
        open_disk(image) as disk,
        open_guest(disk) as guest,
    ):
        assert guest.unknowns == ()
        (volume,) = guest.volumes
        assert (volume.filesystem, len(volume.uuid)) == ("ntfs", 16)
        compare(m / "tree", Below(guest.tree, "/tree"), modes=False)
        assert guest.tree.read("/TREE/SIZE100", 100) == (m / "tree/size100").read_bytes()


class Below:
    """A folder of a tree as a tree."""

    def __init__(self, tree, folder):
        self.tree, self.folder = tree, folder

    def read(self, path, limit):
        return self.tree.read(self.folder + path, limit)

    def names(self, path):
        return self.tree.names(self.folder + path)

    def find(self, path):
        return self.tree.find(self.folder + path)


def test_an_ntfs_that_windows_left_open_is_said(tmp_path):
    image = ntfs(tmp_path / "disk")
    with ntfs_mounted(image, tmp_path / "m") as m:
        (m / "etc").mkdir()
        (m / "etc/os-release").write_text("ID=x\n")
        (m / "hiberfil.sys").write_bytes(b"HIBR" + bytes(5000))
    with open_disk(image) as disk, open_guest(disk) as guest:
        (unknown,) = guest.unknowns
        assert "Windows sleeps on it" in unknown.why


@pytest.mark.parametrize("options", [("-R",), ("-R", "-J", "-iso-level", "3")], ids=" ".join)
def test_an_iso_reads_as_the_folder_that_it_was_made_from(tmp_path, options):
    folder = fill(tmp_path / "tree")
    image = tmp_path / "disk.iso"
    tool("xorriso", "-as", "mkisofs", "-quiet", *options, "-V", "GUEST", "-o", image, folder)
    with open_disk(image) as disk, open_guest(disk) as guest:
        assert guest.unknowns == ()
        (volume,) = guest.volumes
        assert (volume.filesystem, volume.label) == ("iso9660", "GUEST")
        assert volume.uuid[:2] == "20" and volume.uuid.count("-") == 6
        compare(folder, guest.tree)


def test_an_iso_that_can_be_put_on_a_stick_is_still_one(tmp_path):
    """It has a partition table too, whose partition lies over all of it."""
    folder = fill(tmp_path / "tree")
    image = tmp_path / "disk.iso"
    made = ("xorriso", "-as", "mkisofs", "-quiet", "-R", "-o", image)
    tool(*made, "--protective-msdos-label", folder)
    with open_disk(image) as disk, open_guest(disk) as guest:
        compare(folder, guest.tree)


@pytest.mark.parametrize(
    "options",
    [
        ("-comp", "gzip"),
        ("-comp", "xz", "-b", "1M"),
        ("-comp", "zstd"),
        ("-comp", "lz4"),
        ("-comp", "lzo", "-b", "64K"),
        ("-comp", "lzma"),
        ("-noI", "-noD", "-noF", "-noX"),
        ("-no-fragments", "-always-use-fragments"),
    ],
    ids=" ".join,
)
def test_a_squashfs_reads_as_the_folder_that_it_was_made_from(tmp_path, options):
    folder = fill(tmp_path / "tree")
    image = tmp_path / "disk"
    tool("mksquashfs", folder, image, "-quiet", "-no-progress", *options)
    with open_disk(image) as disk, open_guest(disk) as guest:
        assert guest.unknowns == ()
        assert guest.volumes[0].filesystem == "squashfs"
        compare(folder, guest.tree)
        shutil.rmtree(folder)
        tool("unsquashfs", "-q", "-no-progress", "-d", folder, image)
        compare(folder, guest.tree)


def bombed(tmp_path, codec):
    """A squashfs whose one file is a block of a mebibyte that unpacks to 256 of them."""
    zeros = bytes(256 << 20)
    packed = {
        "gzip": lambda: zlib.compress(zeros),
        "xz": lambda: lzma.compress(zeros, lzma.FORMAT_XZ, preset=0),
        "lzma": lambda: lzma.compress(zeros, lzma.FORMAT_ALONE, preset=0),
        "zstd": lambda: zstd.compress(zeros),
    }[codec]()
    (tmp_path / "tree/etc").mkdir(parents=True)
    (tmp_path / "tree/etc/os-release").write_text("ID=x\n")
    (tmp_path / "tree/bomb").write_bytes(random.Random(1).randbytes(1 << 20))
    image = tmp_path / "disk"
    options = ("-comp", codec, "-b", "1M", "-noI", "-no-fragments", "-quiet", "-no-progress")
    tool("mksquashfs", tmp_path / "tree", image, *options)
    content = bytearray(image.read_bytes())
    own = content.index((tmp_path / "tree/bomb").read_bytes())
    content[own : own + len(packed)] = packed
    stored = struct.pack("<I", 1 << 24 | 1 << 20)
    assert len(packed) < 1 << 20 and content.count(stored) == 1
    at = content.index(stored)
    content[at : at + 4] = struct.pack("<I", len(packed))
    image.write_bytes(content)
    return image


@pytest.mark.parametrize("codec", ["gzip", "xz", "lzma", "zstd"])
def test_a_block_that_unpacks_to_more_than_its_file_holds_takes_no_more(tmp_path, codec):
    image = bombed(tmp_path, codec)
    with open_disk(image) as disk, open_guest(disk) as guest:
        tracemalloc.start()
        try:
            guest.tree.read("/bomb", 1 << 20)
        except RegildError as error:
            assert error.exit_code == 4
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
    assert peak < 32 << 20


@pytest.mark.parametrize("unpack", [from_xz, from_zstd])
@given(content=st.binary(max_size=200), limit=st.one_of(st.none(), st.integers(0, 5000)))
def test_any_block_unpacks_within_its_limit_or_is_refused(unpack, content, limit):
    for packed in (content, zstd.compress(content * 20), lzma.compress(content * 20)):
        with contextlib.suppress(CorruptDataError):
            assert len(unpack(packed, limit)) <= (BLOCK_LIMIT if limit is None else limit)
