"""What every virtual disk is to whoever reads it, whatever file format keeps it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

HEAD_BYTES = 512
"""What tells a format stands in so many bytes of a file's beginning."""


class Disk(Protocol):
    """A virtual disk that can be read at any place."""

    @property
    def size(self) -> int:
        """Bytes of the virtual disk."""

    @property
    def format(self) -> str:
        """A name of `FORMATS` and its kinds: `raw`, `qcow2`, `vmdk-stream`, `vmdk-sparse`,
        `vmdk-flat`, `vmdk-split`, `vhd`, `vhdx`, `vdi`; or `overlay`."""

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
