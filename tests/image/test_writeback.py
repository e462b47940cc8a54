"""Changes written into real filesystems: e2fsck finds nothing, the kernel sees what was meant."""

from __future__ import annotations

import os
import random
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from regild.errors import ChangeError, Malformed
from regild.image.writeback import Writeback
from regild.model.record import Inode
from tests.image.disks import tool
from tests.image.ext_images import (
    KINDS,
    check,
    facts_of_folder,
    facts_of_volume,
    flattened,
    make_image,
    mounted,
    opened,
)
from tests.image.test_ext import ACCESS_LIST, CAPABILITY, fill, without_what_this_kind_lacks

NOW = 1_700_000_000_000_000_000


@dataclass
class Change:
    """A filesystem to change by path, as WRITE does."""

    writeback: Writeback

    def put(self, path: str, content: bytes = b"", **wanted: Any) -> int:
        """A file with content, new or in its old inode."""
        number = self.writeback.find(path)
        if number is None:
            number = self.writeback.make(path, Inode("file"))
        self.writeback.write_content(number, len(content), [content] if content else [])
        return self.dress(number, **{"mode": 0o644, **wanted})

    def make(self, path: str, kind: str, **wanted: Any) -> int:
        """Anything but a file."""
        inode = Inode(kind, **{"mode": 0o755, "mtime_ns": NOW, **wanted})  # type: ignore[arg-type]  # a kind of Inode
        return self.dress(self.writeback.make(path, inode), **wanted)

    def dress(self, number: int, attributes: dict[str, bytes] | None = None, **wanted: Any) -> int:
        self.writeback.write_attributes(number, {}, attributes or {})
        inode = Inode("file", **{"mode": 0o755, "mtime_ns": NOW, **wanted})
        self.writeback.write_metadata(number, inode, NOW)
        return number


def changed(image: Path, act: Callable[[Change], None]) -> dict[str, Any]:
    """Change an image, have it checked, and compare what the kernel and regild see of it."""
    with opened(image, writable=True) as changing:
        writeback = Writeback(changing.volume)
        act(Change(writeback))
        writeback.flush()
    flat = flattened(image)
    check(flat)
    kind = image.name
    with opened(image) as changing:
        ours = without_what_this_kind_lacks(facts_of_volume(changing.volume), kind)
    if os.geteuid() == 0:
        with mounted(flat, image.parent / "mnt") as folder:
            kernel = without_what_this_kind_lacks(facts_of_folder(folder), kind)
        assert {
            path for path in ours.keys() | kernel.keys() if ours.get(path) != kernel.get(path)
        } == set()
    return ours


@pytest.fixture(params=KINDS)
def image(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An empty filesystem of each kind, named for it."""
    return make_image(tmp_path / request.param, request.param)


def test_everything_that_a_package_holds_can_be_made(image: Path) -> None:
    odd = "/\udcff\n'\"\\"

    def act(change: Change) -> None:
        for size in (0, 1, 60, 200, 1024, 4096, 4097, 3_000_000):
            change.put(f"/size{size}", os.urandom(size))
        change.put(odd, b"odd")
        change.make("/folder", "directory", uid=100_000, gid=70_000, mode=0o2775)
        change.make("/folder/deeper", "directory")
        for length in (1, 59, 60, 61, 700):
            change.make(f"/link{length}", "symlink", target="t" * length)
        change.make("/pipe", "fifo")
        change.make("/socket", "socket")
        change.make("/null", "character", device=(1, 3))
        change.make("/disk", "block", device=(259, 1_000_000 & 0xFFFFF))
        change.put("/setuid", b"x", mode=0o6755, uid=3_000_000)
        first = change.put("/first", b"one file")
        for name in ("/second", "/folder/third"):
            change.writeback.link(name, first)
        attributes = {"user.a": b"v", "user.b": b"w" * 300, "security.capability": CAPABILITY}
        change.put("/attributes", b"x", attributes=attributes)
        change.put("/list", b"x", attributes={"system.posix_acl_access": ACCESS_LIST})

    found = changed(image, act)
    assert found[odd][5] == b"odd"
    assert found["/first"][4] == 3
    assert found["/folder"][:3] == (stat.S_IFDIR | 0o2775, 100_000, 70_000)
    assert found["/link60"][5] == "t" * 60
    assert found["/disk"][5] == (259, 1_000_000 & 0xFFFFF)
    assert found["/setuid"][:2] == (stat.S_IFREG | 0o6755, 3_000_000)
    assert set(found["/attributes"][6]) == {"user.a", "user.b", "security.capability"}
    assert "system.posix_acl_access" in found["/list"][6]


@pytest.mark.parametrize(
    "seconds", [0, -1, -(2**31), 2**31 - 1, 2**31, 2**32, 2**33, 2**34 - 2**31 - 1]
)
def test_a_time_is_kept_as_far_as_the_inode_has_room(seconds: int, tmp_path: Path) -> None:
    for kind in ("ext4", "ext4 small inodes"):
        image = make_image(tmp_path / kind, kind)
        wanted = seconds * 10**9 + 123_456_789
        with opened(image, writable=True) as changing:
            number = Change(Writeback(changing.volume)).put("/x", b"x", mtime_ns=wanted)
            found = changing.volume.read_inode(number).mtime_ns
        fits = -(2**31) <= seconds < 2**31
        assert found == wanted if kind == "ext4" else (found // 10**9 == seconds) == fits
        check(flattened(image))


def test_a_folder_grows_to_thousands_of_names_and_shrinks_again(image: Path) -> None:
    names = [f"/many/a name long enough to fill the blocks {n:05}" for n in range(900)]

    def grow(change: Change) -> None:
        change.make("/many", "directory")
        first = change.put("/many/first", b"x")
        for name in names:
            change.writeback.link(name, first)

    def shrink(change: Change) -> None:
        chance = random.Random(1)
        for name in chance.sample(names, 700):
            change.writeback.remove(name)
        for number in range(300):
            change.put(f"/many/new{number}", b"y")

    assert sum(path.startswith("/many/") for path in changed(image, grow)) == 901
    found = changed(image, shrink)
    assert sum(path.startswith("/many/") for path in found) == 501
    assert found["/many/first"][4] == 201


def test_an_indexed_folder_of_the_guests_own_is_changed(image: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "many").mkdir(parents=True)
    for number in range(800):
        (source / f"many/a name that is long enough to fill blocks {number:05}").touch()
    image = make_image(image, image.name, source)
    tool("e2fsck", "-fyD", image)  # builds the index (htree) where the kind has one

    def act(change: Change) -> None:
        for number in range(0, 800, 2):
            change.writeback.remove(f"/many/a name that is long enough to fill blocks {number:05}")
        for number in range(500):
            change.put(f"/many/a new one that is long enough as well {number:05}", b"z")

    found = changed(image, act)
    assert sum(path.startswith("/many/") for path in found) == 900


def test_old_files_are_filled_anew_and_removed(image: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    fill(source)
    image = make_image(image, image.name, source)

    def act(change: Change) -> None:
        for path, content in (
            ("/size300000", b"short"),
            ("/size1", b"y" * 200_000),
            ("/sparse", b""),
        ):
            if not change.writeback.keeps_place(change.writeback.find(path) or 0):
                change.writeback.remove(path)
            change.put(path, content)
        for path in ("/link1", "/link700", "/pipe", "/twin", "/dangling", "/size0", "/size60"):
            change.writeback.remove(path)
        for path in ("/folder/triplet", "/folder/deep", "/folder"):
            change.writeback.remove(path)
        change.make("/link1", "directory")
        change.put("/folder", b"a file now")

    found = changed(image, act)
    assert found["/size300000"][5] == b"short"
    assert found["/size1"][5] == b"y" * 200_000
    assert found["/size5000"][4] == 1
    assert "/twin" not in found
    assert found["/folder"][5] == b"a file now"


def test_attributes_come_change_and_go(image: Path) -> None:
    def come(change: Change) -> None:
        change.put("/x", b"x", attributes={"user.a": b"1", "user.b": b"2" * 400})

    def go(change: Change) -> None:
        number = change.writeback.find("/x")
        assert number is not None
        was = {"user.a": b"1", "user.b": b"2" * 400}
        change.writeback.write_attributes(number, was, {"user.a": b"new", "user.c": b"3"})

    changed(image, come)
    assert changed(image, go)["/x"][6] == {"user.a": b"new", "user.c": b"3"}


def test_room_that_is_given_back_is_used_again(image: Path) -> None:
    content = os.urandom(5 << 20)

    def act(change: Change) -> None:
        for turn in range(5):
            if turn:
                change.writeback.remove(f"/big{turn - 1}")
            change.put(f"/big{turn}", content)

    assert changed(image, act)["/big4"][5] == content


def test_a_full_filesystem_is_an_error_and_no_half_file_that_looks_whole(image: Path) -> None:
    with opened(image, writable=True) as changing:
        change = Change(Writeback(changing.volume))
        with pytest.raises(Malformed, match=r"No free space|allocate block"):
            change.put("/big", bytes(64 << 20))


def remove_a_full_folder(change: Change) -> None:
    change.make("/full", "directory")
    change.put("/full/x")
    change.writeback.remove("/full")


@pytest.mark.parametrize(
    ("act", "why"),
    [
        (lambda c: c.writeback.remove("/nothing"), "not there"),
        (lambda c: c.writeback.make("/lost+found", Inode("file")), "there already"),
        (lambda c: c.writeback.make("/no/folder", Inode("file")), "folder is not there"),
        (remove_a_full_folder, "not empty"),
        (lambda c: c.writeback.write_content(c.put("/x"), 5, [b"four"]), "has 4 bytes, not 5"),
    ],
)
def test_what_cannot_be_is_refused(
    act: Callable[[Change], object], why: str, tmp_path: Path
) -> None:
    image = make_image(tmp_path / "ext4", "ext4")
    with opened(image, writable=True) as changing, pytest.raises(ChangeError, match=why):
        act(Change(Writeback(changing.volume)))


def test_a_clean_journals_content_may_be_let_go(tmp_path: Path) -> None:
    image = make_image(tmp_path / "ext4", "ext4")
    with opened(image, writable=True) as changing:
        writeback = Writeback(changing.volume)
        journal = writeback.read_journal()
        assert sum(length for _, length in journal) >= 1 << 19
        for offset, length in journal:
            changing.overlay.discard(offset, length)
        Change(writeback).put("/x", b"x")
        writeback.flush()
    check(flattened(image))


@pytest.mark.parametrize("tail", [b"end", b""], ids=["in the middle", "at the end"])
def test_holes_take_no_room_and_read_as_zeros(tail: bytes, image: Path) -> None:
    content = b"a" * 4096 + bytes(1 << 20) + b"b" * 8192 + bytes(100_000) + tail
    holes = ((4096, 1 << 20), (4096 + (1 << 20) + 8192, 100_000))
    stored: list[int] = []

    def act(change: Change) -> None:
        number = change.writeback.make("/x", Inode("file"))
        pieces = [content[at : at + 10_000] for at in range(0, len(content), 10_000)]
        change.writeback.write_content(number, len(content), pieces, holes)
        change.dress(number, mode=0o644)
        volume = change.writeback.volume
        stored.append(sum(run.length for run in volume.read_runs(volume.read_inode(number))))

    assert changed(image, act)["/x"][5] == content
    assert stored[0] <= 12288 + 8192 + 2 * 4096


def test_a_hole_that_would_hold_something_is_refused(image: Path) -> None:
    with opened(image, writable=True) as changing, pytest.raises(Malformed, match="has holes"):
        writeback = Writeback(changing.volume)
        number = writeback.make("/x", Inode("file"))
        writeback.write_content(number, 16384, [b"x" * 16384], ((4096, 8192),))


def test_what_is_made_in_a_folder_gets_its_flags_as_a_kernel_gives_them(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for name in ("flagged", "plain"):
        (source / name).mkdir(parents=True)
        for file in ("kept", "renewed"):
            (source / name / file).write_text("old")
    image = make_image(tmp_path / "ext4", "ext4", source)
    for path in ("/flagged", "/plain/kept", "/plain/renewed"):
        # Extents, and SYNC, NODUMP and NOATIME.
        tool("debugfs", "-w", "-R", f"set_inode_field {path} flags 0x800c8", image)
    found: dict[str, int] = {}
    with opened(image, writable=True) as changing:
        writeback = Writeback(changing.volume)
        change = Change(writeback)
        for folder in ("/flagged", "/plain"):
            for name in ("kept", "renewed"):
                change.put(f"{folder}/{name}", b"new")
            number = writeback.find(f"{folder}/renewed")
            assert number is not None
            writeback.renew_flags(f"{folder}/renewed", number)
            change.put(f"{folder}/file")
            change.make(f"{folder}/folder", "directory")
            change.make(f"{folder}/link", "symlink", target="x")
            change.make(f"{folder}/pipe", "fifo")
        writeback.flush()
        found = {path: inode.flags & 0xFF for path, inode in changing.volume.walk()}
    check(flattened(image))
    wanted = {"kept": 0, "renewed": 0xC8, "file": 0xC8, "folder": 0xC8, "link": 0xC0, "pipe": 0xC0}
    assert {name: found[f"/flagged/{name}"] for name in wanted} == wanted
    wanted = dict.fromkeys(wanted, 0) | {"kept": 0xC8}
    assert {name: found[f"/plain/{name}"] for name in wanted} == wanted
