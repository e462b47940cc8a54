"""All that a mounted filesystem says of its files: what an inode holds, and what is kept beside."""

from __future__ import annotations

import array
import fcntl
import hashlib
import os
import stat
import struct
from dataclasses import dataclass
from pathlib import Path

GET_FLAGS, GET_XATTR, FIEMAP = 0x80086601, 0x801C581F, 0xC020660B
"""FS_IOC_GETFLAGS, FS_IOC_FSGETXATTR and FS_IOC_FIEMAP of linux/fs.h."""
XATTR = struct.Struct("<IIIII8x")
"""struct fsxattr: flags, extent size, extents, project, extent size for copies."""
OF_THE_CONTENT = 0x80000 | 0x10000000 | 0x20 << 16
"""EXT4_EXTENTS_FL and others that say how content is kept, not what was asked for."""
SHARED, LAST = 0x2000, 1
SECTOR = 512


@dataclass(frozen=True)
class Facts:
    """What a path is."""

    mode: str
    owner: tuple[int, int]
    bytes: int
    links: int
    target: str
    device: int
    digest: str
    attributes: tuple[tuple[str, bytes], ...]
    mtime_ns: int
    """0 where it is of the time at which the test ran."""
    flags: int
    """As chattr(1) has them."""
    project: tuple[int, int]
    """The project's number, and the flags and hints of XFS."""


def facts_below(root: Path, own: tuple[str, ...], since_ns: int) -> dict[str, Facts]:
    """Every path below a folder with what it is; times from `since_ns` on are left out."""
    found = {}
    for folder, names, files in os.walk(root):
        for name in [*names, *files]:
            path = f"{folder}/{name}".removeprefix(str(root))
            if not path.startswith(own):
                found[path] = _facts(f"{folder}/{name}", since_ns)
    return found


def _facts(place: str, since_ns: int) -> Facts:
    status = os.lstat(place)
    kind = stat.S_IFMT(status.st_mode)
    is_file = kind == stat.S_IFREG
    flags, project = _kept(place) if kind in (stat.S_IFREG, stat.S_IFDIR) else (0, (0, 0))
    names = os.listxattr(place, follow_symlinks=False)
    return Facts(
        oct(status.st_mode),
        (status.st_uid, status.st_gid),
        status.st_size if is_file else 0,
        0 if kind == stat.S_IFDIR else status.st_nlink,
        str(Path(place).readlink()) if kind == stat.S_IFLNK else "",
        status.st_rdev,
        hashlib.sha256(Path(place).read_bytes()).hexdigest() if is_file else "",
        tuple((one, os.getxattr(place, one, follow_symlinks=False)) for one in sorted(names)),
        status.st_mtime_ns if status.st_mtime_ns < since_ns else 0,
        flags,
        project,
    )


def _kept(place: str) -> tuple[int, tuple[int, int]]:
    """What a filesystem keeps besides: flags, and the project with its flags."""
    handle = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NOATIME)
    try:
        flags = array.array("l", [0])
        fcntl.ioctl(handle, GET_FLAGS, flags)
        raw = bytearray(XATTR.size)
        fcntl.ioctl(handle, GET_XATTR, raw)
        xflags, hint, _extents, project, _copies = XATTR.unpack(raw)
        return flags[0] & ~OF_THE_CONTENT, (project, xflags & 0xFFFF | hint << 16)
    finally:
        os.close(handle)


def holes(place: Path) -> tuple[tuple[int, int], ...]:
    """Where a file has no content at all: (offset, length), by lseek(2)."""
    found, at, size = [], 0, place.stat().st_size
    handle = os.open(place, os.O_RDONLY)
    try:
        while at < size:
            begin = os.lseek(handle, at, os.SEEK_HOLE)
            if begin >= size:
                break
            try:
                at = os.lseek(handle, begin, os.SEEK_DATA)
            except OSError:  # ENXIO: nothing but a hole
                at = size
            found.append((begin, at - begin))
    finally:
        os.close(handle)
    return tuple(found)


def shared_bytes(place: Path) -> int:
    """How much of a file's content lies in blocks that another file has too (FIEMAP)."""
    head = struct.Struct("<QQIIII")
    extent = struct.Struct("<QQQQQIIII")
    count = 512
    raw = bytearray(head.size + count * extent.size)
    head.pack_into(raw, 0, 0, (1 << 64) - 1, 1, 0, count, 0)
    with place.open("rb") as file:
        fcntl.ioctl(file, FIEMAP, raw, True)
    mapped = head.unpack_from(raw)[3]
    rows = [extent.unpack_from(raw, head.size + number * extent.size) for number in range(mapped)]
    return sum(row[2] for row in rows if row[5] & SHARED)
