"""What is told of files that are shown out of an image."""

from __future__ import annotations

from pathlib import Path

from regild.change.left import Left
from regild.change.show import Shown
from regild.change.tree import Part
from regild.image.formats import open_disk
from tests.image.disks import tool
from tests.image.ext_images import make_image


def test_a_file_within_its_inode_is_not_told_as_one_hole(tmp_path: Path) -> None:
    """tar(1) reads nothing of a file that holds no block, and takes it for zeros."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source/tiny").write_bytes(b"within")
    path = make_image(tmp_path / "image", "ext4 inline", tmp_path / "source", 4 << 20)
    number = int(tool("debugfs", "-R", "stat /tiny", path).split()[1])
    with open_disk(path) as disk:
        part = Part("/", 0, disk.size, "ext4")
        shown = Shown(disk, [part], [Left("/", number, ("/tiny",))])
        told = shown.tell(shown.find(1, b"tiny"))
        assert shown.read(shown.find(1, b"tiny"), 0, 4096) == b"within"
    assert (told.size, told.held) == (6, 6)
