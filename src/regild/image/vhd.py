"""VHD disks: fixed, dynamic and differencing (Microsoft, Virtual Hard Disk Image Format
Specification, 2006).

A dynamic disk's sector bitmaps are not consulted: producers fill the sectors of a block that were
never written with zeros. In a differencing disk they tell which sectors are the parent's.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from regild.errors import ExternalFile, Malformed, UnsupportedFormat
from regild.image.blocks import BlockDisk, BlockTable
from regild.image.window import Window

if TYPE_CHECKING:
    from regild.image.neighbours import Neighbours

COOKIE = b"conectix"
FOOTER_BYTES = 512
_FOOTER = struct.Struct(">8sIIQIIIIQQIII16s")
_DYNAMIC = struct.Struct(">8sQQIIII")
_FIXED, _SPARSE, _DIFFERENCING = 2, 3, 4
_UNUSED = 0xFFFFFFFF
MIN_BLOCK_BYTES, MAX_BLOCK_BYTES = 4096, 256 << 20


@dataclass(frozen=True, slots=True)
class _Footer:
    """What of a footer matters; `dynamic_at` is the place of the dynamic disk's header, `identity`
    the unique id by which a differencing disk knows its parent."""

    dynamic_at: int
    size: int
    kind: int
    identity: bytes


def open_vhd(window: Window, neighbours: Neighbours | None = None) -> BlockDisk:
    """Open a dynamic or differencing VHD, which begins with a copy of its footer.

    Raises: Malformed, Truncated, TooLarge, UnsupportedFormat, ExternalFile.
    """
    where = window.where
    footer = _read_footer(window.read(0, min(FOOTER_BYTES, window.size)))
    if footer is None:
        raise Malformed(where=where, why="the VHD footer's checksum is wrong")
    if footer.kind not in (_SPARSE, _DIFFERENCING):
        raise UnsupportedFormat(where=where, why=f"a VHD of type {footer.kind}")
    return _dynamic(window, footer, neighbours)


def identity_of(window: Window) -> bytes:
    """The unique id of a VHD of any type; empty where it has no footer.

    Raises: Truncated.
    """
    for at in (0, window.size - FOOTER_BYTES):
        footer = _read_footer(window.read(at, FOOTER_BYTES)) if at >= 0 else None
        if footer is not None:
            return footer.identity
    return b""


def find_fixed_vhd(window: Window) -> BlockDisk | None:
    """The fixed VHD in a window, told by the footer behind its data; None when it is none."""
    if window.size % 512 or window.size <= FOOTER_BYTES:
        return None
    footer = _read_footer(window.read(window.size - FOOTER_BYTES, FOOTER_BYTES))
    if footer is None or footer.kind != _FIXED or footer.size != window.size - FOOTER_BYTES:
        return None
    # A place of 0 would mean a block that is not kept.
    inner = window.part(0, window.size - FOOTER_BYTES)
    return _FixedVhd(inner)


class _FixedVhd(BlockDisk):
    """The data of a fixed VHD stand in the file as they are."""

    def __init__(self, window: Window) -> None:
        super().__init__(window, "vhd", window.size, MAX_BLOCK_BYTES, lambda number: number + 1)

    def _piece(self, number: int, start: int, count: int) -> bytes:
        return self._window.read(number * MAX_BLOCK_BYTES + start, count)


def _read_footer(content: bytes) -> _Footer | None:
    """A footer whose cookie and checksum are right, or None."""
    if len(content) < FOOTER_BYTES or not content.startswith(COOKIE):
        return None
    fields = _FOOTER.unpack_from(content)
    if _sum(content, 64) != fields[12]:
        return None
    return _Footer(dynamic_at=fields[3], size=fields[9], kind=fields[11], identity=fields[13])


def _sum(content: bytes, at: int) -> int:
    """The checksum of a structure: its bytes without the checksum's own, added and inverted."""
    return ~(sum(content) - sum(content[at : at + 4])) & 0xFFFFFFFF


def _dynamic(window: Window, footer: _Footer, neighbours: Neighbours | None) -> BlockDisk:
    where = window.where
    header = window.read(footer.dynamic_at, 1024)
    cookie, _next, table_at, _version, entries, block, checksum = _DYNAMIC.unpack_from(header)
    if cookie != b"cxsparse" or _sum(header, 36) != checksum:
        raise Malformed(where=where, why="the header of the dynamic VHD is damaged")
    if not MIN_BLOCK_BYTES <= block <= MAX_BLOCK_BYTES or block & (block - 1):
        raise Malformed(where=where, why=f"blocks of {block} bytes")
    needed = -(-footer.size // block)
    if entries < needed:
        raise Malformed(where=where, why="its table of blocks is too short for the disk's size")
    table = BlockTable(window, table_at, needed, 4)
    bitmap = -(-block // 512 // 8 // 512) * 512

    def place_of(number: int) -> int:
        sector = int.from_bytes(table.entry(number), "big")
        return 0 if sector == _UNUSED else sector * 512 + bitmap

    if footer.kind == _SPARSE:
        return BlockDisk(window, "vhd", footer.size, block, place_of).checked()
    if neighbours is None:
        raise ExternalFile(where=where, why="it is a differencing VHD, which needs its parent")
    from regild.image.vhd_parent import DifferencingVhd, open_parent

    parent = open_parent(header, window, neighbours)
    return DifferencingVhd(window, footer.size, block, place_of, parent).checked()
