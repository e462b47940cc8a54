"""One real Debian root in every container, volume and filesystem: one inventory, one tree.

The other side is the machine's own: dpkg-query on the mounted disk, and the mounted tree itself.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from regild.agent.reading.inspect import open_system
from regild.agent.reading.intake import open_image
from regild.image.tree import Tree
from tests.cli import golden
from tests.image import test_lvm
from tests.image.disks import blank, tool
from tests.image.mounted import mounted
from tests.journey.machine import regild

pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.timeout(1200)]

MIB = 1 << 20
LINES = tuple[tuple[str, str], ...]

CONTAINERS = {
    "plain.qcow2": ("qcow2", "compat=1.1"),
    "zlib.qcow2": ("qcow2", "compression_type=zlib"),
    "zstd.qcow2": ("qcow2", "compression_type=zstd"),
    "stream.vmdk": ("vmdk", "subformat=streamOptimized"),
    "sparse.vmdk": ("vmdk", "subformat=monolithicSparse"),
    "flat.vmdk": ("vmdk", "subformat=monolithicFlat"),
    "split.vmdk": ("vmdk", "subformat=twoGbMaxExtentSparse"),
    "disk.vhd": ("vpc", "subformat=dynamic"),
    "disk.vhdx": ("vhdx", "subformat=dynamic"),
    "disk.vdi": ("vdi", ""),
}


class Golden:
    """A real root as the machine itself sees it: its packages and its files."""

    def __init__(self, folder: Path, small_ova: Path) -> None:
        self.folder = folder
        tool("tar", "-C", folder, "-xf", small_ova)
        self.stream = next(folder.glob("*.vmdk"))
        self.raw = folder / "root.raw"
        tool("qemu-img", "convert", "-O", "raw", self.stream, self.raw)
        self.root = folder / "tree"
        with mounted(self.raw, folder / "mount", "ro", "noload", f"offset={_start(self.raw)}") as m:
            tool("cp", "-a", f"{m}/.", f"{self.root}/")
            self.packages = _dpkg(m)
            self.lines = tuple(sorted(_machine_lines(m)))

    def without_fstab(self) -> LINES:
        """The lines of a tree whose volumes lie otherwise."""
        return tuple(line for line in self.lines if line[0] != "/etc/fstab")


@pytest.fixture(scope="module")
def real(small_ova: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Golden]:
    folder = tmp_path_factory.mktemp("golden")
    yield Golden(folder, small_ova)
    shutil.rmtree(folder)


def _start(raw: Path) -> int:
    """Where the root's partition begins, in bytes."""
    done = subprocess.run(["sfdisk", "--json", str(raw)], capture_output=True, check=True)
    table = json.loads(done.stdout)["partitiontable"]
    sectors: int = max(table["partitions"], key=lambda one: one["size"])["start"]
    return sectors * 512


def _dpkg(root: Path) -> set[tuple[str, str, str]]:
    form = "${db:Status-Status} ${Package} ${Version} ${Architecture}\n"
    argv = ["dpkg-query", f"--admindir={root}/var/lib/dpkg", "-W", "-f", form]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    rows = [line.split() for line in done.stdout.splitlines()]
    return {(row[1], row[2], row[3]) for row in rows if row[0] == "installed"}


def _machine_lines(root: Path) -> Iterator[tuple[str, str]]:
    """Every path with what it is, by the machine's own eyes."""
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(folder, name)
            inside = "/" + path.relative_to(root).as_posix()
            mode = path.lstat().st_mode
            if name == "lost+found":
                continue
            if stat.S_ISLNK(mode):
                yield inside, f"-> {path.readlink()}"
            elif stat.S_ISDIR(mode):
                yield inside, "folder"
            elif stat.S_ISREG(mode):
                yield inside, hashlib.sha256(path.read_bytes()).hexdigest()


def _our_lines(tree: Tree, folder: str = "") -> Iterator[tuple[str, str]]:
    """The same by regild's eyes."""
    for name in tree.names(folder or "/"):
        path = f"{folder}/{name}"
        node = tree.find(path)
        assert node is not None
        if name == "lost+found":
            continue
        if node.kind == "directory":
            yield path, "folder"
            yield from _our_lines(tree, path)
        elif node.kind == "symlink":
            yield path, f"-> {node.target}"
        elif node.kind == "file":
            yield path, hashlib.sha256(tree.read(path, 64 * MIB)).hexdigest()


def check(image: Path, real: Golden, lines: LINES) -> None:
    """regild's inventory and tree of an image are the machine's own."""
    answer: Any = regild("describe", image)
    found = {(one["name"], one["version"], one["arch"]) for one in answer["packages"]}
    assert found == real.packages
    assert answer["unknowns"] == []
    with open_image(image) as opened, open_system(opened, opened.only_system) as inspected:
        seen = tuple(sorted(_our_lines(inspected.guest.tree)))
    if lines != real.lines:
        seen = tuple(line for line in seen if line[0] != "/etc/fstab")
    assert dict(set(seen) ^ set(lines)) == {}


def test_raw(real: Golden) -> None:
    check(real.raw, real, real.lines)


@pytest.mark.parametrize("name", CONTAINERS)
def test_the_containers(real: Golden, tmp_path: Path, name: str) -> None:
    form, option = CONTAINERS[name]
    packed = ["-c"] if name in ("zlib.qcow2", "zstd.qcow2") else []
    wish = ["-o", option] if option else []
    image = tmp_path / name
    tool("qemu-img", "convert", "-f", "raw", *packed, "-O", form, *wish, real.raw, image)
    check(image, real, real.lines)
    shutil.rmtree(tmp_path)


def test_an_ova(real: Golden, small_ova: Path) -> None:
    check(small_ova, real, real.lines)


def gzipped(content: bytes, whole: bytes, name: str) -> tuple[list[tuple[str, bytes]], str]:
    return [(name, content)], f'ovf:compression="gzip" ovf:size="{len(content)}"'


def chunked(content: bytes, name: str) -> tuple[list[tuple[str, bytes]], str]:
    step = 7 * MIB + 512
    pieces = [content[at : at + step] for at in range(0, len(content), step)]
    members = [(f"{name}.{number:09}", piece) for number, piece in enumerate(pieces)]
    return members, f'ovf:chunkSize="{step}" ovf:size="{len(content)}"'


PACKAGINGS: dict[str, Callable[[bytes, str], tuple[list[tuple[str, bytes]], str]]] = {
    "gzip": lambda content, name: gzipped(gzip.compress(content, 1), content, name),
    "chunks": chunked,
    "both": lambda content, name: (
        chunked(gzip.compress(content, 1), name)[0],
        'ovf:compression="gzip" ' + chunked(gzip.compress(content, 1), name)[1],
    ),
}


@pytest.mark.parametrize("packaging", PACKAGINGS)
def test_an_ova_with_its_disk_in_pieces_or_packed(
    real: Golden, tmp_path: Path, packaging: str
) -> None:
    name = real.stream.name
    members, attributes = PACKAGINGS[packaging](real.stream.read_bytes(), name)
    text = golden.envelope({"disk1": real.stream}).decode()
    size = f'ovf:size="{real.stream.stat().st_size}"'
    assert size in text
    text = text.replace(size, attributes)
    text = text.replace(f'ovf:capacity="{golden.DISK_BYTES}"', f'ovf:capacity="{_size(real.raw)}"')
    image = golden.archive(tmp_path / "x.ova", [("x.ovf", text.encode()), *members])
    check(image, real, real.lines)
    shutil.rmtree(tmp_path)


def _size(path: Path) -> int:
    return path.stat().st_size


def ova_of(disk: Path) -> Path:
    """The same disk as an OVA."""
    stream = golden.streamed(disk)
    text = golden.envelope({"disk1": stream}).decode()
    text = text.replace(f'ovf:capacity="{golden.DISK_BYTES}"', f'ovf:capacity="{_size(disk)}"')
    members = [("x.ovf", text.encode()), (stream.name, stream.read_bytes())]
    return golden.archive(disk.with_suffix(".ova"), members)


def test_xfs(real: Golden, tmp_path: Path) -> None:
    image = blank(tmp_path / "xfs", 600 * MIB)
    tool("mkfs.xfs", "-q", "-L", "root", image)
    _fill(image, real, tmp_path, "LABEL=root / xfs defaults 0 0\n")
    check(image, real, real.without_fstab())
    check(ova_of(image), real, real.without_fstab())
    shutil.rmtree(tmp_path)


def test_btrfs(real: Golden, tmp_path: Path) -> None:
    image = blank(tmp_path / "btrfs", 600 * MIB)
    tool("mkfs.btrfs", "-q", "-L", "root", image)
    _fill(image, real, tmp_path, "LABEL=root / btrfs defaults 0 0\n", "compress=zstd")
    check(image, real, real.without_fstab())
    check(ova_of(image), real, real.without_fstab())
    shutil.rmtree(tmp_path)


def _fill(image: Path, real: Golden, folder: Path, fstab: str, *options: str) -> None:
    with mounted(image, folder / "mount", *options) as place:
        tool("cp", "-a", f"{real.root}/.", f"{place}/")
        (place / "etc/fstab").write_text(fstab)


def test_lvm_with_a_var_of_its_own(real: Golden, tmp_path: Path) -> None:
    image = tmp_path / "lvm"
    blank(image, 700 * MIB)
    tool("sfdisk", "-q", image, text="2048,,V\n")
    part = 2048 * 512
    with test_lvm.looped(image, part, 699 * MIB) as device:
        test_lvm.lvm("pvcreate", [device], device)
        test_lvm.lvm("vgcreate", [device], "-s", "4M", "vg", device)
        for name, size in (("root", "400M"), ("var", "200M")):
            create = ("lvcreate", [device], "-an", "-Zn", "-Wn")
            test_lvm.lvm(*create, "-L", size, "-n", name, "vg", device)
    root, var = tmp_path / "root", tmp_path / "var"
    tool("cp", "-a", real.root, root)
    (root / "var").rename(var)
    (root / "var").mkdir()
    (root / "etc/fstab").write_text(
        "/dev/vg/root / ext4 rw 0 1\n/dev/mapper/vg-var /var ext4 rw 0 2\n"
    )
    at = part + MIB  # where LVM puts the first extent of an only volume
    for tree, size in ((root, 400 * MIB), (var, 200 * MIB)):
        made = tmp_path / f"{tree.name}.ext4"
        tool("mke2fs", "-q", "-F", "-t", "ext4", "-d", tree, made, f"{size >> 20}M")
        with made.open("rb") as source, image.open("r+b") as target:
            target.seek(at)
            shutil.copyfileobj(source, target, MIB)
        at += size
    check(image, real, real.without_fstab())
    check(ova_of(image), real, real.without_fstab())
    shutil.rmtree(tmp_path)


def test_a_plain_install_reads_xfs_and_lvm_with_no_more_than_python() -> None:
    """No module beyond the project's own requirements is asked for."""
    lines = "import regild.image.xfs, regild.image.lvm, sys; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=True)
    assert "pyfsxfs" not in done.stdout
    assert "pyvslvm" not in done.stdout
