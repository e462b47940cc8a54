"""FAT: whole trees that mtools wrote, read back and compared with what mtools takes out again."""

import random
import shutil

import pytest

from regild.image.formats import open_disk
from regild.image.guest import open_guest
from tests.image.disks import blank, tool
from tests.image.test_filesystems import compare

MIB = 1 << 20
KINDS = {
    "FAT12, clusters of 512": (2, "-F", "12", "-s", "1"),
    "FAT12, sectors of 2048": (8, "-F", "12", "-S", "2048"),
    "FAT16, clusters of 2048": (32, "-F", "16", "-s", "4"),
    "FAT16, one table": (32, "-F", "16", "-f", "1"),
    "FAT32, clusters of 512": (40, "-F", "32", "-s", "1"),
    "FAT32, sectors of 4096": (280, "-F", "32", "-S", "4096"),
}
"""The size in MiB, and mkfs.vfat's options."""


@pytest.fixture(autouse=True)
def _settings(monkeypatch):
    monkeypatch.setenv("MTOOLS_SKIP_CHECK", "1")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")


def fill(folder, small):
    """A tree with what is hard on FAT: names of both kinds and cases, long ones, many, nested."""
    source = random.Random(12)
    (folder / "etc").mkdir(parents=True)
    (folder / "etc/os-release").write_text("ID=x\n")
    many = folder / "many"
    many.mkdir()
    for number in range(60 if small else 220):
        (many / f"a file with a rather long name {number:05}").write_bytes(bytes([number % 256]))
    names = ("UPPER.TXT", "lower.txt", "UPPER2.txt", "lower2.TXT", "Mixed.Txt", "two.dots.tar.gz")
    names += (".hidden", "ünïcödé €", "日本語.txt", "n" * 255, "a+b,c;d=e[f]", "x" * 13)
    for name in (*names, "longername1.txt", "longername2.txt", "ÅÄÖ.TXT", "~1"):
        (folder / name).write_text(name)
    most = 70_000 if small else 700_000
    for size in (0, 1, 511, 512, 513, 4095, 4096, 4097, most):
        (folder / f"size{size}").write_bytes(source.randbytes(size))
    deep = folder
    for number in range(12):
        deep = deep / f"level {number}"
    deep.mkdir(parents=True)
    (deep / "bottom").write_text("bottom")
    return folder


def written(folder, image):
    """Put a folder on an image with mtools, once into its gaps and over what was deleted."""
    source = random.Random(3)
    piece = folder.parent / "piece"
    piece.write_bytes(source.randbytes(9000))
    fillers = [f"::/filler{number}" for number in range(24)]
    for name in fillers:
        tool("mcopy", "-i", image, piece, name)
    tool("mdel", "-i", image, *fillers[::2])
    tool("mcopy", "-i", image, "-s", "-m", *sorted(folder.iterdir()), "::/")
    tool("mdel", "-i", image, *fillers[1::2])
    tool("mcopy", "-i", image, folder / "size4097", "::/size4097 again")
    shutil.copyfile(folder / "size4097", folder / "size4097 again")


@pytest.mark.parametrize("kind", KINDS)
def test_a_fat_reads_as_mtools_shows_it(tmp_path, kind):
    size, *options = KINDS[kind]
    folder = fill(tmp_path / "tree", small=size < 4)
    image = blank(tmp_path / "disk", size * MIB)
    tool("mkfs.vfat", *options, "-n", "GUEST", image)
    written(folder, image)
    shown = tmp_path / "shown"
    shown.mkdir()
    tool("mcopy", "-i", image, "-s", "-p", "::/*", shown)
    with open_disk(image) as disk, open_guest(disk) as guest:
        assert guest.unknowns == ()
        (volume,) = guest.volumes
        assert (volume.filesystem, volume.label) == ("vfat", "GUEST")
        compare(shown, guest.tree, modes=False)
        compare(folder, guest.tree, modes=False)
