"""ext2/3/4 read through libext2fs: every kind of file, and filesystems that mean harm."""

from __future__ import annotations

import os
import random
import resource
import signal
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from regild.change.extract import TAKEN
from regild.change.extract import main as extract
from regild.change.tree import Part
from regild.errors import (
    InputError,
    Malformed,
    RegildError,
    TooLarge,
    UnsupportedError,
    UnsupportedFilesystem,
)
from regild.image import ext
from regild.image.ext import ExtVolume
from regild.image.formats import open_disk
from regild.image.region import Region
from regild.model.json import to_json
from regild.model.progress import Silent
from tests.image.disks import tool
from tests.image.ext_images import (
    KINDS,
    Fact,
    facts_of_folder,
    facts_of_volume,
    make_image,
    mounted,
    opened,
)

ACCESS_LIST = bytes.fromhex(
    "02000000 01000600ffffffff 02000400e8030000 04000400ffffffff 10000400ffffffff 20000400ffffffff"
)
CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")


def fill(root: Path) -> None:
    """A folder with one of everything that a filesystem can hold."""
    (root / "folder/deep").mkdir(parents=True)
    for size in (0, 1, 59, 60, 61, 130, 1023, 4096, 5000, 300_000):
        (root / f"size{size}").write_bytes(os.urandom(size))
    (root / "twin").hardlink_to(root / "size5000")
    (root / "folder/triplet").hardlink_to(root / "size5000")
    for length in (1, 59, 60, 61, 700):
        (root / f"link{length}").symlink_to("t" * length)
    (root / "dangling").symlink_to("../../etc/passwd")
    with (root / "sparse").open("wb") as file:
        for offset in (0, 1 << 20, (3 << 20) + 123, 9 << 20):
            file.seek(offset)
            file.write(b"data")
        file.truncate(12 << 20)
    os.mkfifo(root / "pipe")
    for name in (b"\xff\xfe", b"new\nline", b"quote'\"\\", "ä\u2028".encode()):
        (root / os.fsdecode(name)).write_bytes(name)
    (root / "setuid").write_bytes(b"x")
    (root / "setuid").chmod(0o6755)
    (root / "sticky").mkdir()
    (root / "sticky").chmod(0o1777)
    many = root / "many"
    many.mkdir()
    for number in range(900):
        (many / f"a name that is long enough to fill blocks {number:05}").touch()
    for name, value in (("user.short", b"v"), ("user.long", os.urandom(700))):
        os.setxattr(root / "size300000", name, value)
    os.setxattr(root / "folder", "user.on-folder", b"f")
    if os.geteuid() == 0:
        os.chown(root / "folder", 100_000, 70_000)
        os.chown(root / "link60", 3_000_000, 5, follow_symlinks=False)
        os.mknod(root / "null", 0o020666, os.makedev(1, 3))
        os.mknod(root / "disk", 0o060660, os.makedev(259, 1_000_000))
        os.setxattr(root / "size4096", "system.posix_acl_access", ACCESS_LIST)
        os.setxattr(root / "size61", "security.capability", CAPABILITY)
    for path, seconds in (("size1", -1), ("size59", 1), ("size60", 2**31 - 1), ("size61", 2**32)):
        os.utime(root / path, ns=(0, seconds * 10**9))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("source")
    fill(root)
    return root


def without_what_this_kind_lacks(facts: dict[str, Fact], kind: str) -> dict[str, Fact]:
    """Facts to compare: whole seconds, within 32 bits where inodes are small."""
    coarse = {}
    for path, (mode, uid, gid, mtime_ns, links, content, attributes) in facts.items():
        assert isinstance(mtime_ns, int)
        assert isinstance(attributes, dict)
        seconds = mtime_ns // 10**9
        if "small" in kind or "ext2" in kind:
            seconds = 0 if seconds > 2**31 - 1 or seconds < 0 else seconds
        fixed = {n: _canonical(v) if "acl" in n else v for n, v in attributes.items()}
        coarse[path] = (mode, uid, gid, seconds, links, content, fixed)
    return coarse


def _canonical(value: bytes) -> bytes:
    from regild.change.record import canonical_acl

    return canonical_acl(value)


@pytest.mark.parametrize("kind", KINDS)
def test_everything_is_read_as_the_kernel_reads_it(kind: str, source: Path, tmp_path: Path) -> None:
    image = make_image(tmp_path / "image", kind, source)
    with opened(image) as changing:
        ours = without_what_this_kind_lacks(facts_of_volume(changing.volume), kind)
    with mounted(image, tmp_path / "mnt") as folder:
        kernel = without_what_this_kind_lacks(facts_of_folder(folder), kind)
    assert ours.keys() == kernel.keys()
    assert {path for path in ours if ours[path] != kernel[path]} == set()
    assert len(ours) > 900


@pytest.mark.parametrize("kind", ["ext4", "ext3 1k"])
def test_a_file_in_thousands_of_pieces_is_read_in_order(kind: str, tmp_path: Path) -> None:
    # Every second block of the room is taken and let go, so that the file must go between.
    source = tmp_path / "source"
    source.mkdir()
    for number in range(2000):
        (source / f"{number:04}").write_bytes(b"x" * 4096)
    image = make_image(tmp_path / "image", kind, source, 24 << 20)
    content = b"".join(struct.pack("<I", n) * 1024 for n in range(1, 1500))
    (tmp_path / "content").write_bytes(content)
    commands = [f"rm {number:04}" for number in range(0, 2000, 2)]
    fills = [f"write {source}/0001 fill{n}" for n in range(60)]
    tool("debugfs", "-w", "-f", "-", image, text="\n".join([*commands, *fills]) + "\n")
    tool("debugfs", "-w", "-R", f"write {tmp_path}/content pieces", image)
    with opened(image) as changing:
        inode = dict(changing.volume.walk())["/pieces"]
        runs = changing.volume.read_runs(inode)
        assert len(runs) > (300 if kind == "ext4" else 50)
        assert b"".join(piece for _, piece in changing.volume.read_content(inode)) == content


def patched(image: Path, offset: int, content: bytes) -> None:
    with image.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def inode_offset(image: Path, number: int) -> int:
    """Where an inode lies, as debugfs says."""
    said = tool("debugfs", "-R", f"imap <{number}>", image)
    block = int(said.split("at block ")[1].split(",")[0])
    offset = int(said.split("offset ")[1], 16)
    stats = tool("debugfs", "-R", "stats", image)
    size = next(int(line.split()[-1]) for line in stats.splitlines() if "Block size" in line)
    return block * size + offset


def number_of(image: Path, path: str) -> int:
    return int(tool("debugfs", "-R", f"stat {path}", image).split("Inode: ")[1].split()[0])


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A filesystem without checksums, so that a lie needs no second one."""
    source = tmp_path / "plain-source"
    (source / "a/b").mkdir(parents=True)
    for name in ("one", "two"):
        (source / name).write_bytes(name.encode() * 3000)
    (source / "link").symlink_to("x" * 100)
    return make_image(tmp_path / "image", "ext4 1k, no checksums", source)


def walk_all(image: Path) -> None:
    """Read everything that a filesystem holds."""
    with open_disk(image) as disk:
        volume = ExtVolume(Region(disk, ((0, disk.size),), "test"), "test")
        facts_of_volume(volume)
        volume.close()


def lie_about_size(image: Path) -> None:
    place = inode_offset(image, number_of(image, "/one"))
    patched(image, place + 4, b"\0\0\0\0")
    patched(image, place + 108, struct.pack("<I", 1 << 28))


def lie_with_extent_beyond(image: Path) -> None:
    patched(image, inode_offset(image, number_of(image, "/one")) + 40 + 20, b"\xff\xff\xff\x7f")


def lie_with_extent_tree_to_itself(image: Path) -> None:
    place = inode_offset(image, number_of(image, "/one"))
    block = 12_000
    for at, depth in ((place + 40, 5), (block * 1024, 4)):
        header = struct.pack("<HHHHI", 0xF30A, 4, 4 if depth == 5 else 84, depth, 0)
        entries = b"".join(struct.pack("<IIHH", n, block, 0, 0) for n in range(4))
        patched(image, at, header + entries)


def lie_with_overlapping_extents(image: Path) -> None:
    place = inode_offset(image, number_of(image, "/one"))
    header = struct.pack("<HHHHI", 0xF30A, 2, 4, 0, 0)
    row = struct.pack("<IHHI", 0, 5, 0, 15_000)
    patched(image, place + 40, header + row + struct.pack("<IHHI", 3, 5, 0, 16_000) + row)


def lie_about_blocks(image: Path) -> None:
    patched(image, 1024 + 4, struct.pack("<I", 1 << 30))


def lie_about_inodes(image: Path) -> None:
    patched(image, 1024, struct.pack("<I", 1 << 30))


def make_folder_its_own_child(image: Path) -> None:
    tool("debugfs", "-w", "-R", "ln a a/b/back", image)


def make_folder_with_two_parents(image: Path) -> None:
    tool("debugfs", "-w", "-R", "ln a/b twin", image)


def name_without_inode(image: Path) -> None:
    tool("debugfs", "-w", "-R", "ln <999> ghost", image)


def name_twice(image: Path) -> None:
    tool("debugfs", "-w", "-R", "ln two same", image)
    rename(image, b"same", b"a\0\0\0", 1)


def name_with_slash(image: Path) -> None:
    tool("debugfs", "-w", "-R", "ln two x..y", image)
    rename(image, b"x..y", b"../y", 4)


def name_that_is_the_parent(image: Path) -> None:
    tool("debugfs", "-w", "-R", "ln two xx", image)
    rename(image, b"xx", b"..", 2)


def rename(image: Path, old: bytes, new: bytes, length: int) -> None:
    """Change a name in the root folder, where it lies."""
    content = image.read_bytes()
    wanted = bytes([len(old), 1]) + old
    place = content.index(wanted)
    patched(image, place, bytes([length, 1]) + new)


def link_to_nowhere(image: Path) -> None:
    place = inode_offset(image, number_of(image, "/link"))
    patched(image, place + 4, struct.pack("<I", 0))


LIES: dict[Callable[[Path], None], str] = {
    lie_about_size: "claims",
    lie_with_extent_beyond: "lies off the volume",
    lie_with_extent_tree_to_itself: "comes back to itself",
    lie_with_overlapping_extents: "overlap",
    lie_about_blocks: "larger than its volume",
    lie_about_inodes: "larger than its volume",
    make_folder_its_own_child: "circle",
    make_folder_with_two_parents: "circle",
    name_without_inode: "has no inode",
    name_twice: "a name twice",
    name_with_slash: "the name",
    name_that_is_the_parent: "the name",
    link_to_nowhere: "points nowhere",
}


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_a_filesystem_that_lies_is_refused(lie: Callable[[Path], None], plain: Path) -> None:
    lie(plain)
    with pytest.raises(Malformed, match=LIES[lie]):
        walk_all(plain)


def test_inodes_of_the_first_revision_have_128_bytes_whatever_stands_there(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(bytes(2 << 20))
    line = ["mke2fs", "-q", "-t", "ext2"]
    newer = subprocess.run([*line, "-E", "revision=0", image], capture_output=True, check=False)
    if newer.returncode:  # before e2fsprogs 1.47.1
        tool(*line, "-r", "0", "-O", "none", image)
    patched(image, 1024 + 88, struct.pack("<H", 4))
    walk_all(image)


def test_files_without_end_are_refused(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ext, "ENTRIES_MAX", 3)
    with open_disk(plain) as disk, pytest.raises(TooLarge, match="files"):
        list(ExtVolume(Region(disk, ((0, disk.size),), "test"), "test").read_inodes())


def test_a_block_map_that_leads_to_itself_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "one").write_bytes(b"x" * 400_000)
    image = make_image(tmp_path / "image", "ext3 1k", source)
    place = inode_offset(image, number_of(image, "/one")) + 40
    triple = 12_000
    patched(image, triple * 1024, struct.pack("<I", triple) * 256)
    patched(image, place + 14 * 4, struct.pack("<I", triple))
    with pytest.raises(Malformed, match="comes back to itself"):
        walk_all(image)


def test_a_path_of_many_signs_is_measured_in_bytes(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "/".join(["ä" * 120] * 14)).mkdir(parents=True)
    image = make_image(tmp_path / "image", "ext4", source)
    with pytest.raises(TooLarge):
        walk_all(image)


@pytest.mark.parametrize(
    ("options", "why"),
    [("quota", "quotas"), ("bigalloc", "clusters"), ("has_journal", "journal must be replayed")],
)
def test_what_writing_would_break_is_refused(options: str, why: str, tmp_path: Path) -> None:
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(24 << 20)
    tool("mke2fs", "-q", "-F", "-t", "ext4", "-O", options, image)
    if options == "has_journal":
        tool("debugfs", "-w", "-R", "feature needs_recovery", image)
    with pytest.raises(UnsupportedFilesystem, match=why), open_disk(image) as disk:
        ExtVolume(Region(disk, ((0, disk.size),), "test"), "test", writable=True)


def test_a_region_ends_where_its_volume_ends(plain: Path) -> None:
    with open_disk(plain) as disk:
        region = Region(disk, ((1 << 20, 1 << 20),), "test")
        assert len(region.read((1 << 20) - 10, 10)) == 10
        for offset, length in (((1 << 20) - 10, 11), (-1, 1), (0, -1), (1 << 60, 1)):
            with pytest.raises(Malformed, match="beyond its end"):
                region.read(offset, length)
        with pytest.raises(Malformed, match="for reading only"):
            region.write(0, b"x")


def extract_image(image: Path, tree: Path) -> None:
    part = Part("/", 0, image.stat().st_size, "ext4")
    with image.open("rb") as file:
        request = {"disk": file.fileno(), "where": "test", "offset": 0, "bytes": part.bytes}
        extract({**request, "parts": to_json((part,), 0), "tree": str(tree)}, Silent())


def damaged(content: bytes, places: list[int], seed: int) -> bytes:
    """Some bytes of what is not empty, changed."""
    chance, made = random.Random(seed), bytearray(content)
    for _ in range(chance.choice([1, 2, 5, 20, 100])):
        place = chance.choice(places) + chance.randrange(64)
        wish = chance.random()
        if wish < 0.5:
            made[place] = chance.randrange(256)
        elif wish < 0.8:
            tricks = [b"\xff" * 4, bytes(4), struct.pack("<I", 2), b"\xff\xff\xff\x7f"]
            made[place : place + 4] = chance.choice(tricks)
        else:
            made[place] ^= 1 << chance.randrange(8)
    return bytes(made)


def outcome_of(act: Callable[[], None]) -> int:
    """0 for a result, 1 for one of our errors; anything else is a fault. Apart, in 20 seconds."""
    child = os.fork()
    if child == 0:
        code = 9
        try:
            signal.alarm(20)
            resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
            act()
            code = 0
        except (InputError, UnsupportedError, RegildError):
            code = 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.root
@pytest.mark.parametrize("kind", ["ext4", "ext4 inline", "ext4 1k, no checksums", "ext3 1k"])
@pytest.mark.parametrize(
    "seeds",
    [range(12), pytest.param(range(1000, 1150), marks=pytest.mark.slow)],
    ids=["few", "many"],
)
def test_a_damaged_filesystem_gives_a_result_or_an_error(
    kind: str, seeds: range, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    (source / "folder").mkdir(parents=True)
    for number in range(60):
        (source / f"folder/{number}").write_bytes(os.urandom(number * 97))
        (source / f"link{number}").symlink_to("x" * (number * 3 + 1))
        os.setxattr(source / f"folder/{number}", "user.x", b"y" * number)
    whole = make_image(tmp_path / "image", kind, source, 4 << 20).read_bytes()
    places = [place for place in range(1024, len(whole), 64) if any(whole[place : place + 64])]
    outside = set(tmp_path.iterdir()) | {tmp_path / name for name in ("bad", "tree", TAKEN)}
    for seed in seeds:
        bad, tree = tmp_path / "bad", tmp_path / "tree"
        bad.write_bytes(damaged(whole, places, seed))
        assert outcome_of(lambda b=bad, t=tree: extract_image(b, t)) in (0, 1), seed  # type: ignore[misc]  # bound early
        tool("rm", "-rf", tree)
    assert set(tmp_path.iterdir()) <= outside
