import pytest

from regild.image.convert import write_raw, write_through_qemu
from regild.image.disk import open_disk
from regild.image.merkle import virtual_digest
from tests.image.disks import MemoryDisk, noise, tool

CONTENT = bytes(65536) + noise(5000) + bytes(4 << 20) + noise(70000) + bytes((1 << 20) + 264)


def test_a_raw_file_has_the_disk_s_bytes_and_stays_sparse(tmp_path):
    path = tmp_path / "disk.raw"
    with path.open("wb") as file:
        write_raw(MemoryDisk(CONTENT), file)
    assert path.read_bytes() == CONTENT
    assert path.stat().st_blocks * 512 < len(CONTENT) // 2


@pytest.mark.parametrize("form", ["vmdk-sparse"])
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
    assert list(scratch.iterdir()) == []
