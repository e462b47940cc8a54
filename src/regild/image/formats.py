"""Formats of disk images, recognised by their first bytes, and how each is opened.

The format is told by magic numbers and never by a file's name. Where an image names another file
(a backing file, an extent, a parent), it is followed only inside the image's own folder, and never
from inside of an archive.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from regild.errors import Malformed, NotAnArchive, Truncated, UnsupportedFormat
from regild.image.disk import HEAD_BYTES, Disk
from regild.image.window import NO_HANDLE, Window, joined_window, open_window

if TYPE_CHECKING:
    from regild.image.neighbours import Neighbours

COMPRESSED = (b"\x1f\x8b\x08", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"BZh")
"""gzip, xz, zstd, bzip2; looked at here so that the common case loads nothing more."""


@dataclass(frozen=True, slots=True)
class Format:
    """How a format is recognised and opened: `magic` stands at `offset` of the file."""

    offset: int
    magic: bytes
    opened: Callable[[Window, Neighbours | None], Disk]


@contextlib.contextmanager
def open_disk(path: Path, offset: int = 0, length: int | None = None) -> Iterator[Disk]:
    """Open a disk image for reading, in place: a whole file or a part of one, such as an OVA's
    member.

    `offset` and `length` are in bytes. What no magic claims is a raw disk. The names of other files
    are followed only where the disk is a whole file. One that is compressed as a whole is unpacked
    into a file without a name.

    Raises: MissingFile, NotPermitted, Truncated, Malformed, TooLarge, UnsupportedFormat,
    ExternalFile, Encrypted.
    """
    with contextlib.ExitStack() as stack:
        window = stack.enter_context(open_window(path, offset, length))
        neighbours = _neighbours(path, window, stack)
        head = window.read(0, min(HEAD_BYTES, window.size))
        if head.startswith(COMPRESSED):
            yield disk_of(_unpacked(window, stack))
        else:
            yield disk_of(window, neighbours, head)


def further_files(path: Path) -> dict[str, bool]:
    """The names of the files beside a disk that its bytes lie in too, and whether each is only a
    part of it, as an extent is; a backing file or a parent is a disk by itself.

    Raises: as `open_disk`.
    """
    with contextlib.ExitStack() as stack:
        window = stack.enter_context(open_window(path))
        neighbours = _neighbours(path, window, stack)
        if neighbours is None or is_packed(path):
            return {}
        disk_of(window, neighbours)
        return neighbours.further


def is_packed(path: Path) -> bool:
    """Whether a file is compressed as a whole.

    Raises: as `open_window`.
    """
    with open_window(path) as window:
        return window.read(0, min(HEAD_BYTES, window.size)).startswith(COMPRESSED)


def _neighbours(path: Path, window: Window, stack: contextlib.ExitStack) -> Neighbours | None:
    """The door to the files beside a disk; none for a part of a file, and none for a device, beside
    which the machine's own disks lie."""
    if window.handle == NO_HANDLE or window.offset:
        return None
    if not stat.S_ISREG(os.fstat(window.handle).st_mode):
        return None
    if window.size != os.lseek(window.handle, 0, os.SEEK_END):
        return None
    from regild.image.neighbours import Neighbours

    return Neighbours(path, window, stack)


@contextlib.contextmanager
def open_parts(
    parts: Sequence[tuple[Path, int, int]], packed: bool = False, parent: Disk | None = None
) -> Iterator[Disk]:
    """Open a disk whose bytes lie in some (path, offset, length) behind one another.

    `packed` says that they are compressed, whatever with; a delta disk's `parent` is open already.

    Raises: as `open_disk`; DiskFull.
    """
    if len(parts) == 1 and not packed and parent is None:
        with open_disk(*parts[0]) as disk:
            yield disk
        return
    with open_plain(parts, packed) as window:
        if parent is None:
            yield disk_of(window)
        else:
            yield _delta(window, parent)


@contextlib.contextmanager
def open_plain(parts: Sequence[tuple[Path, int, int]], packed: bool) -> Iterator[Window]:
    """The bytes of a disk's file, one behind another and unpacked, in its own format.

    Raises: as `open_window`; Malformed, Truncated, TooLarge, UnsupportedFormat, DiskFull.
    """
    with contextlib.ExitStack() as stack:
        pieces = [stack.enter_context(open_window(*part)) for part in parts]
        window = joined_window(pieces, pieces[0].where)
        yield _unpacked(window, stack) if packed else window


def _unpacked(window: Window, stack: contextlib.ExitStack) -> Window:
    """What a compressed window holds, as a window of its own."""
    from regild.image.packed import kind_of, unpacked_window

    kind = kind_of(window.read(0, min(HEAD_BYTES, window.size)))
    if not kind:
        raise Malformed(where=window.where, why="it is not compressed in any way that is known")
    unpacked = unpacked_window(window, kind, stack)
    head = unpacked.read(0, min(HEAD_BYTES, unpacked.size))
    if head.startswith(COMPRESSED) or head[257:262] == b"ustar":
        why = f"it is an archive, or packed twice, inside of {kind}; unpack it first"
        raise UnsupportedFormat(where=window.where, why=why)
    return unpacked


def _delta(window: Window, parent: Disk) -> Disk:
    """A disk that keeps what differs from its parent; only VMDK is known to do so in a package."""
    from regild.image.vmdk import open_vmdk

    if window.read(0, min(HEAD_BYTES, window.size))[:4] != b"KDMV":
        raise UnsupportedFormat(where=window.where, why="a delta disk that is no sparse VMDK")
    return open_vmdk(window, parent)


def disk_of(
    window: Window, neighbours: Neighbours | None = None, head: bytes | None = None
) -> Disk:
    """The virtual disk that lies in a window; without `neighbours`, one that needs no other file.

    `head` is what the window begins with, where that is known already.

    Raises: as `open_disk`.
    """
    if window.size == 0:
        raise Truncated(where=window.where, why="it is empty")
    head = head or window.read(0, min(HEAD_BYTES, window.size))
    for candidate in FORMATS:
        if head[candidate.offset :].startswith(candidate.magic):
            return candidate.opened(window, neighbours)
    return _raw(window)


def _raw(window: Window) -> Disk:
    """A raw disk; a fixed VHD is one too, but for the footer behind it."""
    from regild.image.raw import RawDisk
    from regild.image.vhd import find_fixed_vhd

    return find_fixed_vhd(window) or RawDisk(window)


def _vmdk(window: Window, neighbours: Neighbours | None) -> Disk:
    from regild.image.vmdk import open_vmdk

    return open_vmdk(window, neighbours=neighbours)


def _vmdk_split(window: Window, neighbours: Neighbours | None) -> Disk:
    from regild.image.vmdk_split import open_descriptor

    return open_descriptor(window, neighbours)


def _qcow2(window: Window, neighbours: Neighbours | None) -> Disk:
    from regild.image.qcow2 import open_qcow2

    return open_qcow2(window, neighbours)


def _vhd(window: Window, neighbours: Neighbours | None) -> Disk:
    from regild.image.vhd import open_vhd

    return open_vhd(window, neighbours)


def _vhdx(window: Window, _neighbours: Neighbours | None) -> Disk:
    from regild.image.vhdx import open_vhdx

    return open_vhdx(window)


def _vdi(window: Window, _neighbours: Neighbours | None) -> Disk:
    from regild.image.vdi import open_vdi

    return open_vdi(window)


def _refuse(what: str) -> Callable[[Window, Neighbours | None], Disk]:
    def refuse(window: Window, _neighbours: Neighbours | None) -> Disk:
        raise UnsupportedFormat(where=window.where, why=f"it is {what}")

    return refuse


def _tar(window: Window, _neighbours: Neighbours | None) -> Disk:
    raise NotAnArchive(where=window.where, why="it is a tar archive where a disk was expected")


FORMATS: tuple[Format, ...] = (
    Format(0, b"KDMV", _vmdk),
    Format(0, b"QFI\xfb", _qcow2),
    Format(0, b"# Disk DescriptorFile", _vmdk_split),
    Format(0, b"COWD", _refuse("a COWD disk (ESX sparse extent)")),
    Format(0, b"SPARSE", _refuse("a SESparse disk")),
    Format(0, b"conectix", _vhd),
    Format(0, b"vhdxfile", _vhdx),
    Format(64, b"\x7f\x10\xda\xbe", _vdi),
    Format(0, b"QED\0", _refuse("a QED disk")),
    Format(0, b"PK\x03\x04", _refuse("a zip archive; unpack it first")),
    Format(257, b"ustar", _tar),
)
"""In order of trial."""
