"""The library's readers of filesystems, one by one, and our own reader of XFS in their shape."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from fs_explorer.entry import EntryType
from fs_explorer.io.cache import Cache
from fs_explorer.io.source import RandomAccess
from fs_explorer.io.stats import Stats
from fs_explorer.tree import Context, DataSource, ProbeHint
from fs_explorer.tree import Node as Item
from fs_explorer.tree import Tree as Reader

from regild.image.spans import Places
from regild.image.xfs import Inode, XfsVolume

CACHE_BYTES = 8 << 20
HEAD_BYTES = 4096

XFS_KINDS = {
    1: EntryType.FILE,
    2: EntryType.DIR,
    3: EntryType.CHAR_DEVICE,
    4: EntryType.BLOCK_DEVICE,
    5: EntryType.FIFO,
    6: EntryType.SOCKET,
    7: EntryType.SYMLINK,
}
"""The types that stand beside names (XFS_DIR3_FT_*)."""
MODE_KINDS = {0o10: 1, 0o4: 2, 0o2: 3, 0o6: 4, 0o1: 5, 0o14: 6, 0o12: 7}
"""The same types by the high bits of an inode's mode."""


def open_reader(access: RandomAccess, name: str) -> Reader:
    """The tree of a filesystem of `READERS`, by its name there.

    Raises: what the library raises.
    """
    from regild.image.unpack import put_in_place

    stats = Stats()
    # The library's compiled helpers are left out where Python does: less that a disk can break.
    backend = "auto" if name == "btrfs" else "pure"
    put_in_place(backend)
    context = Context(cache=Cache(CACHE_BYTES, stats), stats=stats, backend=backend)
    return READERS[name](access, context)


def ntfs_flags(reader: Reader) -> int | None:
    """The flags of the file $Volume of an NTFS; None where it says none."""
    from fs_explorer.filesystems.ntfs import AT_VOLUME_INFORMATION, VOLUME_RECNO, NTFSTree

    if not isinstance(reader, NTFSTree):
        return None
    found = reader._file(VOLUME_RECNO).find(AT_VOLUME_INFORMATION)
    return int.from_bytes(found.value[10:12], "little") if found is not None else None


def ntfs_places(reader: Reader, item: Item) -> Places | None:
    """Where in its volume the bytes of a file of NTFS lie, in the file's order; None where they are
    not there byte for byte: compressed, encrypted, sparse, in the file's own record, or not written
    yet."""
    from fs_explorer.filesystems.ntfs import AT_DATA, AT_REPARSE_POINT, NTFSTree

    if not isinstance(reader, NTFSTree):
        return None
    file = reader._file(item.ref[0])
    data, size = file.find(AT_DATA), reader.cluster_size
    if data is None or data.resident or data.flags or file.find(AT_REPARSE_POINT) is not None:
        return None
    runs = [(at, count) for at, count in data.runs if at is not None]
    whole = sum(count for _, count in runs) * size
    if len(runs) != len(data.runs) or data.start_vcn or data.data_size > min(whole, data.init_size):
        return None
    return tuple((at * size, count * size) for at, count in runs)


def _hint(access: RandomAccess) -> ProbeHint:
    """What the library's drivers want to be told of a volume."""
    return ProbeHint(access, access.read_at(0, HEAD_BYTES), b"", access.size)


def _ext(access: RandomAccess, context: Context) -> Reader:
    from fs_explorer.filesystems.ext import ExtFS

    return ExtFS(access, context)


def _fat(access: RandomAccess, context: Context) -> Reader:
    from fs_explorer.filesystems.fat import FATDriver

    return FATDriver.open(access, context, _hint(access))


def _btrfs(access: RandomAccess, context: Context) -> Reader:
    from fs_explorer.filesystems.btrfs.fs import BtrfsFS

    return BtrfsFS(access, context)


def _ntfs(access: RandomAccess, context: Context) -> Reader:
    from fs_explorer.filesystems.ntfs import NTFSTree

    return NTFSTree(access, context)


def _iso(access: RandomAccess, context: Context) -> Reader:
    from fs_explorer.filesystems.iso9660 import ISO9660Driver

    return ISO9660Driver.open(access, context, _hint(access))


def _squashfs(access: RandomAccess, context: Context) -> Reader:
    from fs_explorer.filesystems.squashfs import SquashFS

    return SquashFS(access, context)


def _hfsplus(access: RandomAccess, context: Context) -> Reader:
    from fs_explorer.filesystems.hfsplus import HFSPlusDriver

    return HFSPlusDriver.open(access, context, _hint(access))


def _apfs(access: RandomAccess, context: Context) -> Reader:
    from regild.image.apfs import ApfsReader

    return ApfsReader(access, context)


def _xfs(access: RandomAccess, _context: Context) -> Reader:
    return _XfsReader(access)


READERS: dict[str, Callable[[RandomAccess, Context], Reader]] = {
    "ext2": _ext,
    "ext3": _ext,
    "ext4": _ext,
    "vfat": _fat,
    "btrfs": _btrfs,
    "xfs": _xfs,
    "ntfs": _ntfs,
    "iso9660": _iso,
    "squashfs": _squashfs,
    "hfsplus": _hfsplus,
    "apfs": _apfs,
}
"""The filesystems that can be read."""


class _XfsFile(RandomAccess):
    """A file of XFS; its extents are read when it is opened, its bytes when they are asked for."""

    def __init__(self, volume: XfsVolume, inode: Inode) -> None:
        self._bytes = volume.opened(inode)
        self.size = inode.size

    def read_at(self, off: int, n: int) -> bytes:
        """Up to `n` bytes; less only at the file's end."""
        return self._bytes(off, max(0, min(n, self.size - off)))


class _XfsReader(Reader):
    """Our own reader of XFS in the library's shape."""

    def __init__(self, access: RandomAccess) -> None:
        self._volume = XfsVolume(access.read_exact, access.size, "the XFS filesystem")

    def root(self) -> Item:
        return self._item("", self._volume.root)

    def children(self, node: Item, stat: bool = True) -> Iterator[Item]:
        """The entries of a folder, as the library walks them."""
        for name, number, kind in self._volume.entries(self._volume.inode(node.ref)):
            text = name.decode("utf-8", "surrogateescape")
            found = XFS_KINDS.get(kind, EntryType.OTHER)
            yield Item(text, found, ref=number, inode=number, statted=False)

    def stat(self, node: Item) -> Item:
        return self._item(node.name, node.ref)

    def readlink(self, node: Item) -> str:
        target = self._volume.target(self._volume.inode(node.ref))
        return target.decode("utf-8", "surrogateescape")

    def open_file(self, node: Item) -> DataSource:
        return _XfsFile(self._volume, self._volume.inode(node.ref))

    def _item(self, name: str, number: int) -> Item:
        inode = self._volume.inode(number)
        kind = XFS_KINDS.get(MODE_KINDS.get(inode.mode >> 12, 0), EntryType.OTHER)
        uid, gid = inode.owner
        item = Item(name, kind, ref=number, inode=number, size=inode.size, mode=inode.mode)
        item.uid, item.gid = uid, gid
        return item
