"""Where a file's blocks lie: the extent trees of ext4, the block numbers of ext2 and ext3.

Written for filesystems that mean harm: every node is read once, no piece may lie off the volume or
overlap another, and no file has more blocks than the volume.
Source: ext3_extents.h and ext2_fs.h of e2fsprogs 1.47.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from itertools import pairwise

from regild.errors import Malformed

Row = tuple[int, int, int]
"""First logical block, first physical block, count."""

EXTENT_MAGIC = 0xF30A
EXTENT_DEPTH_MAX = 5
"""EXT4_MAX_EXTENT_DEPTH."""
WRITTEN_MAX = 0x8000
"""EXT_INIT_MAX_LEN: longer extents are allocated, but not written yet."""
DIRECT = 12
"""EXT2_NDIR_BLOCKS."""


class BlockMap:
    """The blocks of one inode; `where` and `number` name it in errors.

    `blocks` counts the volume's blocks, `read_block` gives one of them.
    """

    def __init__(
        self, where: str, number: int, blocks: int, read_block: Callable[[int], bytes]
    ) -> None:
        self._where, self._number = where, number
        self._blocks, self._read_block = blocks, read_block
        self._visited: set[int] = set()
        self._rows: list[Row] = []
        self._count = 0

    def read_extents(self, root: bytes) -> list[Row]:
        """The rows of an extent tree whose root is the inode's i_block, in file order.

        Raises: Malformed.
        """
        depth = int.from_bytes(root[6:8], "little")
        if depth > EXTENT_DEPTH_MAX:
            raise self._wrong("has an extent tree that is too deep")
        nodes = [(root, depth)]
        while nodes:
            node, depth = nodes.pop()
            magic, entries, _, found_depth = struct.unpack_from("<HHHH", node)
            if magic != EXTENT_MAGIC or found_depth != depth or 12 + 12 * entries > len(node):
                raise self._wrong("has a bad extent tree")
            for place in range(12, 12 + 12 * entries, 12):
                if depth:
                    low, high = struct.unpack_from("<IH", node, place + 4)
                    nodes.append((self._node(low | high << 32), depth - 1))
                else:
                    logical, count, high, low = struct.unpack_from("<IHHI", node, place)
                    self._take(logical, low | high << 32, count)
        return self._checked()

    def read_numbers(self, numbers: bytes, block_bytes: int) -> list[Row]:
        """The rows of direct and indirect block numbers, in file order.

        Raises: Malformed.
        """
        per_block, logical = block_bytes // 4, 0
        for index, block in enumerate(struct.unpack("<15I", numbers)):
            level = max(index - DIRECT + 1, 0)
            if block:
                self._descend(block, level, logical, per_block)
            logical += per_block**level
        return self._checked()

    def _descend(self, block: int, level: int, logical: int, per_block: int) -> None:
        """Take in a block, or all that an indirect block leads to."""
        if level == 0:
            self._take(logical, block, 1)
            return
        node = self._node(block)
        if node.count(0) == len(node):
            return
        step = per_block ** (level - 1)
        for index, child in enumerate(struct.unpack(f"<{per_block}I", node)):
            if child:
                self._descend(child, level - 1, logical + index * step, per_block)

    def _take(self, logical: int, physical: int, count: int) -> None:
        """Add a row, lengthening the one before it where it follows on."""
        is_written = count <= WRITTEN_MAX
        count -= 0 if is_written else WRITTEN_MAX
        if physical < 1 or physical + count > self._blocks:
            raise self._wrong("lies off the volume")
        self._count += count
        if self._count > self._blocks:
            raise self._wrong("has more blocks than the volume")
        if not is_written:
            return
        last = self._rows[-1] if self._rows else (0, 0, 0)
        if (last[0] + last[2], last[1] + last[2]) == (logical, physical) and last[2]:
            self._rows[-1] = (last[0], last[1], last[2] + count)
        elif count:
            self._rows.append((logical, physical, count))

    def _node(self, block: int) -> bytes:
        if not 0 < block < self._blocks:
            raise self._wrong("lies off the volume")
        if block in self._visited:
            raise self._wrong("has a block map that comes back to itself")
        self._visited.add(block)
        return self._read_block(block)

    def _checked(self) -> list[Row]:
        """The rows in file order, none overlapping another in the file or on the volume."""
        rows = sorted(self._rows)
        for side, ordered in enumerate((rows, sorted(rows, key=lambda row: row[1]))):
            for before, after in pairwise(ordered):
                if before[side] + before[2] > after[side]:
                    raise self._wrong("has pieces that overlap")
        return rows

    def _wrong(self, what: str) -> Malformed:
        return Malformed(where=self._where, why=f"inode {self._number} {what}")
