"""VHDX disks, fixed and dynamic (MS-VHDX, sections 2.2 to 2.6).

A differencing disk is refused, and so is one whose log still has to be replayed: its blocks are not
what they should be. Checksums of headers and of the region table are verified.
"""

from __future__ import annotations

import struct
import uuid

from regild.errors import ExternalFile, Malformed, UnsupportedFormat
from regild.image.blocks import BlockDisk, BlockTable
from regild.image.window import Window

_HEADERS_AT = (64 << 10, 128 << 10)
_HEADER_BYTES = 4096
_REGIONS_AT = (192 << 10, 256 << 10)
_REGION_BYTES = 64 << 10
_REGION = struct.Struct("<16sQII")
_ITEM = struct.Struct("<16sIIII")
_MAX_REGIONS = 2047
_MAX_ITEMS = 1023

_BAT = uuid.UUID("2DC27766-F623-4200-9D64-115E9BFD4A08")
_METADATA = uuid.UUID("8B7CA206-4790-4B9A-B8FE-575F050F886E")
_PARAMETERS = uuid.UUID("CAA16737-FA36-4D43-B3B6-33F0AA44E76B")
_SIZE = uuid.UUID("2FA54224-CD1B-4876-B211-5DBED83BF4B8")
_LOGICAL = uuid.UUID("8141BF1D-A96F-4709-BA47-F233A8FAAB5F")
_PHYSICAL = uuid.UUID("CDA348C7-445D-4471-9CC9-E9885251C556")
_PAGE_83 = uuid.UUID("BECA12AB-B2E6-4523-93EF-C309E000C746")
_PARENT = uuid.UUID("A8D35F2D-B30B-454D-ABF7-D3D84834AB0C")
_ITEMS = {_PARAMETERS: 8, _SIZE: 8, _LOGICAL: 4, _PHYSICAL: 4, _PAGE_83: 16, _PARENT: 20}
"""The known metadata items and the least bytes of each."""
_REQUIRED_ITEM = 4
_HAS_PARENT = 2

_PRESENT, _PARTLY = 6, 7
MIN_BLOCK_BYTES, MAX_BLOCK_BYTES = 1 << 20, 256 << 20


def open_vhdx(window: Window) -> BlockDisk:
    """Open a VHDX disk that lies in a window.

    Raises: Malformed, Truncated, TooLarge, UnsupportedFormat, ExternalFile.
    """
    where = window.where
    _check_header(window)
    regions = _regions(window)
    items = _items(window, regions[_METADATA])
    block, flags = struct.unpack_from("<II", items[_PARAMETERS])
    size = int.from_bytes(items[_SIZE][:8], "little")
    sector = int.from_bytes(items[_LOGICAL][:4], "little")
    if flags & _HAS_PARENT:
        raise ExternalFile(where=where, why="it is a differencing VHDX, which needs its parent")
    if not MIN_BLOCK_BYTES <= block <= MAX_BLOCK_BYTES or block & (block - 1):
        raise Malformed(where=where, why=f"blocks of {block} bytes")
    if sector not in (512, 4096):
        raise Malformed(where=where, why=f"sectors of {sector} bytes")
    chunk = (sector << 23) // block
    count = -(-size // block)
    entries = count + max(0, count - 1) // chunk
    at, length = regions[_BAT]
    if entries * 8 > length:
        raise Malformed(where=where, why="its table of blocks is too short for the disk's size")
    table = BlockTable(window, at, entries, 8)

    def place_of(number: int) -> int:
        """Where a block's bytes begin in the file; 0 where they are zeroes or the parent's."""
        # Behind each chunk of payload blocks stands one entry for their bitmap.
        entry = int.from_bytes(table.entry(number + number // chunk), "little")
        state = entry & 7
        if state == _PARTLY or state in (4, 5):
            raise Malformed(where=where, why=f"block {number} is in state {state}")
        return entry >> 20 << 20 if state == _PRESENT else 0

    return BlockDisk(window, "vhdx", size, block, place_of).checked()


def _check_header(window: Window) -> None:
    """Find the current header and refuse what it does not allow to read."""
    best: tuple[int, bytes] | None = None
    for at in _HEADERS_AT:
        content = window.read(at, _HEADER_BYTES)
        if content.startswith(b"head") and _sealed(content):
            sequence = int.from_bytes(content[8:16], "little")
            if best is None or sequence > best[0]:
                best = sequence, content
    if best is None:
        raise Malformed(where=window.where, why="both of its headers are damaged")
    log, version = best[1][48:64], int.from_bytes(best[1][66:68], "little")
    if version != 1:
        raise UnsupportedFormat(where=window.where, why=f"VHDX version {version}")
    if any(log):
        why = "it was not closed cleanly; its log holds changes that must be replayed first"
        raise UnsupportedFormat(where=window.where, why=why)


def _regions(window: Window) -> dict[uuid.UUID, tuple[int, int]]:
    """Place and length of the table of blocks and of the metadata."""
    where = window.where
    for at in _REGIONS_AT:
        content = window.read(at, _REGION_BYTES)
        if content.startswith(b"regi") and _sealed(content):
            break
    else:
        raise Malformed(where=where, why="both of its region tables are damaged")
    count = int.from_bytes(content[8:12], "little")
    if count > _MAX_REGIONS:
        raise Malformed(where=where, why=f"its region table has {count} entries")
    found: dict[uuid.UUID, tuple[int, int]] = {}
    for index in range(count):
        name, offset, length, required = _REGION.unpack_from(content, 16 + 32 * index)
        kind = uuid.UUID(bytes_le=name)
        if kind in (_BAT, _METADATA) and kind not in found:
            found[kind] = offset, length
        elif required & 1 or kind in found:
            raise UnsupportedFormat(where=where, why=f"a VHDX with the region {kind}")
    if len(found) != 2:
        raise Malformed(where=where, why="its region table lacks blocks or metadata")
    return found


def item_places(window: Window) -> dict[uuid.UUID, int]:
    """Where in a VHDX the metadata items that are known lie.

    Raises: Malformed, Truncated, UnsupportedFormat.
    """
    return _item_places(window, _regions(window)[_METADATA])


def _items(window: Window, region: tuple[int, int]) -> dict[uuid.UUID, bytes]:
    """The content of the metadata items that are known."""
    places = _item_places(window, region)
    return {kind: window.read(at, _ITEMS[kind]) for kind, at in places.items()}


def _item_places(window: Window, region: tuple[int, int]) -> dict[uuid.UUID, int]:
    where = window.where
    at, length = region
    head = window.read(at, _REGION_BYTES)
    count = int.from_bytes(head[10:12], "little")
    if not head.startswith(b"metadata") or count > _MAX_ITEMS:
        raise Malformed(where=where, why="its metadata table is damaged")
    found: dict[uuid.UUID, int] = {}
    for index in range(count):
        name, offset, held, flags, _reserved = _ITEM.unpack_from(head, 32 + 32 * index)
        kind = uuid.UUID(bytes_le=name)
        least = _ITEMS.get(kind)
        if least is None:
            if flags & _REQUIRED_ITEM:
                raise UnsupportedFormat(where=where, why=f"a VHDX with the metadata {kind}")
            continue
        if held < least or offset + held > length or kind in found:
            raise Malformed(where=where, why=f"its metadata item {kind} is damaged")
        found[kind] = at + offset
    if not {_PARAMETERS, _SIZE, _LOGICAL} <= set(found):
        raise Malformed(where=where, why="its metadata lack the disk's size or its blocks")
    return found


def _sealed(content: bytes) -> bool:
    """Whether the CRC-32C at byte 4 is that of the whole, counted with zeros in its own place."""
    return crc32c(content[:4] + bytes(4) + content[8:]) == int.from_bytes(content[4:8], "little")


def crc32c(content: bytes) -> int:
    """CRC-32C (RFC 3720, appendix B.4)."""
    state = 0xFFFFFFFF
    for byte in content:
        state = _CRC_TABLE[(state ^ byte) & 0xFF] ^ state >> 8
    return state ^ 0xFFFFFFFF


def _crc_row(value: int) -> int:
    for _bit in range(8):
        value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value


_CRC_TABLE = tuple(_crc_row(value) for value in range(256))
