import json

import pytest

from regild.image.convert import write_raw, write_through_qemu
from regild.image.formats import open_disk
from regild.image.merkle import virtual_digest
from regild.image.vmdk_sparse import write_vmdk_sparse
from tests.image.disks import MemoryDisk, noise, tool

CONTENT = bytes(65536) + noise(5000) + bytes(4 << 20) + noise(70000) + bytes((1 << 20) + 264)


class Blank(MemoryDisk):
    """A disk on which nothing was ever written."""

    def __init__(self, size: int) -> None:
        super().__init__(b"", [])
        self.size = size


def test_a_raw_file_has_the_disk_s_bytes_and_stays_sparse(tmp_path):
    path = tmp_path / "disk.raw"
    with path.open("wb") as file:
        write_raw(MemoryDisk(CONTENT), file)
    assert path.read_bytes() == CONTENT
    assert path.stat().st_blocks * 512 < len(CONTENT) // 2


@pytest.mark.parametrize("form", ["vhd", "vhdx"])
def test_other_formats_go_through_qemu_and_leave_nothing_behind(tmp_path, form):
    assert len(CONTENT) % 512 == 0
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    tool("qemu-img", "--version")
    disk = MemoryDisk(CONTENT)
    write_through_qemu(disk, tmp_path / "disk", form, scratch)
    with open_disk(tmp_path / "disk") as again:
        assert again.format == form
        assert virtual_digest(again) == virtual_digest(disk)
    write_through_qemu(disk, tmp_path / "again", form, scratch)
    assert (tmp_path / "again").read_bytes() == (tmp_path / "disk").read_bytes()
    assert list(scratch.iterdir()) == []
    kind = {"vhd": "vpc"}.get(form, form)
    raw = tmp_path / "back.raw"
    tool("qemu-img", "convert", "-f", kind, "-O", "raw", tmp_path / "disk", raw)
    assert raw.read_bytes() == CONTENT


def test_a_sparse_vmdk_is_what_others_read(tmp_path):
    path = tmp_path / "disk.vmdk"
    with path.open("wb") as file:
        write_vmdk_sparse(MemoryDisk(CONTENT), file)
    assert path.stat().st_size < len(CONTENT) // 2
    tool("qemu-img", "check", path)
    told = json.loads(tool("qemu-img", "info", "--output", "json", path))
    assert told["format-specific"]["data"]["create-type"] == "monolithicSparse"
    tool("qemu-img", "convert", "-O", "raw", path, tmp_path / "back.raw")
    assert (tmp_path / "back.raw").read_bytes() == CONTENT
    with open_disk(path) as again:
        assert again.format == "vmdk-sparse"
        assert virtual_digest(again) == virtual_digest(MemoryDisk(CONTENT))
    with (tmp_path / "again.vmdk").open("wb") as file:
        write_vmdk_sparse(MemoryDisk(CONTENT), file)
    assert (tmp_path / "again.vmdk").read_bytes() == path.read_bytes()


def test_a_sparse_vmdk_of_many_tables_and_of_nothing(tmp_path):
    path, size = tmp_path / "large.vmdk", (70 << 30) + 512
    with path.open("wb") as file:
        write_vmdk_sparse(Blank(size), file)
    with open_disk(path) as again:
        assert again.size == size
        assert list(again.extents()) == []
    tool("qemu-img", "check", path)
