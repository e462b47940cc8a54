"""Whether a filesystem was put away as it should be: what its journal still holds was not read.

Nothing is replayed. A filesystem that waits for that is said to be unclean, so that nobody takes
what is read of it for the last word. Sources stand at each format.
"""

from __future__ import annotations

import struct

from regild.errors import InputError, RegildError
from regild.image.disk import Disk
from regild.image.filesystems import Filesystem
from regild.image.volumes import Volume
from regild.image.xfs_log import is_clean

EXT_RECOVER = 0x4
EXT_CLEAN = 0x1
EXT_ERRORS = 0x2

_BTRFS_LOG_AT = 65536 + 0x60
"""Where a btrfs says where its log tree is; zeros where it has none."""
_NTFS_DIRTY = 0x1
"""VOLUME_IS_DIRTY (libfsntfs, "$VOLUME_INFORMATION")."""
_HIBERNATED = (b"hibr", b"HIBR", b"wake", b"WAKE", b"rstr", b"RSTR")
"""How hiberfil.sys begins while its memory is still to be restored."""
_HFS_UNMOUNTED, _HFS_INCONSISTENT, _HFS_JOURNALED = 0x100, 0x800, 0x2000
"""Volume attributes (Apple Technical Note TN1150, "Volume Attributes")."""


def whys_unclean(disk: Disk, volume: Volume, filesystem: Filesystem | None) -> tuple[str, ...]:
    """Why what is read of a volume may not be its last word; nothing where all is well.

    Raises: InputError when its superblock cannot be read.
    """
    kind = volume.filesystem
    if kind.startswith("ext"):
        return _ext(disk, volume)
    if kind == "xfs" and not _xfs_is_clean(disk, volume):
        return (_unclean("log"),)
    if kind == "btrfs" and any(disk.read(volume.offset + _BTRFS_LOG_AT, 8)):
        return (_unclean("log"),)
    if kind == "ntfs" and filesystem is not None:
        return _ntfs(filesystem)
    if kind == "hfsplus":
        return _hfsplus(disk, volume)
    return ()


def _unclean(what: str) -> str:
    return f"it was not shut down cleanly; its {what} holds changes that were not read"


def _ext(disk: Disk, volume: Volume) -> tuple[str, ...]:
    superblock = disk.read(volume.offset + 1024, 1024)
    state = struct.unpack_from("<H", superblock, 0x3A)[0]
    incompatible = struct.unpack_from("<I", superblock, 0x60)[0]
    whys = ("it is marked as damaged; fsck has to look at it",) if state & EXT_ERRORS else ()
    dirty = incompatible & EXT_RECOVER or not state & EXT_CLEAN
    return (*whys, _unclean("journal")) if dirty else whys


def _xfs_is_clean(disk: Disk, volume: Volume) -> bool:
    try:
        return is_clean(lambda at, length: disk.read(volume.offset + at, length))
    except InputError:
        return False


def _ntfs(filesystem: Filesystem) -> tuple[str, ...]:
    whys = []
    flags = filesystem.ntfs_flags
    if flags is None or flags & _NTFS_DIRTY:
        whys.append("it is marked as dirty; chkdsk has to look at it")
    try:
        found = filesystem.child(filesystem.root, "hiberfil.sys")
        head = filesystem.part(found, 0, 4) if found is not None else b""
    except RegildError as error:
        return (*whys, f"whether Windows sleeps on it cannot be read: {error}")
    if head in _HIBERNATED:
        whys.append("Windows sleeps on it: its memory holds changes that were not read")
    return tuple(whys)


def _hfsplus(disk: Disk, volume: Volume) -> tuple[str, ...]:
    attributes = struct.unpack_from(">I", disk.read(volume.offset + 1024, 512), 4)[0]
    if attributes & _HFS_INCONSISTENT or not attributes & _HFS_UNMOUNTED:
        return (_unclean("journal" if attributes & _HFS_JOURNALED else "cache"),)
    return ()
