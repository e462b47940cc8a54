"""Where a part of a virtual disk lies in a file as it is, so that a new file can share it."""

from __future__ import annotations

from regild.image.disk import Disk
from regild.image.longer import Longer
from regild.image.overlay import Overlay
from regild.image.raw import RawDisk
from regild.image.window import NO_HANDLE


def place_of(disk: Disk | Overlay, offset: int, length: int) -> tuple[int, int] | None:
    """The file (by its handle) that holds some bytes of a disk one behind the other, and where
    they begin in it; None where no file does."""
    if isinstance(disk, Overlay):
        held = disk.holds(offset, length)
        if held is None:
            return None
        return (disk.handle, offset) if held else place_of(disk.base, offset, length)
    if isinstance(disk, Longer):
        return place_of(disk.base, offset, length) if offset + length <= disk.base.size else None
    if isinstance(disk, RawDisk) and disk.window.handle != NO_HANDLE:
        return disk.window.handle, disk.window.offset + offset
    return None
