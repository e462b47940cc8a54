"""A record applied by the kernel's own calls: which inodes stay, and what is not stored."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from regild.change.inside import apply_entries
from regild.change.record import NOTHING, inode_at
from regild.model.record import Entry, Inode

pytestmark = pytest.mark.root

CONTENT = b"a" * 4096 + bytes(1 << 20) + b"b" * 10


def wanted(size: int = len(CONTENT)) -> Inode:
    return Inode("file", 0o640, 33, 50, 1_000_000_007, size)


def applied(folder: Path, *entries: Entry) -> None:
    with (folder / "content").open("wb+") as file:
        file.write(CONTENT)
        file.flush()
        apply_entries(entries, file.fileno())


def was(path: Path) -> Inode:
    return inode_at(str(path), path.lstat())


@pytest.mark.parametrize("in_place", [True, False])
def test_a_file_that_was_written_through_keeps_its_inode(in_place: bool, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"o" * (2 << 20))
    with path.open("rb") as held:
        applied(tmp_path, Entry(str(path), was(path), wanted(), 0, in_place=in_place))
        assert os.path.samestat(os.fstat(held.fileno()), path.stat()) == in_place
    assert path.read_bytes() == CONTENT
    status = path.stat()
    assert (status.st_mode & 0o7777, status.st_uid, status.st_gid) == (0o640, 33, 50)
    assert status.st_mtime_ns == 1_000_000_007


def test_a_file_with_other_names_is_never_written_through(tmp_path: Path) -> None:
    path, other = tmp_path / "file", tmp_path / "other"
    path.write_bytes(b"old")
    other.hardlink_to(path)
    applied(tmp_path, Entry(str(path), was(path), wanted(), 0, in_place=True))
    assert other.read_bytes() == b"old"


def test_holes_are_not_written_and_zeros_are(tmp_path: Path) -> None:
    paths = tmp_path / "holes", tmp_path / "zeros"
    for path, holes in zip(paths, (((4096, 1 << 20),), ()), strict=True):
        applied(tmp_path, Entry(str(path), NOTHING, wanted(), 0, holes=holes))
        assert path.read_bytes() == CONTENT
    assert [path.stat().st_blocks < 100 for path in paths] == [True, False]


def test_capabilities_survive_a_write_to_their_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    value = bytes.fromhex("0100000200200000000000000000000000000000")
    os.setxattr(path, "security.capability", value)
    before = was(path)
    becomes = Inode("file", 0o755, 0, 0, 5, 4096, attributes=before.attributes)
    applied(tmp_path, Entry(str(path), before, becomes, 0, in_place=True))
    assert os.getxattr(path, "security.capability") == value
