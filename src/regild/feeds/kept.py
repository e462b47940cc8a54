"""What was made of a verified file of the cache, kept beside it for whoever reads it next."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from regild.host.files import mark_used, write_whole

T = TypeVar("T")


def keep_made(kept: Path, read: Callable[[bytes], T], make: Callable[[], T]) -> T:
    """What was kept under a path; made anew, and kept, where nothing is there that can be read.

    `read` is that of a decoder of MessagePack.

    Raises: whatever `make` raises; NotPermitted, DiskFull.
    """
    try:
        found = read(kept.read_bytes())
    except (OSError, msgspec.DecodeError):
        made = make()
        write_whole(kept, msgspec.msgpack.encode(made))
        return made
    mark_used(kept)
    return found
