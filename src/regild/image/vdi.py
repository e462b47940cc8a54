"""VDI disks of VirtualBox, dynamic and static, version 1.1 (VirtualBox, Storage/VDICore.h).

Differencing and undo disks are refused.
"""

from __future__ import annotations

import struct

from regild.errors import ExternalFile, Malformed, UnsupportedFormat
from regild.image.blocks import BlockDisk, BlockTable
from regild.image.window import Window

MAGIC_AT = 64
MAGIC = b"\x7f\x10\xda\xbe"
_HEADER_BYTES = 400
_VERSION = 0x00010001
_DYNAMIC, _STATIC = 1, 2
_ZERO = 0xFFFFFFFE
"""A block of zeros; one more is a block that was never written."""
MIN_BLOCK_BYTES, MAX_BLOCK_BYTES = 4096, 256 << 20


def open_vdi(window: Window) -> BlockDisk:
    """Open a VDI disk that lies in a window.

    Raises: Malformed, Truncated, TooLarge, UnsupportedFormat, ExternalFile.
    """
    where = window.where
    header = window.read(0, _HEADER_BYTES)
    version, _length, kind = struct.unpack_from("<III", header, 68)
    if version != _VERSION:
        raise UnsupportedFormat(where=where, why=f"VDI version {version >> 16}.{version & 0xFFFF}")
    if kind not in (_DYNAMIC, _STATIC):
        raise ExternalFile(where=where, why=f"it is a VDI of type {kind}, which needs its parent")
    table_at, blocks_at = struct.unpack_from("<II", header, 340)
    size, block, extra, count = struct.unpack_from("<QIII", header, 368)
    if not MIN_BLOCK_BYTES <= block <= MAX_BLOCK_BYTES or block & (block - 1):
        raise Malformed(where=where, why=f"blocks of {block} bytes")
    if extra:
        raise UnsupportedFormat(where=where, why=f"a VDI with {extra} bytes before each block")
    if blocks_at < _HEADER_BYTES:
        raise Malformed(where=where, why="its blocks begin inside its header")
    needed = -(-size // block)
    if count < needed:
        raise Malformed(where=where, why="its table of blocks is too short for the disk's size")
    table = BlockTable(window, table_at, needed, 4)

    def place_of(number: int) -> int:
        block_number = int.from_bytes(table.entry(number), "little")
        return 0 if block_number >= _ZERO else blocks_at + block_number * block

    return BlockDisk(window, "vdi", size, block, place_of).checked()
