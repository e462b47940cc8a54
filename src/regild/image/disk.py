"""A virtual disk as bytes, whatever file format keeps it, recognised by its first bytes.

The format is told by magic numbers and never by a file's name. A file that needs another file
(backing file, external extent, parent) is refused: what an image names is not followed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from regild.errors import ExternalFile, NotAnArchive, Truncated, UnsupportedFormat
from regild.image.window import Window, open_window

HEAD_BYTES = 512


class Disk(Protocol):
    """A virtual disk that can be read at any place."""

    @property
    def size(self) -> int:
        """Bytes of the virtual disk."""

    @property
    def format(self) -> str:
        """`raw`, `qcow2`, `vmdk-stream`, `vmdk-sparse` or `overlay`."""

    @property
    def bytes_read(self) -> int:
        """Bytes read from the file so far."""

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes; what is not allocated reads as zeros.

        Raises: Truncated outside of the disk or when the file is cut off, Malformed.
        """

    def extents(self) -> Iterator[tuple[int, int]]:
        """The allocated (offset, length), ascending and apart; the rest reads as zeros.

        Raises: Truncated, Malformed.
        """


@dataclass(frozen=True, slots=True)
class Format:
    """How a format is recognised and opened: `magic` stands at `offset` of the file."""

    offset: int
    magic: bytes
    opened: Callable[[Window], Disk]


@contextlib.contextmanager
def open_disk(path: Path, offset: int = 0, length: int | None = None) -> Iterator[Disk]:
    """Open a disk image for reading, in place: a whole file or a part of one, such as an OVA's
    member.

    `offset` and `length` are in bytes. What no magic claims is a raw disk.

    Raises: MissingFile, NotPermitted, Truncated, Malformed, TooLarge, UnsupportedFormat,
    ExternalFile, Encrypted.
    """
    with open_window(path, offset, length) as window:
        yield disk_of(window)


def disk_of(window: Window) -> Disk:
    """The virtual disk that lies in a window.

    Raises: as `open_disk`.
    """
    if window.size == 0:
        raise Truncated(where=window.where, why="it is empty")
    head = window.read(0, min(HEAD_BYTES, window.size))
    for candidate in FORMATS:
        if head[candidate.offset :].startswith(candidate.magic):
            return candidate.opened(window)
    return _raw(window)


def _raw(window: Window) -> Disk:
    from regild.image.raw import RawDisk

    return RawDisk(window)


def _vmdk(window: Window) -> Disk:
    from regild.image.vmdk import open_vmdk

    return open_vmdk(window)


def _qcow2(window: Window) -> Disk:
    from regild.image.qcow2 import open_qcow2

    return open_qcow2(window)


def _refuse(what: str) -> Callable[[Window], Disk]:
    def refuse(window: Window) -> Disk:
        raise UnsupportedFormat(where=window.where, why=f"it is {what}")

    return refuse


def _descriptor_file(window: Window) -> Disk:
    raise ExternalFile(where=window.where, why="it is a VMDK descriptor whose data lie elsewhere")


def _tar(window: Window) -> Disk:
    raise NotAnArchive(where=window.where, why="it is a tar archive where a disk was expected")


FORMATS: tuple[Format, ...] = (
    Format(0, b"KDMV", _vmdk),
    Format(0, b"QFI\xfb", _qcow2),
    Format(0, b"# Disk DescriptorFile", _descriptor_file),
    Format(0, b"COWD", _refuse("a COWD disk (ESX sparse extent)")),
    Format(0, b"SPARSE", _refuse("a SESparse disk")),
    Format(0, b"conectix", _refuse("a VHD disk")),
    Format(0, b"vhdxfile", _refuse("a VHDX disk")),
    Format(64, b"\x7f\x10\xda\xbe", _refuse("a VDI disk")),
    Format(0, b"QED\0", _refuse("a QED disk")),
    Format(0, b"\x1f\x8b\x08", _refuse("compressed with gzip; unpack it first")),
    Format(0, b"\xfd7zXZ\0", _refuse("compressed with xz; unpack it first")),
    Format(0, b"\x28\xb5\x2f\xfd", _refuse("compressed with zstd; unpack it first")),
    Format(0, b"BZh", _refuse("compressed with bzip2; unpack it first")),
    Format(0, b"PK\x03\x04", _refuse("a zip archive; unpack it first")),
    Format(257, b"ustar", _tar),
)
"""In order of trial."""
