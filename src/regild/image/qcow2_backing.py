"""The backing file of a qcow2 image, followed by a bare name and a format that the image states.

QEMU's docs/interop/qcow2.txt, "Header extensions". A format that is not stated is not guessed: the
guest can write any magic number into a raw backing file.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from regild.errors import ExternalFile, Malformed
from regild.image.disk import Disk
from regild.image.raw import RawDisk
from regild.image.window import Window

if TYPE_CHECKING:
    from regild.image.neighbours import Neighbours

MAX_NAME_BYTES = 1023
_BACKING_FORMAT = 0xE2792ACA
_SHORT_HEADER = 72
MAX_EXTENSIONS = 32


def open_backing(window: Window, version: int, neighbours: Neighbours | None) -> Disk:
    """Open the backing file of the image in a window.

    Raises: ExternalFile for a name or a format that is not followed, Malformed for a cycle, and
    whatever the backing file's own format raises.
    """
    where = window.where
    at, length = struct.unpack_from(">QI", window.read(8, 12))
    if neighbours is None:
        raise ExternalFile(where=where, why="it depends on a backing file")
    if not 0 < length <= MAX_NAME_BYTES:
        raise Malformed(where=where, why=f"the name of its backing file takes {length} bytes")
    name = window.read(at, length).decode("utf-8", "replace")
    form = _format(window, version, at)
    if form == "raw":
        return RawDisk(neighbours.open(name, where))
    if form == "qcow2":
        from regild.image.neighbours import MAX_CHAIN
        from regild.image.qcow2 import open_qcow2

        return open_qcow2(neighbours.deeper(where, MAX_CHAIN).open(name, where), neighbours)
    what = f"format {form!r}" if form else "a format that it does not state"
    raise ExternalFile(where=where, why=f"its backing file {name[:80]!r} is of {what}")


def _format(window: Window, version: int, end: int) -> str:
    """The stated format of the backing file; empty where none is stated."""
    at = _SHORT_HEADER
    if version > 2:
        at = int.from_bytes(window.read(100, 4), "big")
    for _count in range(MAX_EXTENSIONS):
        if at + 8 > end:
            return ""
        kind, length = struct.unpack(">II", window.read(at, 8))
        if kind == 0:
            return ""
        if kind == _BACKING_FORMAT and length <= 32:
            return window.read(at + 8, length).decode("latin-1")
        at += 8 + -(-length // 8) * 8
    return ""
