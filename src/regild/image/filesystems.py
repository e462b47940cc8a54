"""The filesystems of a guest, read through fs_explorer over our own disk.

It feeds the library from a `Disk`, asks it for names, inodes and content, and turns everything that
it raises into regild's errors; which of its readers is for what, `regild.image.borrowed` knows.
Import it only where a filesystem is opened; the library takes a tenth of a second to load.
"""

from __future__ import annotations

import contextlib
import struct
from collections import OrderedDict
from collections.abc import Iterator

from fs_explorer.entry import EntryType
from fs_explorer.errors import FsExplorerError, UnsupportedFormatError
from fs_explorer.io.source import RandomAccess
from fs_explorer.tree import Node as Item
from fs_explorer.tree import Tree as Reader

from regild.errors import Malformed, RegildError, TooLarge, UnsupportedFilesystem
from regild.image.borrowed import READERS, ntfs_flags, ntfs_places, open_reader
from regild.image.disk import Disk
from regild.image.spans import Places
from regild.image.tree import Node, NodeKind
from regild.image.volumes import Volume

MAX_NAMES = 250_000
"""Names of one directory."""
HELD_NAMES = 250_000
"""Names of all directories that are remembered."""
FOLDER_BUDGET_BYTES = 64 << 20
"""So much may be read to list one directory."""
LOOK_BUDGET_BYTES = 4 << 20
"""So much may be read to open a filesystem, to look at one inode, or to find a file's blocks."""

KINDS: dict[EntryType, NodeKind] = {
    EntryType.FILE: "file",
    EntryType.DIR: "directory",
    EntryType.SYMLINK: "symlink",
    EntryType.FIFO: "fifo",
    EntryType.SOCKET: "socket",
    EntryType.CHAR_DEVICE: "character",
    EntryType.BLOCK_DEVICE: "block",
}

FOLDING = frozenset({"vfat", "ntfs", "hfsplus"})
"""Filesystems whose names are the same in upper and lower case; exact names are tried first."""

EXT_BIGALLOC = 0x200

SUBVOLUME_ROOT = 256
"""The inode of every subvolume's root (BTRFS_FIRST_FREE_OBJECTID)."""
TOP_SUBVOLUME = 5
"""The number of the subvolume that all others of a btrfs stand in (BTRFS_FS_TREE_OBJECTID)."""


class _VolumeBytes(RandomAccess):
    """A volume as fs_explorer wants to read it, within a budget.

    Trees of extents and chains of clusters can be made so large that following them takes all
    memory; what follows them has to read them, so a limit of what one act may read ends that.
    """

    def __init__(self, disk: Disk, volume: Volume) -> None:
        self._disk = disk
        self._name = volume.name
        self._offset = volume.offset
        self._left = 0
        self.size = volume.bytes

    def allow(self, budget: int) -> None:
        """From now on, up to `budget` bytes may be read."""
        self._left = budget

    def read_at(self, off: int, n: int) -> bytes:
        """Up to `n` bytes; less only at the volume's end.

        Raises: TooLarge beyond what `allow` gave; Truncated, Malformed.
        """
        if off < 0 or n <= 0 or off >= self.size:
            return b""
        count = min(n, self.size - off)
        self._left -= count
        if self._left < 0:
            raise TooLarge(where=self._name, why="its tables are larger than what they describe")
        return self._disk.read(self._offset + off, count)


def open_filesystem(disk: Disk, volume: Volume) -> Filesystem:
    """Open the filesystem of a volume for reading.

    Raises: UnsupportedFilesystem, Malformed, Truncated.
    """
    if volume.filesystem not in READERS:
        raise UnsupportedFilesystem(where=volume.name, why=f"it is {volume.filesystem}")
    access = _VolumeBytes(disk, volume)
    access.allow(LOOK_BUDGET_BYTES)
    if volume.filesystem.startswith("ext") and _is_clustered(disk, volume):
        why = "it allocates in clusters (bigalloc), which is not read here"
        raise UnsupportedFilesystem(where=volume.name, why=why)
    with translated(volume.name):
        reader = open_reader(access, volume.filesystem)
        return Filesystem(volume, access, reader, reader.root())


def _is_clustered(disk: Disk, volume: Volume) -> bool:
    """Whether an ext4's bitmaps count clusters of blocks (ext2_fs.h, s_feature_ro_compat)."""
    (features,) = struct.unpack("<I", disk.read(volume.offset + 1024 + 0x64, 4))
    return bool(features & EXT_BIGALLOC)


class Filesystem:
    """One filesystem: directories are read once, whole, and names are compared exactly."""

    def __init__(self, volume: Volume, access: _VolumeBytes, reader: Reader, root: Item) -> None:
        self.volume = volume
        self.root = root
        self._access = access
        self._reader = reader
        self._folds = volume.filesystem in FOLDING or bool(
            getattr(reader, "case_insensitive", False)
        )
        self._entries: OrderedDict[object, dict[str, Item]] = OrderedDict()
        self._held = 0
        self.path = ""
        """Of a subvolume, from the top one."""

    def subvolume(self, path: str) -> Filesystem | None:
        """A subvolume of btrfs by its path from the top one, or by its number; None when there is
        none.

        Raises: Malformed, TooLarge.
        """
        if self.volume.filesystem != "btrfs":
            return None
        with self._within(LOOK_BUDGET_BYTES):
            number = int(path) if path.isascii() and path.isdigit() else TOP_SUBVOLUME
            item = self._subvolume_root(number)
        if number == TOP_SUBVOLUME:
            for name in path.split("/"):
                found = self.child(item, name) if name not in ("", ".") else item
                if found is None or not self.is_folder(found):
                    return None
                item = found
        return self._rooted(item, path)

    def subvolumes(self) -> Iterator[tuple[str, Filesystem]]:
        """The subvolumes of btrfs that stand in the top one, or the volumes of a container of APFS,
        by name.

        Raises: Malformed, TooLarge.
        """
        kind = self.volume.filesystem
        top = self if kind == "apfs" else self.subvolume("")
        for name in top.names(top.root) if top else ():
            item = top.child(top.root, name) if top else None
            if item is None or not self.is_folder(item):
                continue
            if kind == "apfs" or item.ref[0] != TOP_SUBVOLUME:
                yield name, self._rooted(item, name)

    @property
    def refused(self) -> tuple[str, ...]:
        """The volumes of an APFS container that are encrypted."""
        return tuple(getattr(self._reader, "refused", ()))

    def _subvolume_root(self, number: int) -> Item:
        from fs_explorer.filesystems.btrfs.fs import BtrfsFS

        if not isinstance(self._reader, BtrfsFS):
            raise Malformed(where=self.volume.name, why="it has no subvolumes")
        place = number, self._reader.subvol_root(number)[1]
        return Item("", EntryType.DIR, ref=place, inode=place[1])

    @property
    def subvolume_number(self) -> int:
        """The number of the btrfs subvolume that this is the root of; 0 for all else."""
        is_root = self.volume.filesystem == "btrfs" and self.root.ref[1] == SUBVOLUME_ROOT
        return int(self.root.ref[0]) if is_root else 0

    def _rooted(self, root: Item, path: str) -> Filesystem:
        """The same filesystem, seen from another directory."""
        found = Filesystem(self.volume, self._access, self._reader, root)
        found.path = path
        return found

    def child(self, folder: Item, name: str) -> Item | None:
        """The entry of a directory by its name; some filesystems know no upper and lower case.

        Raises: Malformed, TooLarge.
        """
        entries = self._children(folder)
        found = entries.get(name)
        if found is None and self._folds:
            wanted = name.casefold()
            found = next((item for own, item in entries.items() if own.casefold() == wanted), None)
        return found

    def names(self, folder: Item) -> tuple[str, ...]:
        """The names in a directory, sorted.

        Raises: Malformed, TooLarge.
        """
        return tuple(sorted(self._children(folder)))

    def kinds(self, folder: Item) -> Iterator[tuple[str, NodeKind]]:
        """The names in a directory with what they are, as the directory itself says.

        Raises: Malformed, TooLarge.
        """
        for name, item in self._children(folder).items():
            yield name, KINDS.get(item.type, "other")

    def node(self, item: Item) -> Node:
        """What an entry is.

        Raises: Malformed.
        """
        with self._within(LOOK_BUDGET_BYTES):
            item = self._reader.stat(item)
            kind = KINDS.get(item.type, "other")
            return Node(
                kind=kind,
                bytes=item.size or 0,
                mode=(item.mode or 0) & 0o7777,
                target=self._target(item) if kind == "symlink" else "",
                owner=None if item.uid is None or item.gid is None else (item.uid, item.gid),
            )

    def is_folder(self, item: Item) -> bool:
        """Whether an entry is a directory."""
        return item.type == EntryType.DIR

    def is_link(self, item: Item) -> bool:
        """Whether an entry is a symlink."""
        return item.type == EntryType.SYMLINK

    def target(self, item: Item) -> str:
        """Where a symlink leads, as it stands.

        Raises: Malformed.
        """
        with self._within(LOOK_BUDGET_BYTES):
            return self._target(self._reader.stat(item))

    def places(self, item: Item, path: str) -> Places:
        """Where on the disk the bytes of a file of NTFS lie, in its order, as far as its last
        cluster goes.

        Raises: UnsupportedFilesystem where they are not there as they are read; Malformed.
        """
        with self._within(LOOK_BUDGET_BYTES):
            found = ntfs_places(self._reader, item)
        if found is None:
            why = f"{path} is compressed, encrypted, or not stored in clusters of its own"
            raise UnsupportedFilesystem(where=self.volume.name, why=why)
        return tuple((self.volume.offset + at, count) for at, count in found)

    def read(self, item: Item, limit: int, path: str) -> bytes:
        """The content of a file.

        Raises: TooLarge, Malformed when it is no file or is damaged.
        """
        with self._within(LOOK_BUDGET_BYTES):
            item = self._reader.stat(item)
            if item.type != EntryType.FILE:
                raise Malformed(where=path, why=f"it is a {KINDS.get(item.type, 'other')}")
            size = item.size or 0
            if size > limit:
                raise TooLarge(where=path, why=f"it holds {size} bytes, and {limit} are allowed")
            # An extent takes 12 bytes and a block at least 1024, so this is twice the worst.
            self._access.allow(LOOK_BUDGET_BYTES + size // 32)
            source = self._reader.open_file(item)
            # btrfs reads a compressed extent whole for each part of it that a file uses.
            self._access.allow(LOOK_BUDGET_BYTES + 8 * size)
            if isinstance(source, RandomAccess):
                content = source.read_at(0, size)
            else:
                with source.open() as stream:
                    content = stream.read(size)
            if len(content) != size:
                raise Malformed(where=path, why=f"{len(content)} of {size} bytes can be read")
            return bytes(content)

    def part(self, item: Item, offset: int, count: int) -> bytes:
        """Up to `count` bytes of a file from `offset` on, however large it is.

        Raises: Malformed, UnsupportedFilesystem.
        """
        with self._within(LOOK_BUDGET_BYTES):
            item = self._reader.stat(item)
            if item.type != EntryType.FILE:
                raise Malformed(where=self.volume.name, why=f"{item.name!r} is no file")
            self._access.allow(LOOK_BUDGET_BYTES + (item.size or 0) // 32)
            source = self._reader.open_file(item)
            self._access.allow(LOOK_BUDGET_BYTES + 8 * count)
            if isinstance(source, RandomAccess):
                return bytes(source.read_at(offset, count))
            with source.open() as stream:
                stream.seek(offset)
                return bytes(stream.read(count))

    @property
    def ntfs_flags(self) -> int | None:
        """The flags of an NTFS as a whole; None where they cannot be read."""
        try:
            with self._within(LOOK_BUDGET_BYTES):
                return ntfs_flags(self._reader)
        except RegildError:
            return None

    @contextlib.contextmanager
    def _within(self, budget: int) -> Iterator[None]:
        self._access.allow(budget)
        with translated(self.volume.name):
            yield

    def _target(self, item: Item) -> str:
        target = self._reader.readlink(item)
        if target is None:
            raise Malformed(where=self.volume.name, why=f"the symlink {item.name!r} has no target")
        return target

    def _children(self, folder: Item) -> dict[str, Item]:
        key = self._reader.identity(folder)
        if key is None or self.volume.filesystem == "vfat":
            key = repr(folder.ref)
        entries = self._entries.get(key)
        if entries is None:
            entries = self._read_children(folder)
            self._entries[key] = entries
            self._held += len(entries) + 1
            while self._held > HELD_NAMES and len(self._entries) > 1:
                self._held -= len(self._entries.popitem(last=False)[1]) + 1
        else:
            self._entries.move_to_end(key)
        return entries

    def _read_children(self, folder: Item) -> dict[str, Item]:
        entries: dict[str, Item] = {}
        with self._within(FOLDER_BUDGET_BYTES):
            for item in self._reader.children(folder, stat=False):
                if len(entries) >= MAX_NAMES:
                    raise TooLarge(
                        where=self.volume.name, why=f"a directory has over {MAX_NAMES} names"
                    )
                if not item.name or "/" in item.name or item.name in (".", ".."):
                    raise Malformed(where=self.volume.name, why=f"a file is named {item.name!r}")
                # A kernel takes either; on a CD the pieces of one file share a name.
                if item.name in entries and self.volume.filesystem != "iso9660":
                    why = f"a directory holds the name {item.name!r} twice"
                    raise Malformed(where=self.volume.name, why=why)
                entries[item.name] = item
        return entries


@contextlib.contextmanager
def translated(where: str) -> Iterator[None]:
    """Turn what the library raises into regild's errors.

    Raises: UnsupportedFilesystem, Malformed.
    """
    try:
        yield
    except RegildError:
        raise
    except UnsupportedFormatError as error:
        raise UnsupportedFilesystem(where=where, why=error.reason) from error
    except FsExplorerError as error:
        raise Malformed(where=where, why=str(error)) from error
    except (struct.error, ArithmeticError, LookupError, ValueError, TypeError) as error:
        # Its parsers are young: what they did not foresee is a damaged filesystem for us.
        raise Malformed(where=where, why=f"{type(error).__name__}: {error}") from error
