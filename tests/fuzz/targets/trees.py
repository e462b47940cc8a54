"""What reads filesystems, and finds the guest in them."""

from __future__ import annotations

import contextlib
import functools
import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

from regild.errors import RegildError
from regild.image.disk import Disk
from regild.image.tree import Tree
from tests.fuzz.targets.target import READ_MAX, Target, texts
from tests.fuzz.targets.thin import sparse_disk, thin


def run_guest(content: bytes) -> None:
    """Find a guest in a filesystem, XFS most of all, and walk some of its tree."""
    walk_guest(sparse_disk(content))


def run_filesystem(content: bytes) -> None:
    """Walk a filesystem that fills a disk, whether it holds a guest or not."""
    walk_filesystem(sparse_disk(content))


def walk_filesystem(disk: Disk) -> None:
    """Open the filesystems of a disk, look whether they are clean, and walk some of each."""
    from regild.image.filesystems import open_filesystem
    from regild.image.paths import MountedTree
    from regild.image.unclean import whys_unclean
    from regild.image.volumes import read_volumes

    for volume in read_volumes(disk)[:4]:
        filesystem = open_filesystem(disk, volume)
        whys_unclean(disk, volume, filesystem)
        _walk(MountedTree(filesystem))


def walk_guest(disk: Disk) -> None:
    """Find the guest of a disk and walk some of its tree."""
    from regild.image.guest import open_guest

    with open_guest(disk) as guest:
        _walk(guest.tree)


def _walk(tree: Tree) -> None:
    waiting = ["/"]
    for _ in range(40):
        if not waiting:
            break
        folder = waiting.pop()
        for name in tree.names(folder)[:20]:
            path = f"{folder.rstrip('/')}/{name}"
            node = tree.find(path)
            assert node is not None
            if node.kind == "directory":
                waiting.append(path)
            elif node.kind == "file":
                with contextlib.suppress(RegildError):
                    assert len(tree.read(path, READ_MAX)) == node.bytes


def run_unpack(content: bytes) -> None:
    """Unpack a block; nothing comes out beyond its limit."""
    from fs_explorer.errors import CorruptDataError

    from regild.image.unpack import from_xz, from_zstd

    for unpack in (from_xz, from_zstd):
        with contextlib.suppress(CorruptDataError):
            assert len(unpack(content, 10_000)) <= 10_000


def run_fstab(content: bytes) -> None:
    """Read a guest's fstab."""
    from regild.image.fstab import read_fstab

    list(read_fstab(content.decode(errors="replace")))


def seeds_of_guests() -> Iterator[bytes]:
    """A small guest on ext4, and on XFS where the machine can fill one."""
    from tests.cli import golden

    with tempfile.TemporaryDirectory() as folder:
        yield thin(golden.filesystem(Path(folder), size=2 << 20), walk_guest)
    yield from seeds_of_xfs()


def seeds_of_xfs() -> Iterator[bytes]:
    """A small guest on XFS, where the machine can fill one."""
    from tests.cli import golden

    with contextlib.suppress(BaseException), tempfile.TemporaryDirectory() as folder:
        from tests.image.mounted import mounted, xfs

        image = xfs(Path(folder) / "xfs")
        with mounted(image, Path(folder) / "m") as place:
            for name, text in golden.GUEST.items():
                (place / name.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
                (place / name.lstrip("/")).write_text(text)
            (place / "etc/link").symlink_to("os-release")
        yield thin(image, walk_guest)


def seeds_of_trees(kind: str) -> Iterator[bytes]:
    """A small guest on a filesystem that a tool makes out of a folder, thin."""
    from tests.cli import golden
    from tests.image.disks import blank, tool

    with tempfile.TemporaryDirectory() as name:
        folder, image = Path(name) / "tree", Path(name) / "disk"
        for path, text in golden.GUEST.items():
            place = folder / path.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        if kind == "squashfs":
            tool("mksquashfs", folder, image, "-quiet", "-no-progress", "-b", "4096")
        elif kind == "iso9660":
            tool("xorriso", "-as", "mkisofs", "-quiet", "-R", "-J", "-o", image, folder)
        elif kind == "btrfs":
            tool("mkfs.btrfs", "-q", "--rootdir", folder, blank(image, 128 << 20))
        else:
            tool("mkntfs", "-q", "-F", blank(image, 4 << 20))
            # ntfscp makes no folders, and a file in the root is enough to be walked.
            tool("ntfscp", image, folder / "etc/os-release", "os-release")
        yield thin(image, walk_filesystem)


def run_stream(content: bytes) -> None:
    """Take in what a kernel of its own says of a stranger's tree."""
    import io

    from regild.change.stream import receive_tree

    source, folders = io.BytesIO(content), {""}
    for sent in itertools.islice(receive_tree(source, "the tree"), 1000):
        names = sent.path.split("/")[1:]
        assert sent.path == "/" or not {"", ".", ".."} & {*names}
        assert sent.path.rpartition("/")[0] in folders
        if sent.kind == "directory":
            folders.add(sent.path.rstrip("/"))
        for _, length in sent.extents:
            source.read(min(length, READ_MAX))


def seeds_of_streams() -> Iterator[bytes]:
    """A tree of every kind of path, as a kernel sends it."""
    import io
    import os

    from regild.change.stream import send_tree

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "etc").mkdir()
        (root / "etc/one").write_bytes(b"content")
        (root / "etc/two").hardlink_to(root / "etc/one")
        (root / "link").symlink_to("/etc/one")
        os.mkfifo(root / "pipe")
        out = io.BytesIO()
        send_tree(folder, out, ())
        yield out.getvalue()


def seeds_of_blocks() -> Iterator[bytes]:
    """One block in each way of packing."""
    import lzma

    from backports import zstd

    content = bytes(range(256)) * 20
    yield lzma.compress(content)
    yield lzma.compress(content, lzma.FORMAT_ALONE)
    yield zstd.compress(content)


TARGETS: dict[str, Target] = {
    "guest": Target(run_guest, seeds_of_guests),
    "btrfs": Target(run_filesystem, functools.partial(seeds_of_trees, "btrfs")),
    "ntfs": Target(run_filesystem, functools.partial(seeds_of_trees, "ntfs")),
    "iso9660": Target(run_filesystem, functools.partial(seeds_of_trees, "iso9660")),
    "squashfs": Target(run_filesystem, functools.partial(seeds_of_trees, "squashfs")),
    "block": Target(run_unpack, seeds_of_blocks),
    "stream": Target(run_stream, seeds_of_streams),
    "fstab": Target(run_fstab, texts("UUID=a / ext4 defaults 0 1\n#x\n/dev/sda /v\\040x auto\n")),
}
