"""VMDK disks of several files: a text descriptor that names its extents, flat or sparse.

Virtual Disk Format 1.1 (VMware, 2007), "The Descriptor File": monolithicFlat, twoGbMaxExtentFlat,
twoGbMaxExtentSparse, and flat extents of ESX, and what differs from a parent in these forms. Raw
devices and ESX's own sparse extents are refused.
"""

from __future__ import annotations

from regild.errors import ExternalFile, Malformed, TooLarge, UnsupportedFormat
from regild.image.disk import Disk
from regild.image.grains import SECTOR_BYTES
from regild.image.joined import Below, JoinedDisk, Piece
from regild.image.neighbours import Neighbours
from regild.image.raw import RawDisk
from regild.image.vmdk import MAX_DESCRIPTOR_BYTES, open_vmdk
from regild.image.vmdk_layout import Extent, read_settings
from regild.image.vmdk_parent import open_parent
from regild.image.window import Window

CREATE_TYPES = (
    "monolithicFlat",
    "monolithicSparse",
    "twoGbMaxExtentFlat",
    "twoGbMaxExtentSparse",
    "vmfs",
)
FLAT = ("FLAT", "VMFS")


def open_descriptor(window: Window, neighbours: Neighbours | None) -> JoinedDisk:
    """Open the disk that a descriptor file tells of, with its extents from the same folder.

    Raises: ExternalFile for what lies elsewhere, Malformed, Truncated, TooLarge, UnsupportedFormat,
    MissingFile.
    """
    if neighbours is None:
        raise ExternalFile(
            where=window.where, why="it is a VMDK descriptor whose data lie elsewhere"
        )
    return open_parts_of(window, neighbours)[0]


def open_parts_of(window: Window, neighbours: Neighbours) -> tuple[JoinedDisk, str]:
    """The disk of a descriptor file, and its content id.

    Raises: as `open_descriptor`.
    """
    where = window.where
    if window.size > MAX_DESCRIPTOR_BYTES:
        raise TooLarge(where=where, why=f"its descriptor takes {window.size} bytes")
    settings, extents, _database = read_settings(window.read(0, window.size))
    create_type = settings.get("createtype", "")
    if create_type not in CREATE_TYPES:
        raise UnsupportedFormat(where=where, why=f"a VMDK of type {create_type!r}")
    if not extents:
        raise Malformed(where=where, why="its descriptor names no extent")
    parent = open_parent(settings, neighbours, where)
    pieces: list[Piece] = []
    begin = 0
    for extent in extents:
        pieces.append(_piece(extent, neighbours, where, parent, begin))
        begin += pieces[-1].bytes
    sparse = any(extent.kind == "SPARSE" for extent in extents)
    form = "vmdk-split" if sparse or len(pieces) > 1 else "vmdk-flat"
    return JoinedDisk(form, pieces, where), settings.get("cid", "").lower()


def _piece(
    extent: Extent, neighbours: Neighbours, where: str, parent: Disk | None, begin: int
) -> Piece:
    """An extent that stands at `begin` of the disk, in bytes."""
    length = extent.sectors * SECTOR_BYTES
    if extent.kind == "ZERO":
        return Piece(None, 0, length)
    if extent.kind in FLAT:
        flat = RawDisk(neighbours.open(extent.name, where, part=True))
        return Piece(flat, extent.begin * SECTOR_BYTES, length)
    if extent.kind == "SPARSE":
        below = Below(parent, begin, length) if parent is not None else None
        return Piece(open_vmdk(neighbours.open(extent.name, where, part=True), below), 0, length)
    raise UnsupportedFormat(where=where, why=f"a VMDK extent of type {extent.kind}")
