import os
import random
import uuid

import pytest

from regild.errors import (
    Ambiguous,
    Encrypted,
    Malformed,
    MissingFile,
    NothingRead,
    TooLarge,
    Truncated,
    UnsupportedFilesystem,
)
from regild.image.formats import open_disk
from regild.image.guest import open_guest
from tests.image.disks import blank, reads_or_refuses, tool
from tests.image.guests import FILES, STATUS, Part, disk_of, set_dirty, volume
from tests.image.test_volumes import BIOS

VAR = uuid.UUID("00000000-0000-0000-0000-0000000000aa")
ROOT = Part(files=FILES)


def why_not(path):
    """The error of a disk without a guest that can be read."""
    with pytest.raises(Exception) as caught, open_disk(path) as disk, open_guest(disk):
        pass
    return caught.value


def test_a_guest_in_one_filesystem_without_a_table_is_found(tmp_path):
    path = volume(tmp_path / "disk", ROOT)
    with open_disk(path) as disk, open_guest(disk) as guest:
        assert guest.tree.read("/var/lib/dpkg/status", 1000) == STATUS.encode()
        assert [(mount.path, mount.filesystem) for mount in guest.mounts] == [("/", "ext4")]
        assert guest.unknowns == ()
        (space,) = guest.spaces
        assert (space.mount, space.volume, space.dirty) == ("/", f"UUID={uuid.UUID(int=1)}", False)
        told = dict(
            line.split(":", 1) for line in tool("dumpe2fs", "-h", path).splitlines() if ":" in line
        )
        assert space.block_bytes == int(told["Block size"])
        assert space.blocks == int(told["Block count"])
        assert space.free_blocks == int(told["Free blocks"])
        assert space.reserved_blocks == int(told["Reserved block count"])
        assert space.free_inodes == int(told["Free inodes"])


def test_the_volumes_of_the_fstab_are_one_tree(tmp_path):
    fstab = (
        f"UUID={uuid.UUID(int=1)} / ext4 defaults 0 1\n"
        f"UUID={VAR} /var ext4 defaults 0 2\n"
        "LABEL=boot /boot ext4 defaults 0 2\n"
        "UUID=0000-0007 /boot/efi vfat umask=0077 0 1\n"
        "tmpfs /tmp tmpfs defaults 0 0\nUUID=gone /data ext4 nofail 0 2\n"
    )
    parts = [
        Part(kind="blank", mebibytes=1),
        Part("vfat", {"EFI/debian/grubx64.efi": "efi"}, own=uuid.UUID(int=7)),
        Part("ext2", {"vmlinuz-6.1": "kernel"}, label="boot", own=uuid.UUID(int=3)),
        Part("ext4", {"lib/dpkg/status": STATUS}, own=VAR),
        Part("ext4", {"etc/os-release": "ID=debian\n", "etc/fstab": fstab, "var/hidden": ""}),
    ]
    with open_disk(disk_of(tmp_path, parts, [BIOS])) as disk, open_guest(disk) as guest:
        tree = guest.tree
        assert guest.unknowns == ()
        mounted = [(mount.path, mount.volume.number) for mount in guest.mounts]
        assert mounted == [("/", 5), ("/var", 4), ("/boot", 3), ("/boot/efi", 2)]
        assert tree.read("/var/lib/dpkg/status", 1000) == STATUS.encode()
        assert tree.find("/var/hidden") is None
        assert tree.names("/boot") == ("efi", "lost+found", "vmlinuz-6.1")
        assert tree.read("/boot/efi/efi/DEBIAN/GRUBX64.EFI", 10) == b"efi"
        assert tree.read("/boot/../boot/efi/../vmlinuz-6.1", 10) == b"kernel"
        assert {space.mount for space in guest.spaces} == {"/", "/var", "/boot"}


def test_a_volume_that_the_fstab_names_and_the_disk_lacks_is_unknown(tmp_path):
    fstab = "UUID=99 /var ext4 defaults\n/dev/mapper/vg-home /home xfs\n/x /y none bind\n"
    fstab += "/var/lib/dpkg /dpkg none bind\n"
    path = volume(tmp_path / "disk", Part(files={**FILES, "etc/fstab": fstab}))
    with open_disk(path) as disk, open_guest(disk) as guest:
        assert [unknown.where for unknown in guest.unknowns] == ["/var", "/home", "/y"]
        assert "not on this disk" in guest.unknowns[0].why
        assert guest.tree.read("/dpkg/status", 1000) == STATUS.encode()
        assert guest.tree.names("/dpkg/..") == guest.tree.names("/")


def test_an_unreadable_volume_beside_the_guest_is_unknown(tmp_path):
    parts = [ROOT, Part("luks", content=b"LUKS\xba\xbe\0\2"), Part("xfs", content=b"XFSB")]
    parts.append(Part("noise", content=random.Random(1).randbytes(1 << 20)))
    parts.append(Part("lvm", content=bytes(512) + b"LABELONE"))
    with open_disk(disk_of(tmp_path, parts)) as disk, open_guest(disk) as guest:
        whys = {unknown.where: unknown.why for unknown in guest.unknowns}
    assert set(whys) == {"partition 2", "partition 3", "partition 4", "partition 5"}
    assert "encrypted" in whys["partition 2"]
    assert "xfs" in whys["partition 3"]
    assert "LVM" in whys["partition 5"]


def test_a_dirty_journal_is_said(tmp_path):
    path = volume(tmp_path / "disk", ROOT)
    set_dirty(path, 0)
    with open_disk(path) as disk, open_guest(disk) as guest:
        assert guest.spaces[0].dirty
        assert "cleanly" in guest.unknowns[0].why


@pytest.mark.parametrize(
    ("spec", "known"),
    [
        (f"UUID={uuid.UUID(int=1)}", True),
        ("/dev/vda1", True),
        ("/dev/sda7", True),
        ("/dev/root", True),
        (f"UUID={VAR}", False),
        ("LABEL=elsewhere", False),
        ("/dev/vda2", False),
    ],
)
def test_a_root_that_the_fstab_does_not_mean_is_unknown(tmp_path, spec, known):
    root = Part(files={**FILES, "etc/fstab": f"{spec} / ext4 defaults\n"})
    other = Part(files={"x": ""}, own=uuid.UUID(int=9))
    with open_disk(disk_of(tmp_path, [root, other])) as disk, open_guest(disk) as guest:
        assert (guest.unknowns == ()) is known


def test_a_filesystem_marked_as_damaged_is_said(tmp_path):
    path = volume(tmp_path / "disk", ROOT)
    tool("debugfs", "-w", "-R", "set_super_value state 3", path)
    with open_disk(path) as disk, open_guest(disk) as guest:
        assert "damaged" in guest.unknowns[0].why


def test_two_operating_systems_are_ambiguous_and_both_are_named(tmp_path):
    error = why_not(disk_of(tmp_path, [ROOT, ROOT]))
    assert isinstance(error, Ambiguous)
    assert "partition 1 and partition 2" in str(error)


@pytest.mark.parametrize(
    ("parts", "error", "why"),
    [
        ([Part("blank")], NothingRead, "empty"),
        ([Part("swap", content=bytes(4086) + b"SWAPSPACE2")], NothingRead, "empty"),
        ([Part("noise", content=b"?" * 70000)], NothingRead, "no format"),
        ([Part("luks", content=b"LUKS\xba\xbe\0\2")], Encrypted, "LUKS"),
        ([Part("lvm", content=bytes(512) + b"LABELONE")], NothingRead, "LVM"),
        ([Part("xfs", content=b"XFSB")], UnsupportedFilesystem, "xfs"),
        ([Part(files={"home/me": "x"})], NothingRead, "operating system"),
        (
            [Part(files={"boot": ""}), Part("luks", content=b"LUKS\xba\xbe")],
            Encrypted,
            "partition 2",
        ),
    ],
    ids=["blank", "swap", "noise", "luks", "lvm", "xfs", "data", "boot+luks"],
)
def test_a_disk_without_a_guest_is_an_error_that_tells_what_was_seen(tmp_path, parts, error, why):
    caught = why_not(disk_of(tmp_path, parts))
    assert type(caught) is error
    assert why in str(caught)


@pytest.mark.parametrize(
    "name", ["etc/redhat-release", "var/lib/rpm/Packages", "var/lib/dpkg/status"]
)
def test_a_guest_from_before_os_release_is_one(tmp_path, name):
    path = disk_of(tmp_path, [Part(files={name: "CentOS release 6.10 (Final)"})])
    with open_disk(path) as disk, open_guest(disk) as guest:
        assert guest.tree.find(f"/{name}")


def test_a_disk_that_ends_before_its_partition_is_cut_off(tmp_path):
    path = disk_of(tmp_path, [Part(files={"etc/os-release": "ID=debian"})])
    os.truncate(path, path.stat().st_size // 2)
    caught = why_not(path)
    assert isinstance(caught, Truncated)
    assert "over the disk's end" in str(caught)


def test_what_a_journal_may_still_hold_is_said_where_no_guest_is_seen(tmp_path):
    path = volume(tmp_path / "disk", Part(files={"home/me": "x"}))
    set_dirty(path, 0)
    caught = why_not(path)
    assert isinstance(caught, NothingRead)
    assert "not shut down cleanly" in str(caught)


def test_an_empty_or_noisy_file_is_an_error(tmp_path):
    assert isinstance(why_not(blank(tmp_path / "blank", 1 << 20)), NothingRead)
    (tmp_path / "noise").write_bytes(random.Random(1).randbytes(100_000))
    assert isinstance(why_not(tmp_path / "noise"), NothingRead)


@pytest.fixture(scope="module")
def linked(tmp_path_factory):
    """A guest full of symlinks, good and bad."""
    part = Part(
        files={
            "etc/os-release": "ID=x\n",
            "usr/lib/real": "real",
            "deep/a/b/file": "deep",
            "big": "x" * 5000,
        },
        links={
            "lib": "usr/lib",
            "absolute": "/usr/lib/real",
            "relative": "deep/a/../a/b/file",
            "escape": "../../../../../../etc/os-release",
            "outside": "/proc/self/environ",
            "loop": "loop2",
            "loop2": "/loop",
            "self": ".",
            "dangling": "nowhere/at/all",
            "through": "big/file",
            **{f"chain{n}": f"chain{n + 1}" for n in range(40)},
            "chain40": "big",
        },
    )
    return volume(tmp_path_factory.mktemp("linked") / "disk", part)


@pytest.fixture
def tree(linked):
    with open_disk(linked) as disk, open_guest(disk) as guest:
        yield guest.tree


def test_symlinks_are_followed_inside_of_the_guest(tree):
    assert tree.read("/lib/real", 10) == b"real"
    assert tree.read("/absolute", 10) == b"real"
    assert tree.read("/relative", 10) == b"deep"
    assert tree.read("/self/self/self/absolute", 10) == b"real"
    assert tree.read("/chain1", 5000) == b"x" * 5000
    assert tree.names("/lib") == ("real",)


def test_no_path_leads_out_of_the_guest(tree):
    assert tree.read("/escape", 10) == b"ID=x\n"
    assert tree.read("/../../etc/os-release", 10) == b"ID=x\n"
    with pytest.raises(MissingFile):
        tree.read("/outside", 100)


def test_a_loop_of_symlinks_is_malformed_and_ends(tree):
    for path in ("/loop", "/loop/more", "/chain0"):
        with pytest.raises(Malformed, match="loop"):
            tree.read(path, 10)


def test_what_is_missing_is_missing(tree):
    for path in ("/none", "/dangling", "/through", "/big/file", "/deep/x/file"):
        with pytest.raises(MissingFile):
            tree.read(path, 10)
        assert path in ("/dangling", "/through") or tree.find(path) is None
    with pytest.raises(MissingFile):
        tree.names("/none")


def test_find_tells_what_stands_there_and_does_not_follow_the_last_symlink(tree):
    assert tree.find("/absolute").kind == "symlink"
    assert tree.find("/absolute").target == "/usr/lib/real"
    assert tree.find("/lib/real").bytes == 4
    assert tree.find("/").kind == "directory"
    assert tree.find("/deep/a").mode & 0o700 == 0o700


def test_the_way_to_a_folder_is_kept_until_something_is_mounted_over_it(tree):
    for _ in range(2):
        assert tree.read("/deep/a/b/file", 10) == b"deep"
        assert tree.find("/lib/").kind == "symlink"
        assert tree.find("/lib/..").kind == "directory"
        with pytest.raises(Malformed, match="loop"):
            tree.read("/chain0/x", 10)
    tree.bind("/deep/a", "/usr/lib")
    assert tree.read("/deep/a/real", 10) == b"real"
    assert tree.find("/deep/a/b/file") is None


def test_a_read_has_a_limit_and_a_directory_is_no_file(tree):
    with pytest.raises(TooLarge, match="5000"):
        tree.read("/big", 4999)
    assert len(tree.read("/big", 5000)) == 5000
    with pytest.raises(Malformed):
        tree.read("/deep", 100)
    with pytest.raises(MissingFile):
        tree.names("/big")


def look_around(disk):
    """What an inventory does with a guest."""
    with open_guest(disk) as guest:
        for path in ("/etc/os-release", "/lib/real", "/relative", "/big"):
            guest.tree.read(path, 10000)
        for path in ("/", "/etc", "/deep/a"):
            guest.tree.names(path)


def test_a_damaged_filesystem_gives_typed_errors_only(tmp_path, linked):
    good = linked.read_bytes()
    path = tmp_path / "disk"
    source = random.Random(4)
    used = [at for at in range(0, len(good), 1024) if any(good[at : at + 1024])]
    for _ in range(150):
        bad = bytearray(good)
        for _ in range(source.randrange(1, 40)):
            block = source.choice((1024, source.choice(used)))
            bad[block + source.randrange(1024)] = source.choice((0, 1, 127, 128, 255))
        path.write_bytes(bad)
        reads_or_refuses(path, look_around)


def test_a_disk_cut_off_anywhere_is_never_read_as_a_whole_one(tmp_path):
    part = Part(files={**FILES, "big": random.Random(1).randbytes(3 << 20)})
    whole = disk_of(tmp_path, [part])
    content = whole.read_bytes()
    path = tmp_path / "cut"
    source = random.Random(6)
    for _ in range(50):
        path.write_bytes(content[: source.randrange(1, len(content) - (2 << 20))])
        try:
            with open_disk(path) as disk, open_guest(disk) as guest:
                assert guest.unknowns
        except (NothingRead, Malformed, Truncated, UnsupportedFilesystem) as error:
            assert str(error)


def test_an_inventory_reads_little_of_a_packed_disk(tmp_path):
    part = Part(files={**FILES, "big": random.Random(1).randbytes(5 << 20)}, mebibytes=16)
    raw = disk_of(tmp_path, [part])
    packed = tmp_path / "disk.vmdk"
    option = "subformat=streamOptimized"
    tool("qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", option, raw, packed)
    with open_disk(packed) as disk, open_guest(disk) as guest:
        assert guest.tree.read("/var/lib/dpkg/status", 1000) == STATUS.encode()
        assert disk.bytes_read < 300_000
