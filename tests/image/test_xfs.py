"""XFS filled by the kernel, read back whole; what is damaged is refused."""

import random
import shutil
import subprocess

import pytest

from regild.errors import RegildError
from regild.image.formats import open_disk
from regild.image.guest import open_guest
from tests.image.mounted import fragment, mounted, xfs
from tests.image.test_filesystems import compare, fill


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("-m", "bigtime=1,reflink=1", "-n", "size=16384"),
        ("-b", "size=1024", "-i", "sparse=0"),
    ],
    ids=lambda options: " ".join(options) or "plain",
)
def test_xfs_reads_as_the_kernel_shows_it(tmp_path, options):
    image = xfs(tmp_path / "disk", *options)
    with mounted(image, tmp_path / "m") as folder:
        fill(folder / "tree")
        (folder / "tree/longest").symlink_to("z/" * 500 + "z")
        fragment(folder / "tree/fragments", 300)
        # Larger than what following tables may take: a file's own bytes are no tables.
        (folder / "tree/large").write_bytes(random.Random(7).randbytes(24 << 20))
        # What a directory held once leaves gaps between its names.
        for number in range(0, 700, 3):
            (folder / f"tree/many/a file with a rather long name {number:05}").unlink()
        shutil.copytree(folder / "tree/etc", folder / "etc")
    with (
        mounted(image, tmp_path / "m", "ro") as folder,
        open_disk(image) as disk,
        open_guest(disk) as guest,
    ):
        assert guest.unknowns == ()
        assert guest.mounts[0].filesystem == "xfs"
        compare(folder, guest.tree)


def small(tmp_path):
    image = xfs(tmp_path / "disk")
    with mounted(image, tmp_path / "m") as folder:
        (folder / "etc").mkdir()
        (folder / "etc/os-release").write_text("ID=x\n")
        for number in range(300):
            (folder / f"etc/{number:050}").write_text("x")
    return image


def test_a_log_with_changes_is_said(tmp_path):
    image = small(tmp_path)
    copy = tmp_path / "copy"
    with mounted(image, tmp_path / "m") as folder:
        (folder / "new").write_text("x")
        subprocess.run(["sync", "-f", str(folder)], check=True)
        subprocess.run(["cp", "--sparse=always", image, copy], check=True)
    with open_disk(copy) as disk, open_guest(disk) as guest:
        assert [one.why for one in guest.unknowns] == [
            "it was not shut down cleanly; its log holds changes that were not read"
        ]
    with open_disk(image) as disk, open_guest(disk) as guest:
        assert guest.unknowns == ()


def test_a_damaged_xfs_is_read_or_refused(tmp_path):
    image = small(tmp_path)
    source = random.Random(8)
    with open_disk(image) as disk:
        used = [at for at in range(0, 2 << 20, 512) if any(disk.read(at, 256))]
    errors = set()
    for turn in range(80):
        at = (used[0] if turn % 4 == 0 else source.choice(used)) + source.randrange(130)
        bad = bytes(source.choices((0, 1, 0x7F, 0xFF, 0x42), k=source.randrange(1, 9)))
        with image.open("r+b") as file:
            file.seek(at)
            before = file.read(len(bad))
            file.seek(at)
            file.write(bad)
        try:
            with open_disk(image) as disk, open_guest(disk) as guest:
                for name in guest.tree.names("/etc"):
                    guest.tree.find(f"/etc/{name}")
                guest.tree.read("/etc/os-release", 1000)
        except RegildError as error:
            assert 3 <= error.exit_code <= 6, repr(error)
            errors.add(type(error).__name__)
        with image.open("r+b") as file:
            file.seek(at)
            file.write(before)
    assert errors
