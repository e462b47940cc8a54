"""Copies that share their blocks with what they were made of, where the filesystem has that.

Btrfs and XFS keep one copy of blocks that several files hold, until one of the files is written.
Source: ioctl_ficlonerange(2).
"""

from __future__ import annotations

import fcntl
import struct
from typing import Final

FICLONERANGE: Final = 0x4020940D
"""_IOW(0x94, 13, struct file_clone_range), linux/fs.h."""
_RANGE: Final = struct.Struct("<qQQQ")


class Sharing:
    """Tries to share blocks, until it is known that they cannot be."""

    def __init__(self) -> None:
        self._works = True

    def share(self, source: int, offset: int, target: int, to: int, length: int) -> bool:
        """Have `length` bytes of the file `target` from `to` on be those of the file `source` from
        `offset` on; whether they are now. Where they are not nothing was written, and whoever
        asks copies: another filesystem, one that cannot share, or places between its blocks."""
        if not self._works:
            return False
        try:
            fcntl.ioctl(target, FICLONERANGE, _RANGE.pack(source, offset, length, to))
        except OSError:
            self._works = False
        return self._works
