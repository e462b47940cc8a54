"""Paths that were followed to their end before, and are opened only if they still lead there.

Between looking where a name leads and opening it, somebody who may write to a folder on the way
could put a symlink in its place. Here each part is opened by its parent's handle and is never a
symlink (openat(2), O_NOFOLLOW), so that what is opened lies where was looked.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path, PosixPath
from typing import IO, Any

from regild.errors import UnsafeName

_CHANGED = (errno.ELOOP, errno.ENOTDIR)


class ExactPath(PosixPath):
    """A path without symlinks, as `resolve` gives it; opening it for reading follows none."""

    def open(  # type: ignore[override]  # what pathlib declares is every mode apart
        self,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> IO[Any]:
        """As `Path.open`, but an error where a part of the path became a symlink.

        Raises: UnsafeName, OSError.
        """

        def opener(_path: str, flags: int) -> int:
            return open_exact(self, flags)

        return open(self, mode, buffering, encoding, errors, newline, opener=opener)


def open_exact(path: Path, flags: int) -> int:
    """A handle of what an absolute path without symlinks leads to; close it after use.

    Raises: UnsafeName when a part of it is a symlink by now, OSError.
    """
    *folders, name = path.parts[1:]
    step = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(path.anchor, step)
    try:
        for folder in folders:
            inner = os.open(folder, step, dir_fd=handle)
            os.close(handle)
            handle = inner
        return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=handle)
    except OSError as error:
        if error.errno not in _CHANGED:
            raise
        why = "a part of its path became a link after it was looked at"
        raise UnsafeName(where=str(path), why=why) from error
    finally:
        os.close(handle)
