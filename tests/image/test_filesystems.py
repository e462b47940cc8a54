"""Filesystems made by the real tools from a folder, read back whole and compared with it."""

import os
import random
import struct

import pytest

from regild.errors import Malformed, TooLarge, UnsupportedFilesystem
from regild.image import filesystems
from regild.image.formats import open_disk
from regild.image.guest import open_guest
from tests.image.disks import blank, tool


def fill(folder):
    """A tree with what is hard: many names, long names, holes, small and large files, links."""
    source = random.Random(9)
    (folder / "etc").mkdir(parents=True)
    (folder / "etc/os-release").write_text("ID=x\n")
    many = folder / "many"
    many.mkdir()
    for number in range(700):
        (many / f"a file with a rather long name {number:05}").write_bytes(bytes([number % 256]))
    for size in (0, 1, 59, 60, 100, 4095, 4096, 70_000, 700_000):
        (folder / f"size{size}").write_bytes(source.randbytes(size))
    with (folder / "holes").open("wb") as file:
        file.truncate(3 << 20)
        file.seek(1 << 20)
        file.write(source.randbytes(5000))
        # mke2fs 1.47 with inline_data cuts off a hole at a file's end.
        file.seek((3 << 20) - 100)
        file.write(bytes(99) + b"!")
    (folder / "ünïcödé €").write_text("name")
    (folder / "short link").symlink_to("many")
    (folder / "long link").symlink_to("/" + "x" * 100 + "/../" + "y" * 100)
    (folder / "hard link").hardlink_to(folder / "size100")
    (folder / "size1").chmod(0o4755)
    return folder


def compare(folder, tree, path="", modes=True):
    names = sorted(entry.name for entry in os.scandir(f"{folder}{path}"))
    found = [name for name in tree.names(path or "/") if name != "lost+found"]
    assert found == names
    for name in names:
        own, here = folder / path.lstrip("/") / name, f"{path}/{name}"
        node = tree.find(here)
        if own.is_symlink():
            assert (node.kind, node.target) == ("symlink", str(own.readlink()))
        elif own.is_dir():
            assert node.kind == "directory"
            compare(folder, tree, here, modes)
        else:
            assert (node.kind, node.bytes) == ("file", own.stat().st_size)
            assert not modes or node.mode == own.stat().st_mode & 0o7777
            assert tree.read(here, 32 << 20) == own.read_bytes()


@pytest.mark.parametrize(
    "options",
    [
        ("-t", "ext2", "-b", "1024"),
        ("-t", "ext3", "-b", "4096"),
        ("-t", "ext4", "-b", "1024"),
        ("-t", "ext4", "-b", "4096"),
        ("-t", "ext4", "-b", "2048", "-O", "^64bit,^metadata_csum", "-I", "128"),
        ("-t", "ext4", "-b", "4096", "-O", "inline_data", "-I", "256"),
        ("-t", "ext4", "-b", "1024", "-O", "meta_bg,^resize_inode"),
    ],
    ids=" ".join,
)
def test_an_ext_filesystem_reads_as_the_folder_that_it_was_made_from(tmp_path, options):
    folder = fill(tmp_path / "tree")
    path = tmp_path / "disk"
    tool("mke2fs", "-q", "-F", *options, "-d", folder, path, "32M")
    with open_disk(path) as disk, open_guest(disk) as guest:
        assert guest.unknowns == ()
        compare(folder, guest.tree)


def test_an_ext_filesystem_that_cannot_be_read_is_called_by_its_reason(tmp_path):
    folder, path = fill(tmp_path / "tree"), tmp_path / "disk"
    tool("mke2fs", "-q", "-F", "-t", "ext4", "-O", "bigalloc", "-d", folder, path, "64M")
    refused = pytest.raises(UnsupportedFilesystem, match="bigalloc")
    with open_disk(path) as disk, refused, open_guest(disk):
        pass


@pytest.mark.parametrize("options", [(), ("--nodesize", "4096", "--mixed")], ids=["16K", "mixed"])
def test_a_btrfs_reads_as_the_folder_that_it_was_made_from(tmp_path, options):
    folder = fill(tmp_path / "tree")
    path = blank(tmp_path / "disk", 128 << 20)
    tool("mkfs.btrfs", "-q", *options, "--rootdir", folder, path)
    with open_disk(path) as disk, open_guest(disk) as guest:
        assert guest.mounts[0].filesystem == "btrfs"
        compare(folder, guest.tree)


def test_a_directory_with_too_many_names_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(filesystems, "MAX_NAMES", 500)
    folder = fill(tmp_path / "tree")
    path = tmp_path / "disk"
    tool("mke2fs", "-q", "-F", "-t", "ext4", "-d", folder, path, "32M")
    with open_disk(path) as disk, open_guest(disk) as guest:
        assert guest.tree.read("/etc/os-release", 10) == b"ID=x\n"
        with pytest.raises(TooLarge, match="names"):
            guest.tree.names("/many")


def test_tables_larger_than_what_they_describe_are_refused(tmp_path, monkeypatch):
    folder = fill(tmp_path / "tree")
    path = tmp_path / "disk"
    tool("mke2fs", "-q", "-F", "-t", "ext4", "-d", folder, path, "32M")
    with open_disk(path) as disk, open_guest(disk) as guest:
        monkeypatch.setattr(filesystems, "FOLDER_BUDGET_BYTES", 4096)
        with pytest.raises(TooLarge, match="tables"):
            guest.tree.names("/many")


def test_a_directory_that_holds_itself_is_no_endless_tree(tmp_path):
    folder = fill(tmp_path / "tree")
    path = tmp_path / "disk"
    tool("mke2fs", "-q", "-F", "-t", "ext4", "-O", "^metadata_csum", "-d", folder, path, "32M")
    tool("debugfs", "-w", "-R", "link / /etc/root", path)
    with open_disk(path) as disk, open_guest(disk) as guest:
        deep = "/etc/root" * 50 + "/etc/os-release"
        assert guest.tree.read(deep, 10) == b"ID=x\n"


@pytest.mark.parametrize("name", ["passwd/x", "passwd-y"])
def test_a_name_with_a_slash_or_one_that_is_there_twice_is_refused(tmp_path, name):
    folder = tmp_path / "tree"
    (folder / "etc").mkdir(parents=True)
    for own in ("os-release", "passwd-x", "passwd-y"):
        (folder / "etc" / own).write_text("")
    path = tmp_path / "disk"
    options = ("-O", "^metadata_csum,^dir_index")
    tool("mke2fs", "-q", "-F", "-t", "ext4", *options, "-d", folder, path, "8M")
    content = path.read_bytes()
    assert content.count(b"passwd-x") == 1
    path.write_bytes(content.replace(b"passwd-x", name.encode()))
    with open_disk(path) as disk, pytest.raises(Exception) as caught, open_guest(disk):
        pass
    assert name in str(caught.value)


@pytest.mark.parametrize("feature", [0x1, 0x8, 0x1000, 0x80000000])
def test_features_that_the_reader_does_not_know_make_the_volume_unknown(tmp_path, feature):
    folder = fill(tmp_path / "tree")
    path = tmp_path / "disk"
    tool("mke2fs", "-q", "-F", "-t", "ext4", "-d", folder, path, "32M")
    content = bytearray(path.read_bytes())
    features = struct.unpack_from("<I", content, 1024 + 0x60)[0]
    struct.pack_into("<I", content, 1024 + 0x60, features | feature)
    path.write_bytes(content)
    with open_disk(path) as disk, pytest.raises(Exception) as caught, open_guest(disk):
        pass
    assert caught.value.exit_code in (3, 5)


def test_what_the_library_did_not_foresee_is_malformed():
    for foreign in (KeyError("x"), struct.error("y"), OverflowError("z")):
        with pytest.raises(Malformed), filesystems.translated("partition 1"):
            raise foreign
