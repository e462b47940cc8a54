"""The files that one stage of a change leaves in the job's folder for the next, read with care: the
folder may be the guest root's, and what lies there may be anything."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final, TypeVar

from regild.errors import Malformed, TooLarge
from regild.model.json import from_json

T = TypeVar("T")

BYTES_MAX: Final = 1 << 30
"""Of one file. An entry of a record takes some 600 bytes, and a new release of a whole desktop
touches under 400,000 paths: a quarter of this."""


def read_paper(kind: type[T], path: Path, where: str) -> T:
    """A value that a stage left as JSON.

    Raises: Malformed where it is none, is no plain file or is not there; TooLarge.
    """
    return from_json(kind, read_left(path), where)


def read_left(path: Path) -> bytes:
    """The bytes of a file that a stage left; no link is followed to it, no pipe waited for.

    Raises: Malformed, TooLarge.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Malformed(where=path.name, why=error.strerror or "it cannot be read") from error
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise Malformed(where=path.name, why="it is not a file")
        if status.st_size > BYTES_MAX:
            raise TooLarge(where=path.name, why=f"it holds more than {BYTES_MAX} bytes")
        # Python sets aside as much memory as is asked for: what is there, and a byte that tells
        # whether it grows.
        content = file.read(status.st_size + 1)
    if len(content) != status.st_size:
        raise Malformed(where=path.name, why="it changes while it is read")
    return content
