"""The free room of a filesystem, from its superblock.

Sources: ext2fs/ext2_fs.h of e2fsprogs; xfs_dsb in fs/xfs/libxfs/xfs_format.h (counters are whole
after an unmount); btrfs_super_block in include/uapi/linux/btrfs_tree.h.
"""

from __future__ import annotations

import struct

from regild.image.disk import Disk
from regild.image.tree import Mount
from regild.image.unclean import EXT_CLEAN, EXT_RECOVER
from regild.model.content import VolumeSpace

_BTRFS_AT = 65536
_XFS_INODES_A_BLOCK = 2
"""Of 2 KiB in blocks of 4 KiB, the fewest that there are."""


def space_of(disk: Disk, mount: Mount) -> VolumeSpace | None:
    """What a mounted filesystem has free; None where that is not known here.

    Raises: Truncated, Malformed.
    """
    if mount.volume.filesystem.startswith("ext"):
        return _ext(disk, mount)
    if mount.volume.filesystem == "xfs":
        return _xfs(disk, mount)
    return _btrfs(disk, mount) if mount.volume.filesystem == "btrfs" else None


def _xfs(disk: Disk, mount: Mount) -> VolumeSpace:
    superblock = disk.read(mount.volume.offset, 512)
    block, blocks = struct.unpack_from(">IQ", superblock, 4)
    free_inodes, free = struct.unpack_from(">QQ", superblock, 136)
    # Inodes are made of free blocks as they are needed.
    return _space(mount, block, blocks, free, free_inodes + free * _XFS_INODES_A_BLOCK)


def _btrfs(disk: Disk, mount: Mount) -> VolumeSpace:
    """As an upper bound: what is given to metadata cannot take contents."""
    superblock = disk.read(mount.volume.offset + _BTRFS_AT, 4096)
    total, used = struct.unpack_from("<QQ", superblock, 0x70)
    block = struct.unpack_from("<I", superblock, 0x90)[0] or 4096
    free = max(total - used, 0) // block
    return _space(mount, block, total // block, free, free)


def _space(mount: Mount, block: int, blocks: int, free: int, inodes: int) -> VolumeSpace:
    volume = mount.volume
    return VolumeSpace(
        mount=mount.path,
        volume=f"UUID={volume.uuid}",
        filesystem=volume.filesystem,
        block_bytes=block,
        blocks=blocks,
        free_blocks=free,
        reserved_blocks=0,
        free_inodes=inodes,
        dirty=False,
    )


def _ext(disk: Disk, mount: Mount) -> VolumeSpace:
    volume = mount.volume
    superblock = disk.read(volume.offset + 1024, 1024)
    blocks, reserved, free, free_inodes, _first, log_block = struct.unpack_from(
        "<6I", superblock, 4
    )
    state = struct.unpack_from("<H", superblock, 0x3A)[0]
    incompatible = struct.unpack_from("<I", superblock, 0x60)[0]
    if incompatible & 0x80:
        high = struct.unpack_from("<III", superblock, 0x150)
        blocks, reserved, free = (
            low | above << 32 for low, above in zip((blocks, reserved, free), high, strict=True)
        )
    return VolumeSpace(
        mount=mount.path,
        volume=f"UUID={volume.uuid}",
        filesystem=volume.filesystem,
        block_bytes=1024 << log_block,
        blocks=blocks,
        free_blocks=free,
        reserved_blocks=reserved,
        free_inodes=free_inodes,
        dirty=bool(incompatible & EXT_RECOVER) or not state & EXT_CLEAN,
    )
