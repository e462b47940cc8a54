"""XFS, version 5, read without mounting: inodes, their extents, directories, symlinks.

Linux fs/xfs/libxfs/xfs_format.h and xfs_da_format.h; "XFS Algorithms & Data Structures", third
edition. All numbers are big-endian. Every place and count is hostile; what an act reads is bounded
by the budget of whoever gives the bytes.
"""

from __future__ import annotations

import bisect
import functools
import itertools
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from regild.errors import Malformed, TooLarge, UnsupportedFilesystem

KNOWN_INCOMPATIBLE = 0x1 | 0x2 | 0x4 | 0x8 | 0x20 | 0x40 | 0x80
"""File types in names, sparse inodes, a second UUID, big times, large extent counts, exchange of
ranges, parent pointers. Not among them: one that needs repair, and metadata directories."""

LOCAL, EXTENTS, BTREE = 1, 2, 3
"""Where an inode keeps its data: in itself, in a list of extents, in a tree of them."""

_INODE_BYTES = 176
_BIG_COUNTS = 1 << 4
_REALTIME = 1
_LEAVES_AT = 32 << 30
"""From here on, a directory holds hashes of its names and no names (XFS_DIR2_LEAF_OFFSET)."""
_TREE_HEADER = 72
_FOLDER_HEADER = 64
_LINK_HEADER = 56
MAX_EXTENTS = 1 << 19
MAX_LINK_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Inode:
    """What an inode says; `fork` holds its data or tells where they are."""

    number: int
    mode: int
    size: int
    form: int
    fork: bytes
    extents: int
    owner: tuple[int, int]
    """Numbers of user and group."""


@dataclass(frozen=True, slots=True)
class _Extent:
    """`count` blocks of a file from block `first` on, which lie at block `place` of the volume."""

    first: int
    place: int
    count: int
    written: bool


class XfsVolume:
    """An XFS filesystem; `read(offset, length)` gives its bytes."""

    def __init__(self, read: Callable[[int, int], bytes], size: int, where: str) -> None:
        self._read = read
        self._size = size
        self._where = where
        head = read(0, 512)
        if len(head) < 512 or not head.startswith(b"XFSB"):
            raise Malformed(where=where, why="it has no XFS superblock")
        self.block: int = int.from_bytes(head[4:8], "big")
        self.root = int.from_bytes(head[56:64], "big")
        self._group = int.from_bytes(head[84:88], "big")
        self._groups = int.from_bytes(head[88:92], "big")
        version, _sector, self._inode_bytes, per_block = struct.unpack_from(">4H", head, 100)
        self._per_block_log, self._group_log = head[123], head[124]
        self.folder_block = self.block << min(head[192], 8)
        incompatible = int.from_bytes(head[216:220], "big")
        if version & 15 != 5:
            raise UnsupportedFilesystem(where=where, why=f"it is xfs of version {version & 15}")
        if incompatible & ~KNOWN_INCOMPATIBLE or not incompatible & 1:
            raise UnsupportedFilesystem(
                where=where, why=f"it is xfs with features {incompatible:#x}"
            )
        sane = (
            self.block in (512, 1024, 2048, 4096, 8192, 16384, 32768, 65536)
            and self._inode_bytes in (256, 512, 1024, 2048)
            and per_block == self.block // self._inode_bytes == 1 << self._per_block_log
            and 0 < self._group <= 1 << self._group_log < 1 << 32
            and self._groups > 0
            and self.folder_block <= 65536
        )
        if not sane:
            raise Malformed(where=where, why="its superblock contradicts itself")

    def inode(self, number: int) -> Inode:
        """Read an inode by its number.

        Raises: Malformed.
        """
        block, within = divmod(number, 1 << self._per_block_log)
        at = self._place(block) + within * self._inode_bytes
        content = self._bytes(at, self._inode_bytes)
        magic, mode, version, form = struct.unpack_from(">2sHBB", content)
        own = int.from_bytes(content[152:160], "big")
        if magic != b"IN" or version != 3 or own != number:
            raise Malformed(where=self._where, why=f"inode {number} is damaged")
        size = int.from_bytes(content[56:64], "big")
        flags = int.from_bytes(content[90:92], "big")
        if flags & _REALTIME:
            why = f"the data of inode {number} lie on a realtime device"
            raise UnsupportedFilesystem(where=self._where, why=why)
        counts = content[24:32] if content[127] & _BIG_COUNTS else content[76:80]
        length = content[82] * 8 or self._inode_bytes - _INODE_BYTES
        fork = content[_INODE_BYTES : _INODE_BYTES + length]
        owner = struct.unpack_from(">II", content, 8)
        return Inode(number, mode, size, form, fork, int.from_bytes(counts, "big"), owner)

    def entries(self, folder: Inode) -> Iterator[tuple[bytes, int, int]]:
        """The names of a directory with the number and the type of each inode.

        Raises: Malformed, TooLarge.
        """
        if folder.form == LOCAL:
            yield from self._short_entries(folder)
            return
        leaves = _LEAVES_AT // self.block
        extents = [one for one in self._extents(folder) if one.first < leaves]
        each = self.folder_block // self.block
        done = -1
        for one in extents:
            if not one.written:
                why = f"directory {folder.number} has blocks that were never written"
                raise Malformed(where=self._where, why=why)
            # By extents and not by size, which may be a lie about years of empty blocks.
            for number in range(one.first // each, -(-(one.first + one.count) // each)):
                if number > done:
                    done = number
                    content = self._content(extents, number * self.folder_block, self.folder_block)
                    yield from self._block_entries(content, folder)

    def target(self, link: Inode) -> bytes:
        """Where a symlink leads.

        Raises: Malformed.
        """
        if not 0 < link.size <= MAX_LINK_BYTES:
            raise Malformed(where=self._where, why=f"symlink {link.number} has no target")
        if link.form == LOCAL:
            target = link.fork[: link.size]
        else:
            target = b"".join(self._link_parts(link))[: link.size]
        if len(target) != link.size:
            raise Malformed(
                where=self._where, why=f"the target of symlink {link.number} is cut off"
            )
        return target

    def opened(self, file: Inode) -> Callable[[int, int], bytes]:
        """A file whose extents are known: gives the bytes at an offset, of a length.

        Raises: Malformed, TooLarge.
        """
        if file.form == LOCAL:
            raise Malformed(where=self._where, why=f"file {file.number} has no extents")
        return functools.partial(self._content, list(self._extents(file)))

    def _content(self, extents: list[_Extent], offset: int, length: int) -> bytes:
        """Bytes of a file; what no written extent holds is zeros."""
        content = bytearray(length)
        end = offset + length
        near = bisect.bisect_right(extents, offset // self.block, key=lambda one: one.first)
        for one in itertools.islice(extents, max(0, near - 1), None):
            if one.first * self.block >= end:
                break
            begin = max(offset, one.first * self.block)
            last = min(end, (one.first + one.count) * self.block)
            if begin < last and one.written:
                at = self._place(one.place) + begin - one.first * self.block
                content[begin - offset : last - offset] = self._bytes(at, last - begin)
        return bytes(content)

    def _extents(self, inode: Inode) -> Iterator[_Extent]:
        """The extents of a file in ascending order, apart from one another."""
        if inode.extents > MAX_EXTENTS:
            raise TooLarge(where=self._where, why=f"a file has {inode.extents} extents")
        if inode.form == EXTENTS:
            if inode.extents * 16 > len(inode.fork):
                raise Malformed(where=self._where, why=f"inode {inode.number} has no such extents")
            records = iter([inode.fork[: inode.extents * 16]])
        elif inode.form == BTREE:
            records = self._leaves(inode)
        else:
            raise Malformed(where=self._where, why=f"inode {inode.number} is of form {inode.form}")
        before = total = 0
        for leaf in records:
            for high, low in struct.iter_unpack(">QQ", leaf):
                one = _Extent(
                    first=high >> 9 & (1 << 54) - 1,
                    place=(high & 0x1FF) << 43 | low >> 21,
                    count=low & 0x1FFFFF,
                    written=not high >> 63,
                )
                total += 1
                if one.first < before or not one.count or total > inode.extents:
                    why = f"the extents of inode {inode.number} overlap"
                    raise Malformed(where=self._where, why=why)
                before = one.first + one.count
                yield one

    def _leaves(self, inode: Inode) -> Iterator[bytes]:
        """The records of all leaves of a tree of extents, left to right."""
        level, count = struct.unpack_from(">HH", inode.fork)
        most = (len(inode.fork) - 4) // 16
        if not 0 < level < 10 or count > most:
            raise Malformed(where=self._where, why=f"inode {inode.number} has a damaged tree")
        places = struct.unpack_from(f">{count}Q", inode.fork, 4 + most * 8)
        for place in places:
            yield from self._branch(place, level - 1, inode.number)

    def _branch(self, place: int, level: int, owner: int) -> Iterator[bytes]:
        content = self._bytes(self._place(place), self.block)
        magic, own_level, count = struct.unpack_from(">4sHH", content)
        most = (self.block - _TREE_HEADER) // 16
        wrong = magic != b"BMA3" or own_level != level or not 0 < count <= most
        if wrong or int.from_bytes(content[56:64], "big") != owner:
            raise Malformed(where=self._where, why=f"inode {owner} has a damaged tree")
        if level == 0:
            yield content[_TREE_HEADER : _TREE_HEADER + count * 16]
            return
        places = struct.unpack_from(f">{count}Q", content, _TREE_HEADER + most * 8)
        for below in places:
            yield from self._branch(below, level - 1, owner)

    def _short_entries(self, folder: Inode) -> Iterator[tuple[bytes, int, int]]:
        """The names of a directory that is kept in its inode."""
        fork = folder.fork[: folder.size]
        count, large = fork[0], fork[1]
        width = 8 if large else 4
        at = 2 + width
        for _index in range(count):
            length = fork[at]
            end = at + 3 + length + 1 + width
            if end > len(fork):
                raise Malformed(where=self._where, why=f"directory {folder.number} is cut off")
            name = fork[at + 3 : at + 3 + length]
            yield name, int.from_bytes(fork[end - width : end], "big"), fork[end - width - 1]
            at = end

    def _block_entries(self, content: bytes, folder: Inode) -> Iterator[tuple[bytes, int, int]]:
        """The names of one block of a directory."""
        magic = content[:4]
        end = len(content)
        if magic == b"XDB3":
            # A single block ends with hashes of its names and their number.
            end -= 8 + 8 * int.from_bytes(content[-8:-4], "big")
        owner = int.from_bytes(content[40:48], "big")
        if magic not in (b"XDB3", b"XDD3") or owner != folder.number or end < _FOLDER_HEADER:
            raise Malformed(where=self._where, why=f"directory {folder.number} is damaged")
        at = _FOLDER_HEADER
        while at < end:
            if content[at : at + 2] == b"\xff\xff":
                length = int.from_bytes(content[at + 2 : at + 4], "big")
            else:
                name_bytes = content[at + 8]
                length = (name_bytes + 12 + 7) // 8 * 8
                name = content[at + 9 : at + 9 + name_bytes]
                if name not in (b".", b".."):
                    number = int.from_bytes(content[at : at + 8], "big")
                    yield name, number, content[at + 9 + name_bytes]
            if length < 8 or length % 8 or at + length > end:
                raise Malformed(where=self._where, why=f"directory {folder.number} is damaged")
            at += length

    def _link_parts(self, link: Inode) -> Iterator[bytes]:
        """The parts of a long target, each behind a header of its own."""
        for one in self._extents(link):
            length = min(one.count * self.block, MAX_LINK_BYTES + 4 * _LINK_HEADER)
            content = self._bytes(self._place(one.place), length)
            magic, _offset, held = struct.unpack_from(">4sII", content)
            owner = int.from_bytes(content[32:40], "big")
            if magic != b"XSLM" or owner != link.number or held > length - _LINK_HEADER:
                raise Malformed(where=self._where, why=f"symlink {link.number} is damaged")
            yield content[_LINK_HEADER : _LINK_HEADER + held]

    def _place(self, block: int) -> int:
        """Where a block of the volume lies, in bytes; the high bits of its number tell the
        group."""
        group, within = block >> self._group_log, block & (1 << self._group_log) - 1
        if group >= self._groups or within >= self._group:
            raise Malformed(where=self._where, why=f"block {block} lies outside of every group")
        return (group * self._group + within) * self.block

    def _bytes(self, offset: int, length: int) -> bytes:
        if offset + length > self._size:
            raise Malformed(where=self._where, why="something lies behind the end of the volume")
        return self._read(offset, length)
