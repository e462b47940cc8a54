"""Files of a guest's tree, read without following a link on the way."""

from __future__ import annotations

import os
from pathlib import Path


def is_plain(tree: Path, place: str) -> bool:
    """Whether a regular file lies at a place, and no link on the way there."""
    path = str(tree)
    for name in place.strip("/").split("/"):
        path = f"{path}/{name}"
        if os.path.islink(path):
            return False
    return os.path.isfile(path)


def read_plain(tree: Path, place: str, limit: int) -> bytes | None:
    """A file of the guest; None where there is none, a link that could lead elsewhere, or more than
    `limit` bytes."""
    if not is_plain(tree, place):
        return None
    handle = os.open(f"{tree}{place}", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        content = file.read(limit + 1)
    return content if len(content) <= limit else None
