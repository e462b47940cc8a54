"""VMDK disks of several files: a text descriptor that names its extents, flat or sparse.

Virtual Disk Format 1.1 (VMware, 2007), "The Descriptor File": monolithicFlat, twoGbMaxExtentFlat,
twoGbMaxExtentSparse, and flat extents of ESX. A parent, raw devices and ESX's own sparse extents
are refused.
"""

from __future__ import annotations

from regild.errors import ExternalFile, Malformed, TooLarge, UnsupportedFormat
from regild.image.grains import SECTOR_BYTES
from regild.image.joined import JoinedDisk, Piece
from regild.image.neighbours import Neighbours
from regild.image.raw import RawDisk
from regild.image.vmdk import MAX_DESCRIPTOR_BYTES, open_vmdk
from regild.image.vmdk_layout import Extent, check_no_parent, read_settings
from regild.image.window import Window

CREATE_TYPES = ("monolithicFlat", "twoGbMaxExtentFlat", "twoGbMaxExtentSparse", "vmfs")
FLAT = ("FLAT", "VMFS")


def open_descriptor(window: Window, neighbours: Neighbours | None) -> JoinedDisk:
    """Open the disk that a descriptor file tells of, with its extents from the same folder.

    Raises: ExternalFile for what lies elsewhere, Malformed, Truncated, TooLarge, UnsupportedFormat,
    MissingFile.
    """
    where = window.where
    if neighbours is None:
        raise ExternalFile(where=where, why="it is a VMDK descriptor whose data lie elsewhere")
    if window.size > MAX_DESCRIPTOR_BYTES:
        raise TooLarge(where=where, why=f"its descriptor takes {window.size} bytes")
    settings, extents, _database = read_settings(window.read(0, window.size))
    check_no_parent(settings, where)
    create_type = settings.get("createtype", "")
    if create_type not in CREATE_TYPES:
        raise UnsupportedFormat(where=where, why=f"a VMDK of type {create_type!r}")
    if not extents:
        raise Malformed(where=where, why="its descriptor names no extent")
    pieces = [_piece(extent, neighbours, where) for extent in extents]
    sparse = any(extent.kind == "SPARSE" for extent in extents)
    return JoinedDisk("vmdk-split" if sparse or len(pieces) > 1 else "vmdk-flat", pieces, where)


def _piece(extent: Extent, neighbours: Neighbours, where: str) -> Piece:
    length = extent.sectors * SECTOR_BYTES
    if extent.kind == "ZERO":
        return Piece(None, 0, length)
    if extent.kind in FLAT:
        return Piece(
            RawDisk(neighbours.open(extent.name, where)), extent.begin * SECTOR_BYTES, length
        )
    if extent.kind == "SPARSE":
        return Piece(open_vmdk(neighbours.open(extent.name, where)), 0, length)
    raise UnsupportedFormat(where=where, why=f"a VMDK extent of type {extent.kind}")
