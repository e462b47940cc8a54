"""ext2/3/4 read through libext2fs: every inode, name, run of data and attribute of a filesystem.

Made for taking a whole tree out and for writing changes back (`regild.image.writeback`); the
inventory reads through `regild.image.tree`, which needs no library of the system.
Source: the ext4 on-disk layout as in ext2fs/ext2_fs.h and ext3_extents.h of e2fsprogs 1.47.
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from regild.errors import Malformed, TooLarge, UnsupportedFilesystem
from regild.host.libext2fs import Library

ROOT = 2
JOURNAL = 8
FIRST_ORDINARY = 11

ENCRYPTED, EXTENTS, INLINE = 0x800, 0x80000, 0x10000000
IMMUTABLE, APPEND_ONLY = 0x10, 0x20

ENTRIES_MAX = 8_000_000
"""Names in one filesystem; a distribution with a desktop has under a million."""
NAME_BYTES_MAX = 255
PATH_BYTES_MAX = 4095
DEPTH_MAX = 200
EXTENT_DEPTH_MAX = 5
"""EXT4_MAX_EXTENT_DEPTH."""
RUNS_MAX = 1 << 22

REFUSED_INCOMPATIBLE = {
    0x0004: "its journal must be replayed first; it was not shut down cleanly",
    0x0008: "it is only a journal",
    0x0100: "it uses multiple mount protection",
}
REFUSED_FOR_WRITING = {
    0x0100: "it keeps quotas",
    0x0200: "it allocates in clusters (bigalloc)",
    0x2000: "it keeps project quotas",
    0x10000: "it has orphaned inodes; it was not shut down cleanly",
}


class Device(Protocol):
    """A filesystem's bytes, offsets counted from its first byte."""

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes."""

    def write(self, offset: int, content: bytes) -> None:
        """Put some bytes."""


@dataclass(frozen=True, slots=True)
class Inode:
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


@dataclass(frozen=True, slots=True)
class Run:
    """A stretch of a file: `length` bytes at `logical` in the file, at `physical` on the volume."""

    logical: int
    physical: int
    length: int


class ExtVolume:
    """An opened ext2/3/4 filesystem.

    Raises: UnsupportedFilesystem for what regild must not touch, Malformed.
    """

    def __init__(self, device: Device, where: str, writable: bool = False) -> None:
        self.device, self.where = device, where
        self._check_features(device.read(1024, 1024), writable)
        self.library = Library(device, where, writable)
        self.block_bytes = self.library.block_bytes
        head = self.library.read_superblock()
        self.inode_bytes = int.from_bytes(head[88:90], "little") or 128
        self.blocks = int.from_bytes(head[4:8], "little")
        if struct.unpack_from("<I", head, 96)[0] & 0x80:
            self.blocks |= int.from_bytes(head[0x150:0x154], "little") << 32
        self.first_block = int.from_bytes(head[20:24], "little")
        self.has_extents = bool(struct.unpack_from("<I", head, 96)[0] & 0x40)

    def close(self) -> None:
        """Write what is pending and let go."""
        self.library.close()

    def read_inodes(self) -> Iterator[Inode]:
        """All inodes in use, in the order of their numbers."""
        for number, raw in self.library.scan_inodes(self.inode_bytes):
            inode = parse_inode(number, raw)
            if inode.mode and inode.links and not inode.deleted:
                if inode.flags & ENCRYPTED:
                    raise UnsupportedFilesystem(where=self.where, why="it holds encrypted folders")
                yield inode

    def read_inode(self, number: int) -> Inode:
        """One inode."""
        return parse_inode(number, self.library.read_inode(number, self.inode_bytes))

    def read_names(self, directory: int) -> list[tuple[str, int]]:
        """The names in a directory; a name that no system would accept is refused.

        Raises: Malformed.
        """
        found = []
        for name, number in self.library.read_names(directory):
            if not name or name in (b".", b"..") or b"/" in name or b"\0" in name:
                raise Malformed(where=self.where, why=f"a directory holds the name {name!r}")
            found.append((name.decode(errors="surrogateescape"), number))
        return found

    def read_runs(self, inode: Inode) -> list[Run]:
        """Where a file's data lie, in file order; holes and unwritten extents are left out.

        Raises: Malformed for extents outside of the volume or in a circle.
        """
        if inode.flags & INLINE:
            return []
        rows = self._extents(inode) if inode.flags & EXTENTS else self._mapped(inode)
        size, runs = self.block_bytes, list[Run]()
        for logical, physical, count in sorted(rows):
            if physical < 1 or physical + count > self.blocks:
                raise Malformed(where=self.where, why=f"inode {inode.number} lies off the volume")
            runs.append(Run(logical * size, physical * size, count * size))
        return runs

    def read_content(self, inode: Inode, piece_bytes: int = 1 << 20) -> Iterator[tuple[int, bytes]]:
        """A file's content as (offset, bytes), holes left out, nothing beyond its size."""
        if inode.flags & INLINE:
            yield 0, self._inline(inode)
            return
        for run in self.read_runs(inode):
            length = min(run.length, inode.size - run.logical)
            for start in range(0, max(length, 0), piece_bytes):
                count = min(piece_bytes, length - start)
                yield run.logical + start, self.device.read(run.physical + start, count)

    def read_target(self, inode: Inode) -> str:
        """Where a symbolic link points."""
        if inode.size > PATH_BYTES_MAX:
            raise Malformed(where=self.where, why=f"link {inode.number} is {inode.size} long")
        if inode.size < 60 and not inode.flags & (EXTENTS | INLINE):
            target = inode.block[: inode.size]
        else:
            target = b"".join(piece for _, piece in self.read_content(inode))
        return target.decode(errors="surrogateescape")

    def read_attributes(self, inode: Inode) -> dict[str, bytes]:
        """The extended attributes of an inode."""
        if not inode.has_attributes:
            return {}
        found = self.library.read_attributes(inode.number)
        found.pop("system.data", None)  # inline file content, not an attribute
        return found

    def walk(self) -> Iterator[tuple[str, Inode]]:
        """Every path below the root with its inode, parents before children.

        Raises: Malformed when directories form a circle or names stand for unused inodes,
        TooLarge.
        """
        inodes = {inode.number: inode for inode in self.read_inodes()}
        seen, waiting, count = {ROOT}, [("", ROOT)], 0
        while waiting:
            folder, number = waiting.pop()
            for name, child in sorted(self.read_names(number)):
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
        if len(path) > PATH_BYTES_MAX or path.count("/") > DEPTH_MAX:
            raise TooLarge(where=self.where, why=f"a path is {len(path)} long")

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

    def _extents(self, inode: Inode) -> list[tuple[int, int, int]]:
        """The leaf extents of an inode: (logical block, physical block, count)."""
        rows: list[tuple[int, int, int]] = []
        nodes = [(inode.block, EXTENT_DEPTH_MAX)]
        while nodes:
            node, depth_max = nodes.pop()
            magic, entries, _, depth = struct.unpack_from("<HHHH", node)
            if magic != 0xF30A or depth > depth_max or 12 + 12 * entries > len(node):
                raise Malformed(where=self.where, why=f"inode {inode.number} has a bad extent tree")
            for place in range(12, 12 + 12 * entries, 12):
                if depth:
                    low, high = struct.unpack_from("<IH", node, place + 4)
                    nodes.append((self._node(inode, low | high << 32), depth - 1))
                else:
                    logical, count, high, low = struct.unpack_from("<IHHI", node, place)
                    if count <= 0x8000:  # longer ones are allocated but not written
                        rows.append((logical, low | high << 32, count))
            if len(rows) > RUNS_MAX or len(nodes) > RUNS_MAX:
                raise TooLarge(where=self.where, why=f"inode {inode.number} is in too many pieces")
        return rows

    def _node(self, inode: Inode, block: int) -> bytes:
        if not 0 < block < self.blocks:
            raise Malformed(where=self.where, why=f"inode {inode.number} lies off the volume")
        return self.device.read(block * self.block_bytes, self.block_bytes)

    def _mapped(self, inode: Inode) -> list[tuple[int, int, int]]:
        """The blocks of an inode of ext2 or ext3: direct, and through one to three levels."""
        numbers, per_block = struct.unpack("<15I", inode.block), self.block_bytes // 4
        rows: list[tuple[int, int, int]] = []
        blocks_needed = -(-inode.size // self.block_bytes)

        def descend(block: int, level: int, logical: int) -> None:
            if block == 0 or logical >= blocks_needed:
                return
            if level == 0:
                _append(rows, logical, block)
                return
            below = struct.unpack(f"<{per_block}I", self._node(inode, block))
            for index, child in enumerate(below):
                descend(child, level - 1, logical + index * per_block ** (level - 1))

        for index in range(12):
            descend(numbers[index], 0, index)
        logical = 12
        for level in (1, 2, 3):
            descend(numbers[11 + level], level, logical)
            logical += per_block**level
        return rows

    def _inline(self, inode: Inode) -> bytes:
        if inode.size > self.inode_bytes:
            raise Malformed(where=self.where, why=f"inode {inode.number} is inline and too long")
        return self.library.read_inline(inode.number, inode.size)


def parse_inode(number: int, raw: bytes) -> Inode:
    """Read an inode's fields from its raw bytes (128 or more)."""
    mode, uid, size = struct.unpack_from("<HHI", raw)
    mtime, dtime, gid, links = struct.unpack_from("<iIHH", raw, 16)
    (flags,) = struct.unpack_from("<I", raw, 32)
    acl, size_high = struct.unpack_from("<II", raw, 104)
    acl_high, uid_high, gid_high = struct.unpack_from("<HHH", raw, 118)
    nanoseconds = 0
    if len(raw) >= 140 and int.from_bytes(raw[128:130], "little") >= 12:
        (extra,) = struct.unpack_from("<I", raw, 136)
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


def _append(rows: list[tuple[int, int, int]], logical: int, block: int) -> None:
    """Add one block, lengthening the run before it where it follows on."""
    if rows and rows[-1][0] + rows[-1][2] == logical and rows[-1][1] + rows[-1][2] == block:
        rows[-1] = (rows[-1][0], rows[-1][1], rows[-1][2] + 1)
    else:
        rows.append((logical, block, 1))


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
