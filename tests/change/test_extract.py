"""EXTRACT: several filesystems become one folder, and nothing is written beside it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from regild.change.extract import TAKEN, Taken
from regild.change.extract import main as extract
from regild.change.tree import Part, check_parts
from regild.errors import Malformed, UnsafeName, UnsupportedFilesystem
from regild.model.json import from_json, to_json
from regild.model.progress import Silent
from tests.image.disks import tool
from tests.image.ext_images import make_image

SIZE = 8 << 20
pytestmark = pytest.mark.root


def disk_of_parts(folder: Path, **parts: dict[str, str]) -> Path:
    """A disk of one filesystem after another: path to content, or to `-> target` of a link."""
    disk = folder / "disk"
    with disk.open("wb") as file:
        for name, paths in parts.items():
            source = folder / name
            source.mkdir()
            for path, content in paths.items():
                place = source / path
                place.parent.mkdir(parents=True, exist_ok=True)
                if content.startswith("-> "):
                    place.symlink_to(content[3:])
                else:
                    place.write_text(content)
            file.write(make_image(folder / f"{name}.img", "ext4", source, SIZE).read_bytes())
    return disk


def take_out(disk: Path, *mounts: str) -> Path:
    """Extract filesystems that lie one after another."""
    parts = tuple(Part(mount, n * SIZE, SIZE, "ext4") for n, mount in enumerate(mounts))
    tree = disk.parent / "tree"
    with disk.open("rb") as file:
        request = {"disk": file.fileno(), "where": "disk", "offset": 0, "bytes": SIZE * len(mounts)}
        parts_json = to_json(check_parts(parts), 0)
        extract({**request, "parts": parts_json, "tree": str(tree)}, Silent())
    return tree


def test_what_a_mounted_filesystem_hides_is_left_out(tmp_path: Path) -> None:
    root = {"boot/vmlinuz": "hidden", "boot/grub/x": "hidden", "etc/x": "root"}
    disk = disk_of_parts(tmp_path, root=root, boot={"vmlinuz": "seen"})
    tree = take_out(disk, "/", "/boot/")
    assert (tree / "boot/vmlinuz").read_text() == "seen"
    assert not (tree / "boot/grub").exists()
    assert (tree / "etc/x").read_text() == "root"


def test_links_are_made_and_never_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    root = {"a": f"-> {outside}", "etc": "-> ../../..", "usr/b": "-> /etc/passwd", "usr/c": "x"}
    tree = take_out(disk_of_parts(tmp_path, root=root), "/")
    assert (tree / "a").readlink() == outside
    assert (tree / "usr/c").read_text() == "x"
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("mount", ["/away", "/away/in", "/file", "/none", "/some/none"])
def test_a_mount_point_that_is_no_folder_of_the_guest_is_refused(
    mount: str, tmp_path: Path
) -> None:
    outside = tmp_path / "outside/in"
    outside.mkdir(parents=True)
    root = {"away": f"-> {outside.parent}", "file": "x", "some/folder/x": "x"}
    disk = disk_of_parts(tmp_path, root=root, other={"x": "y"})
    with pytest.raises(Malformed, match="no folder"):
        take_out(disk, "/", mount)
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("mount", ["/../x", "/a/../../x", "x", "", "/a//b", "/a/./b", "/a\0b"])
def test_a_mount_point_that_is_no_plain_path_is_refused(mount: str) -> None:
    with pytest.raises(UnsafeName):
        check_parts((Part("/", 0, SIZE, "ext4"), Part(mount, 0, SIZE, "ext4")))


def test_two_volumes_in_one_place_are_refused() -> None:
    with pytest.raises(UnsupportedFilesystem, match="two volumes"):
        check_parts(tuple(Part(mount, 0, SIZE, "ext4") for mount in ("/", "/boot", "/boot/")))


def test_overlayfs_own_marks_do_not_come_out(tmp_path: Path) -> None:
    disk = disk_of_parts(tmp_path, root={"folder/x": "x"})
    image = tmp_path / "root.img"
    os.setxattr(tmp_path / "root/folder", "user.overlay.opaque", b"y")
    os.setxattr(tmp_path / "root/folder", "user.mine", b"y")
    image.unlink()
    disk.write_bytes(make_image(image, "ext4", tmp_path / "root", SIZE).read_bytes())
    assert os.listxattr(take_out(disk, "/") / "folder") == ["user.mine"]


def test_a_filesystem_longer_than_its_volume_is_refused(tmp_path: Path) -> None:
    disk = disk_of_parts(tmp_path, root={"x": "x"}, other={"secret": "x"})
    parts = (Part("/", 0, SIZE - (1 << 20), "ext4"),)
    with disk.open("rb") as file:
        request = {"disk": file.fileno(), "where": "disk", "offset": 0, "bytes": 2 * SIZE}
        request |= {"parts": to_json(parts, 0), "tree": str(tmp_path / "tree")}
        with pytest.raises(Malformed, match="larger than its volume"):
            extract(request, Silent())


def test_what_the_guest_made_immutable_is_noted(tmp_path: Path) -> None:
    disk = disk_of_parts(tmp_path, root={"held": "x", "free": "y"})
    tool("debugfs", "-w", "-R", "set_inode_field /held flags 0x80010", disk)
    take_out(disk, "/")
    taken = from_json(Taken, (tmp_path / TAKEN).read_bytes(), "test")
    assert taken.fixed == ("/held",)
