"""Changes written into an ext2/3/4 filesystem through libext2fs: no mount, no root, no journal.

Each call does one thing to one path, at once and in place: a file keeps its inode where it can,
so that few blocks change. Whoever calls decides the order (removals first, so that their room is
free) and reads everything again afterwards.
Source: the calls that debugfs(8) of e2fsprogs 1.47 makes for write, mknod, symlink, rm and rmdir.
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Iterable, Iterator

from regild.errors import ChangeError, Malformed
from regild.host.libext2fs import DIR_NO_SPACE, FALLOCATE_FORCE_INIT
from regild.image.ext import EXTENTS, INLINE, JOURNAL, ROOT, ExtVolume, Inode
from regild.image.spans import Span, outside, whole_units
from regild.model.record import Inode as Wanted

FILE_TYPES = {
    "file": (stat.S_IFREG, 1),
    "directory": (stat.S_IFDIR, 2),
    "character": (stat.S_IFCHR, 3),
    "block": (stat.S_IFBLK, 4),
    "fifo": (stat.S_IFIFO, 5),
    "socket": (stat.S_IFSOCK, 6),
    "symlink": (stat.S_IFLNK, 7),
}
"""Mode bits and the type byte of a directory entry (EXT2_FT_*)."""

INHERITED = 0x6201C4CF
"""EXT4_FL_INHERITED of fs/ext4/ext4.h: what a folder's flags (chattr(1)) give to what is made in
it."""
OF_FILES, OF_OTHERS = ~0x60030000, 0xC0
"""EXT4_REG_FLMASK and EXT4_OTHER_FLMASK: what of it files, and what links and others, can have."""
ASKED_FOR = INHERITED | 0x00820000
"""With them what is never inherited: NOCOW, TOPDIR."""
EXTENT_HEADER = struct.pack("<HHHHI", 0xF30A, 0, 4, 0, 0)
NO_GOAL = (1 << 64) - 1


class Writeback:
    """Paths of one opened, writable filesystem, changed one by one."""

    def __init__(self, volume: ExtVolume) -> None:
        self.volume, self.library = volume, volume.library
        self._names: dict[int, dict[str, int]] = {}
        self._given: dict[int, int] = {}
        self.library.fs_call("ext2fs_read_bitmaps")

    def find(self, path: str) -> int | None:
        """The inode number of a path, links not followed; None where there is nothing."""
        number: int | None = ROOT
        for name in path.strip("/").split("/") if path != "/" else ():
            number = self._list(number).get(name)
            if number is None:
                return None
        return number

    def remove(self, path: str) -> None:
        """Take a path away; a folder must be empty, a file's content goes with its last name.

        Raises: ChangeError where it is not there; Malformed.
        """
        folder, name, number = self._parent(path)
        if number is None:
            raise ChangeError(where=path, why="it was to be removed and is not there")
        inode = self.volume.read_inode(number)
        if stat.S_ISDIR(inode.mode):
            self._remove_folder(path, folder, inode)
        elif inode.links > 1:
            self._put(inode, {26: struct.pack("<H", inode.links - 1)})
        else:
            self._free(inode)
        self.library.fs_call("ext2fs_unlink", folder, _encoded(name), number, 0)
        del self._names[folder][name]

    def make(self, path: str, wanted: Wanted) -> int:
        """Make what a record says at a path where there is nothing yet; returns its inode number.

        Content, owner, times and attributes are set by the other calls.

        Raises: ChangeError where there is something; Malformed in the words of libext2fs.
        """
        folder, name, number = self._parent(path)
        if number is not None:
            raise ChangeError(where=path, why="it was to be made and is there already")
        made = self.library.find_free_inode(folder, FILE_TYPES[wanted.kind][0])
        if wanted.kind == "directory":
            self._grow_and("ext2fs_mkdir", folder, folder, made, _encoded(name))
        elif wanted.kind == "symlink":
            target = _encoded(wanted.target)
            self._grow_and("ext2fs_symlink", folder, folder, made, _encoded(name), target)
        else:
            self._make_inode(folder, name, made, wanted)
        self._list(folder)[name] = made
        self._given.pop(made, None)  # a folder that is gone may have had the number
        if self._flags_of(folder):
            self._put_flags(folder, made)
        return made

    def link(self, path: str, number: int) -> None:
        """Give an inode one more name."""
        folder, name, _ = self._parent(path)
        inode = self.volume.read_inode(number)
        kind = 1 if stat.S_ISREG(inode.mode) else 0
        self._grow_and("ext2fs_link", folder, folder, _encoded(name), number, kind or _type(inode))
        self._put(inode, {26: struct.pack("<H", inode.links + 1)})
        self._names[folder][name] = number

    def keeps_place(self, number: int) -> bool:
        """Whether a file's content can be replaced in its own inode."""
        inode = self.volume.read_inode(number)
        return stat.S_ISREG(inode.mode) and inode.links == 1 and not inode.flags & INLINE

    def renew_flags(self, path: str, number: int) -> None:
        """Give a file the flags (chattr(1)) of one that was made anew in its folder."""
        folder, _, _ = self._parent(path)
        self._put_flags(folder, number)

    def write_content(
        self, number: int, length: int, pieces: Iterable[bytes], holes: Iterable[Span] = ()
    ) -> None:
        """Replace a file's content by `length` bytes that come in order, in pieces of any size;
        whole blocks in `holes` hold nothing and are not allocated.

        Raises: Malformed where a hole would hold something.
        """
        block = self.volume.block_bytes
        inode = self.volume.read_inode(number)
        if inode.size or inode.flags & EXTENTS:
            self.library.fs_call("ext2fs_punch", number, None, None, 0, NO_GOAL)
        for first, count in _stored(length, holes, block):
            # Allocated at once and marked as written; the content follows right away, below.
            args = (FALLOCATE_FORCE_INIT, number, None, NO_GOAL, first, count)
            self.library.fs_call("ext2fs_fallocate", *args)
        size = struct.pack("<I", length & 0xFFFFFFFF), struct.pack("<I", length >> 32)
        inode = self.volume.read_inode(number)
        self._put(inode, {4: size[0], 108: size[1]})
        self._fill(inode, length, pieces)

    def write_metadata(self, number: int, wanted: Wanted, now_ns: int) -> None:
        """Set type and permissions, owner and times; `now_ns` becomes the change time."""
        inode = self.volume.read_inode(number)
        mode = stat.S_IFMT(inode.mode) | (wanted.mode & 0o7777)
        fields = {
            0: struct.pack("<H", mode),
            2: struct.pack("<H", wanted.uid & 0xFFFF),
            24: struct.pack("<H", wanted.gid & 0xFFFF),
            120: struct.pack("<HH", wanted.uid >> 16, wanted.gid >> 16),
        }
        fields |= _times(inode, wanted.mtime_ns, now_ns)
        self._put(inode, fields)

    def write_attributes(
        self, number: int, was: dict[str, bytes], wanted: dict[str, bytes]
    ) -> None:
        """Bring extended attributes from what they were to what is wanted; others stay."""
        gone = [name for name in was if name not in wanted]
        new = {name: value for name, value in wanted.items() if was.get(name) != value}
        if gone or new:
            self.library.write_attributes(number, new, gone)

    def flush(self) -> None:
        """Write bitmaps and superblocks."""
        self.library.fs_call("ext2fs_flush")

    def read_journal(self) -> list[tuple[int, int]]:
        """The journal's (offset, bytes) on the volume without its first block, if it is clean."""
        inode = self.volume.read_inode(JOURNAL)
        runs = self.volume.read_runs(inode) if inode.links or inode.size else []
        if not runs or runs[0].logical:
            return []
        head = self.volume.device.read(runs[0].physical, self.volume.block_bytes)
        magic, start = struct.unpack_from(">I", head)[0], struct.unpack_from(">I", head, 28)[0]
        if magic != 0xC03B3998 or start:
            return []
        block = self.volume.block_bytes
        rest = [(runs[0].physical + block, runs[0].length - block)]
        rest += [(run.physical, run.length) for run in runs[1:]]
        return [(offset, length) for offset, length in rest if length]

    def _make_inode(self, folder: int, name: str, number: int, wanted: Wanted) -> None:
        """Fill a free inode with anything but a folder or link, and give it its name."""
        mode_bits, file_type = FILE_TYPES[wanted.kind]
        self._grow_and("ext2fs_link", folder, folder, _encoded(name), number, file_type)
        self.library.fs_do("ext2fs_inode_alloc_stats2", number, 1, 0)
        raw = bytearray(self.volume.inode_bytes)
        struct.pack_into("<H", raw, 0, mode_bits | (wanted.mode & 0o7777))
        struct.pack_into("<H", raw, 26, 1)
        if wanted.kind == "file" and self.volume.has_extents:
            struct.pack_into("<I", raw, 32, EXTENTS)
            raw[40 : 40 + len(EXTENT_HEADER)] = EXTENT_HEADER
        if wanted.device is not None:
            raw[40:48] = _device_bytes(*wanted.device)
        self.library.write_new_inode(number, bytes(raw))

    def _fill(self, inode: Inode, length: int, pieces: Iterable[bytes]) -> None:
        """Put content where a file's blocks are; the last block's rest is zeroed."""
        runs = iter(self.volume.read_runs(inode))
        run, used, done = next(runs, None), 0, 0
        for piece in _padded(pieces, length, self.volume.block_bytes):
            rest = memoryview(piece)
            while rest:
                while run is not None and used == run.length:
                    run, used = next(runs, None), 0
                if run is None or run.logical + used != done:
                    end = run.logical if run is not None else done + len(rest)
                    hole = bytes(rest[: end - done])
                    if not hole or hole.count(0) != len(hole):
                        why = f"inode {inode.number} has holes"
                        raise Malformed(where=self.volume.where, why=why)
                    rest, done = rest[len(hole) :], done + len(hole)
                    continue
                count = min(len(rest), run.length - used)
                self.volume.device.write(run.physical + used, bytes(rest[:count]))
                rest, used, done = rest[count:], used + count, done + count

    def _put_flags(self, folder: int, number: int) -> None:
        """Set the flags that a kernel gives to what it makes in a folder."""
        given, inode = self._flags_of(folder), self.volume.read_inode(number)
        if not stat.S_ISDIR(inode.mode):
            given &= OF_FILES if stat.S_ISREG(inode.mode) else OF_OTHERS
        flags = inode.flags & ~ASKED_FOR | given
        if flags != inode.flags:
            self._put(inode, {32: struct.pack("<I", flags)})

    def _flags_of(self, folder: int) -> int:
        """The flags that a folder gives to what is made in it."""
        if folder not in self._given:
            self._given[folder] = self.volume.read_inode(folder).flags & INHERITED
        return self._given[folder]

    def _remove_folder(self, path: str, folder: int, inode: Inode) -> None:
        if self._list(inode.number):
            raise ChangeError(where=path, why="it was to be removed and is not empty")
        self._names.pop(inode.number, None)
        self._free(inode, is_folder=True)
        above = self.volume.read_inode(folder)
        if above.links > 2:  # 1 means "too many to count" (dir_nlink)
            self._put(above, {26: struct.pack("<H", above.links - 1)})

    def _free(self, inode: Inode, is_folder: bool = False) -> None:
        """Give an inode, its blocks and its attribute block back."""
        number = inode.number
        self.library.fs_call("ext2fs_free_ext_attr", number, None)
        if _has_blocks(self.volume.read_inode(number)):
            self.library.fs_call("ext2fs_punch", number, None, None, 0, NO_GOAL)
        fields = {20: struct.pack("<I", max(inode.mtime_ns // 10**9, 1)), 26: b"\0\0"}
        self._put(self.volume.read_inode(number), fields)
        self.library.fs_do("ext2fs_inode_alloc_stats2", number, -1, int(is_folder))

    def _grow_and(self, call: str, folder: int, *arguments: object) -> None:
        """Make a call that needs room for a name in a folder; make the folder longer if need be."""
        if self.library.fs_call(call, *arguments, allow=(DIR_NO_SPACE,)) == DIR_NO_SPACE:
            self.library.fs_call("ext2fs_expand_dir", folder)
            self.library.fs_call(call, *arguments)

    def _parent(self, path: str) -> tuple[int, str, int | None]:
        """A path's folder, its name in it, and the inode it has there."""
        above, _, name = path.rpartition("/")
        folder = self.find(above or "/")
        if folder is None or not name:
            raise ChangeError(where=path, why="its folder is not there")
        return folder, name, self._list(folder).get(name)

    def _list(self, folder: int | None) -> dict[str, int]:
        if folder is None or folder not in self._names:
            return self._reread(folder or ROOT)
        return self._names[folder]

    def _reread(self, folder: int) -> dict[str, int]:
        inode = self.volume.read_inode(folder)
        if not stat.S_ISDIR(inode.mode):
            return {}
        self._names[folder] = dict(self.volume.read_names(inode))
        return self._names[folder]

    def _put(self, inode: Inode, fields: dict[int, bytes]) -> None:
        """Change some fields of an inode, named by their offset."""
        raw = bytearray(inode.raw)
        for offset, content in fields.items():
            raw[offset : offset + len(content)] = content
        self.library.write_inode(inode.number, bytes(raw))


def _times(inode: Inode, mtime_ns: int, now_ns: int) -> dict[int, bytes]:
    """mtime, and ctime now; with nanoseconds and years after 2038 where the inode has room."""
    fields = {}
    for value, seconds_at, extra_at in ((now_ns, 12, 132), (mtime_ns, 16, 136)):
        seconds, nanoseconds = divmod(value, 1_000_000_000)
        fields[seconds_at] = struct.pack("<I", seconds & 0xFFFFFFFF)
        if len(inode.raw) >= 140 and int.from_bytes(inode.raw[128:130], "little") >= 12:
            low = (seconds & 0xFFFFFFFF) ^ 0x80000000
            epoch = (seconds - (low - 0x80000000)) >> 32 & 3
            fields[extra_at] = struct.pack("<I", nanoseconds << 2 | epoch)
    return fields


def _stored(length: int, holes: Iterable[Span], block: int) -> Iterator[Span]:
    """(first block, blocks) of a file that are to be allocated."""
    count = -(-length // block)
    empty = [(one.start, len(one)) for one in whole_units(sorted(holes), block, length)]
    return outside([(0, count)], empty)


def _has_blocks(inode: Inode) -> bool:
    """Whether there are blocks to give back (a short link keeps its target in their place)."""
    if stat.S_ISREG(inode.mode) or stat.S_ISDIR(inode.mode):
        return True
    return stat.S_ISLNK(inode.mode) and (inode.size >= 60 or bool(inode.flags & INLINE))


def _type(inode: Inode) -> int:
    """The type byte of a directory entry for an inode."""
    kind = stat.S_IFMT(inode.mode)
    return next(number for bits, number in FILE_TYPES.values() if bits == kind)


def _device_bytes(major: int, minor: int) -> bytes:
    """A device number in the first two words of i_block: old coding where it fits, else new."""
    if major < 256 and minor < 256:
        return struct.pack("<II", major << 8 | minor, 0)
    return struct.pack("<II", 0, minor & 0xFF | major << 8 | (minor & ~0xFF) << 12)


def _padded(pieces: Iterable[bytes], length: int, block: int) -> Iterator[bytes]:
    """The pieces in whole blocks, so that no block of the disk below is read to be written in part;
    zeros up to the end of the last block. Their sum must be `length`."""
    total, rest = 0, b""
    for piece in pieces:
        total += len(piece)
        rest = rest + piece if rest else piece
        if whole := len(rest) - len(rest) % block:
            yield rest[:whole]
            rest = rest[whole:]
    if total != length:
        raise ChangeError(where="a file's content", why=f"it has {total} bytes, not {length}")
    if rest:
        yield rest + bytes(-length % block)


def _encoded(name: str) -> bytes:
    return name.encode(errors="surrogateescape")
