"""ext2/3/4 read through libext2fs: every inode, name, run of data and attribute of a filesystem.

Made for taking a whole tree out and for writing changes back (`regild.image.writeback`); the
inventory reads through `regild.image.tree`, which needs no library of the system.
Source: the ext4 on-disk layout as in ext2fs/ext2_fs.h and ext3_extents.h of e2fsprogs 1.47.
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, Protocol

import msgspec

from regild.errors import Malformed, TooLarge, UnsupportedFilesystem
from regild.host.libext2fs import Library
from regild.image.ext_map import DIRECT, BlockMap

ROOT = 2
JOURNAL = 8
FIRST_ORDINARY = 11

INODE = struct.Struct("<HHI8xiIHH4xI")
"""Mode, owner, size, times of change and deletion, group, links, flags (ext2_inode_large)."""
INODE_END = struct.Struct("<II6xHHH")
"""From byte 104: attribute block and size, high half; of that block, owner and group the same."""
INODE_EXTRA = struct.Struct("<H6xI")
"""From byte 128: how much more there is, and the rest of the time of change."""
NOTHING = bytes(2)

ENCRYPTED, EXTENTS, INLINE = 0x800, 0x80000, 0x10000000

INLINE_ATTRIBUTE = "system.data"
"""Where a file that is kept inside its inode goes on: content, not an attribute."""

ENTRIES_MAX = 8_000_000
"""Names in one filesystem; a distribution with a desktop has under a million."""
PATH_BYTES_MAX = 3072
"""Of PATH_MAX (4096, limits.h) the rest is left to the folder that a tree is taken out into."""
DEPTH_MAX = 200
FILE_BYTES_MAX = 1 << 44
"""16 TiB: what ext4 can hold in a file with blocks of 4 KiB."""
_PIECE_BYTES = 1 << 20

REFUSED_INCOMPATIBLE = {
    0x0004: "its journal must be replayed first; it was not shut down cleanly",
    0x0008: "it is only a journal",
    0x0100: "it uses multiple mount protection",
}
REFUSED_FOR_WRITING = {
    0x4000: "its files may share blocks",
    0x8000: "it holds files that are sealed (fs-verity)",
    0x0100: "it keeps quotas",
    0x0200: "it allocates in clusters (bigalloc)",
    0x2000: "it keeps project quotas",
    0x10000: "it has orphaned inodes; it was not shut down cleanly",
}


class Device(Protocol):
    """A filesystem's bytes, offsets counted from its first byte."""

    @property
    def size(self) -> int:
        """Bytes there are; the filesystem may be shorter."""

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes."""

    def write(self, offset: int, content: bytes) -> None:
        """Put some bytes."""


class Inode(msgspec.Struct, frozen=True):
    """An inode as it stands on the disk; `raw` is all of it."""

    number: int
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    links: int
    flags: int
    deleted: bool
    acl_block: int
    raw: bytes

    @property
    def block(self) -> bytes:
        """The 60 bytes of i_block: extents, block numbers, a short link or a device number."""
        return self.raw[40:100]

    @property
    def is_mapped_inside(self) -> bool:
        """The inode itself tells where all of its content lies; no block map is beside it."""
        if self.flags & INLINE:
            return True
        if self.flags & EXTENTS:
            return self.raw[46:48] == NOTHING  # eh_depth (ext3_extents.h)
        return not any(self.raw[40 + 4 * DIRECT : 100])

    @property
    def device(self) -> tuple[int, int]:
        """Major and minor number of a device node (old and new coding)."""
        old, new = struct.unpack_from("<II", self.block)
        if old:
            return (old >> 8) & 0xFF, old & 0xFF
        return (new >> 8) & 0xFFF, (new & 0xFF) | ((new >> 12) & 0xFFF00)

    @property
    def has_attributes(self) -> bool:
        """There may be extended attributes, in a block of their own or behind the inode."""
        if self.acl_block or self.flags & INLINE:
            return True
        if len(self.raw) <= 132:
            return False
        start = 128 + int.from_bytes(self.raw[128:130], "little")
        return self.raw[start : start + 4] == b"\x00\x00\x02\xea"


class Run(msgspec.Struct, frozen=True):
    """A stretch of a file: `length` bytes at `logical` in the file, at `physical` on the volume."""

    logical: int
    physical: int
    length: int


NONE_KNOWN: Final[Mapping[int, Inode]] = MappingProxyType({})


class ExtVolume:
    """An opened ext2/3/4 filesystem.

    Raises: UnsupportedFilesystem for what regild must not touch, Malformed.
    """

    def __init__(self, device: Device, where: str, writable: bool = False) -> None:
        self.device, self.where = device, where
        head = device.read(1024, 1024)
        self._check_features(head, writable)
        self._check_size(head)
        self.library = Library(device, where, writable)
        self.block_bytes = self.library.block_bytes
        self.inode_bytes = _inode_bytes(head)
        self.blocks = _blocks(head)
        self.first_block = int.from_bytes(head[20:24], "little")
        self.has_extents = bool(struct.unpack_from("<I", head, 96)[0] & 0x40)

    def close(self) -> None:
        """Write what is pending and let go."""
        self.library.close()

    def read_inodes(self, like: Mapping[int, Inode] = NONE_KNOWN) -> Iterator[Inode]:
        """All inodes in use, in the order of their numbers; one whose bytes are those of the same
        number in `like` is that one itself.

        Raises: Malformed; UnsupportedFilesystem where one is encrypted; TooLarge.
        """
        count = 0
        for number, raw in self.library.scan_inodes(self.inode_bytes):
            if raw[:2] == NOTHING or raw[26:28] == NOTHING:  # mode and links: nobody uses it
                continue
            known = like.get(number)
            inode = known if known and known.raw == raw else parse_inode(number, raw)
            if not inode.deleted:
                if inode.flags & ENCRYPTED:
                    raise UnsupportedFilesystem(where=self.where, why="it holds encrypted folders")
                count += 1
                if count > ENTRIES_MAX:
                    raise TooLarge(where=self.where, why=f"it holds over {ENTRIES_MAX} files")
                yield inode

    def read_inode(self, number: int) -> Inode:
        """One inode."""
        return parse_inode(number, self.library.read_inode(number, self.inode_bytes))

    def read_names(self, folder: Inode) -> list[tuple[str, int]]:
        """The names in a folder; one that no system would accept, or that is there twice, is
        refused.

        Raises: Malformed, TooLarge.
        """
        self.read_runs(folder)  # the library follows the same map without asking where it leads
        rows = self.library.read_names(folder.number, ENTRIES_MAX)
        if folder.flags & INLINE:  # there the library makes `..` up, and counts it as any name
            rows = [row for row in rows if row[0] not in (b".", b"..")]
        if len(rows) > ENTRIES_MAX:
            raise TooLarge(where=self.where, why=f"a folder holds more than {ENTRIES_MAX} names")
        found: dict[str, int] = {}
        for name, number in rows:
            if not name or name in (b".", b"..") or b"/" in name or b"\0" in name:
                raise Malformed(where=self.where, why=f"a folder holds the name {name!r}")
            found[name.decode(errors="surrogateescape")] = number
        if len(found) != len(rows):
            raise Malformed(where=self.where, why="a folder holds a name twice")
        return list(found.items())

    def read_runs(self, inode: Inode) -> list[Run]:
        """Where a file's data lie, in file order; holes and unwritten extents are left out.

        Raises: Malformed for what lies off the volume, overlaps, or leads in a circle.
        """
        size = self.block_bytes
        if inode.size > FILE_BYTES_MAX:
            why = f"inode {inode.number} claims {inode.size} bytes"
            raise Malformed(where=self.where, why=why)
        if inode.flags & INLINE:
            return []
        found = BlockMap(self.where, inode.number, self.blocks, self._read_block)
        if inode.flags & EXTENTS:
            rows = found.read_extents(inode.block)
        else:
            rows = found.read_numbers(inode.block, size)
        return [Run(row[0] * size, row[1] * size, row[2] * size) for row in rows]

    def read_content(
        self, inode: Inode, runs: list[Run] | None = None
    ) -> Iterator[tuple[int, bytes]]:
        """A file's content as (offset, bytes), holes left out, nothing beyond its size; `runs` is
        what `read_runs` said, where it was asked."""
        if inode.flags & INLINE:
            yield 0, self._inline(inode)
            return
        for run in self.read_runs(inode) if runs is None else runs:
            length = min(run.length, inode.size - run.logical)
            for start in range(0, max(length, 0), _PIECE_BYTES):
                count = min(_PIECE_BYTES, length - start)
                yield run.logical + start, self.device.read(run.physical + start, count)

    def read_target(self, inode: Inode) -> str:
        """Where a symbolic link points.

        Raises: Malformed.
        """
        if inode.size > PATH_BYTES_MAX:
            raise Malformed(where=self.where, why=f"link {inode.number} is {inode.size} long")
        if inode.size < 60 and not inode.flags & (EXTENTS | INLINE):
            target = inode.block[: inode.size]
        else:
            target = b"".join(piece for _, piece in self.read_content(inode))
        if not target or b"\0" in target or len(target) != inode.size:
            raise Malformed(where=self.where, why=f"link {inode.number} points nowhere")
        return target.decode(errors="surrogateescape")

    def read_attributes(self, inode: Inode) -> dict[str, bytes]:
        """The extended attributes of an inode."""
        if not inode.has_attributes:
            return {}
        found = self.library.read_attributes(inode.number)
        found.pop(INLINE_ATTRIBUTE, None)
        return found

    def walk(
        self,
        inodes: Mapping[int, Inode] | None = None,
        names_of: Callable[[Inode], list[tuple[str, int]]] | None = None,
    ) -> Iterator[tuple[str, Inode]]:
        """Every path below the root with its inode, parents before children; `inodes` are those
        in use, and `names_of` stands in for `read_names`, where that is known.

        Raises: Malformed when directories form a circle or names stand for unused inodes,
        TooLarge.
        """
        if inodes is None:
            inodes = {inode.number: inode for inode in self.read_inodes()}
        names_of = names_of or self.read_names
        if ROOT not in inodes or not stat.S_ISDIR(inodes[ROOT].mode):
            raise Malformed(where=self.where, why="it has no root folder")
        seen, waiting, count = {ROOT}, [("", ROOT)], 0
        while waiting:
            folder, number = waiting.pop()
            for name, child in sorted(names_of(inodes[number])):
                path, inode = f"{folder}/{name}", inodes.get(child)
                count += 1
                self._check_path(path, count)
                if inode is None:
                    raise Malformed(where=self.where, why=f"{path!r} has no inode")
                if stat.S_ISDIR(inode.mode):
                    if child in seen:
                        raise Malformed(where=self.where, why=f"folders form a circle at {path!r}")
                    seen.add(child)
                    waiting.append((path, child))
                yield path, inode

    def read_free(self) -> list[tuple[int, int]]:
        """The volume's free ranges as (offset, bytes), from its block bitmap."""
        self.library.fs_call("ext2fs_read_bitmaps")
        bits = self.library.read_bitmap(self.first_block, self.blocks - self.first_block)
        size, first = self.block_bytes, self.first_block
        return [((first + start) * size, count * size) for start, count in _clear_runs(bits)]

    def _check_path(self, path: str, count: int) -> None:
        if count > ENTRIES_MAX:
            raise TooLarge(where=self.where, why=f"it holds more than {ENTRIES_MAX} names")
        if path.count("/") > DEPTH_MAX or len(path) > PATH_BYTES_MAX // 4:
            length = len(path.encode(errors="surrogateescape"))
            if length > PATH_BYTES_MAX or path.count("/") > DEPTH_MAX:
                raise TooLarge(
                    where=self.where, why=f"a path of {length} bytes is too long or deep"
                )

    def _check_features(self, head: bytes, writable: bool) -> None:
        """Refuse what cannot be read rightly, or what writing would make inconsistent."""
        incompatible, read_only = struct.unpack_from("<II", head, 96)
        for bit, why in REFUSED_INCOMPATIBLE.items():
            if incompatible & bit:
                raise UnsupportedFilesystem(where=self.where, why=why)
        for bit, why in REFUSED_FOR_WRITING.items() if writable else ():
            if read_only & bit:
                raise UnsupportedFilesystem(where=self.where, why=why)
        state = int.from_bytes(head[58:60], "little")
        if writable and (not state & 1 or state & 2):
            raise UnsupportedFilesystem(where=self.where, why="it is marked as not clean")

    def _check_size(self, head: bytes) -> None:
        """Refuse a filesystem that claims more blocks or inodes than its volume has room for."""
        block_bytes = 1024 << min(int.from_bytes(head[24:28], "little"), 6)
        inodes = int.from_bytes(head[:4], "little") * _inode_bytes(head)
        if _blocks(head) * block_bytes > self.device.size or inodes > self.device.size:
            raise Malformed(where=self.where, why="it claims to be larger than its volume")

    def _read_block(self, block: int) -> bytes:
        return self.device.read(block * self.block_bytes, self.block_bytes)

    def _inline(self, inode: Inode) -> bytes:
        """What a file keeps inside its inode: in i_block, and the rest as an attribute.

        Not ext2fs_inline_data_get, which fills a buffer by the attribute's length and not by its.
        """
        rest = self.library.read_attributes(inode.number).get(INLINE_ATTRIBUTE, b"")
        content = inode.block + rest
        if inode.size > len(content):
            raise Malformed(where=self.where, why=f"inode {inode.number} is inline and too long")
        return content[: inode.size]


def _inode_bytes(head: bytes) -> int:
    """Bytes of an inode; a superblock of the first revision has no field for it (ext2_fs.h,
    EXT2_GOOD_OLD_REV)."""
    return int.from_bytes(head[88:90], "little") if any(head[76:80]) else 128


def _blocks(head: bytes) -> int:
    """How many blocks a superblock claims, with the high half where there is one (64bit)."""
    low = int.from_bytes(head[4:8], "little")
    has_high = struct.unpack_from("<I", head, 96)[0] & 0x80
    return low | int.from_bytes(head[0x150:0x154], "little") << 32 if has_high else low


def parse_inode(number: int, raw: bytes) -> Inode:
    """Read an inode's fields from its raw bytes (128 or more)."""
    mode, uid, size, mtime, dtime, gid, links, flags = INODE.unpack_from(raw)
    acl, size_high, acl_high, uid_high, gid_high = INODE_END.unpack_from(raw, 104)
    nanoseconds = 0
    if len(raw) >= 140:
        room, extra = INODE_EXTRA.unpack_from(raw, 128)
        if room >= 12:
            mtime, nanoseconds = mtime + ((extra & 3) << 32), extra >> 2
    return Inode(
        number=number,
        mode=mode,
        uid=uid | uid_high << 16,
        gid=gid | gid_high << 16,
        size=size | size_high << 32,
        mtime_ns=mtime * 1_000_000_000 + nanoseconds,
        links=links,
        flags=flags,
        deleted=dtime != 0 and links == 0,
        acl_block=acl | acl_high << 32,
        raw=raw,
    )


def _clear_runs(bits: bytes) -> Iterator[tuple[int, int]]:
    """Runs of zero bits, least significant bit first, as (first, count)."""
    start: int | None = None
    for index, byte in enumerate(bits):
        if byte == 0xFF and start is None:
            continue
        if byte == 0 and start is not None:
            continue
        for bit in range(8):
            place = index * 8 + bit
            if byte >> bit & 1:
                if start is not None:
                    yield start, place - start
                    start = None
            elif start is None:
                start = place
    if start is not None:
        yield start, len(bits) * 8 - start
