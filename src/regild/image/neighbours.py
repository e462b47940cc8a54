"""The files beside a disk image that it may name: extents, backing files.

A name is followed inside the image's own folder only: never a path, never a symlink, never the same
file twice, and never more than a fixed number of files. A disk inside of an archive has none.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from regild.errors import ExternalFile, Malformed, TooLarge
from regild.image.window import Window, open_window

MAX_FILES = 256
"""A split VMDK of 2 GiB extents of half a tebibyte; each takes a file descriptor."""


class Neighbours:
    """Opens files of one folder by their bare names; `stack` closes them."""

    def __init__(self, folder: Path, first: Window, stack: contextlib.ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._seen = {_identity(first)}
        self._depth = 0

    def deeper(self, where: str, limit: int) -> Neighbours:
        """One more file in a chain of at most `limit`.

        Raises: TooLarge.
        """
        self._depth += 1
        if self._depth > limit:
            raise TooLarge(where=where, why=f"its chain of backing files is longer than {limit}")
        return self

    def open(self, name: str, where: str) -> Window:
        """Open a file that the image `where` names.

        Raises: ExternalFile for a name that is a path and for a symlink, Malformed when the file is
        in use already, as in a cycle, TooLarge, MissingFile, NotPermitted.
        """
        if not name or "/" in name or "\\" in name or name in (".", "..") or not name.isprintable():
            raise ExternalFile(where=where, why=f"{name[:80]!r} is no plain name in its folder")
        if len(self._seen) >= MAX_FILES:
            raise TooLarge(where=where, why=f"it consists of more than {MAX_FILES} files")
        path = self._folder / name
        if path.is_symlink():
            raise ExternalFile(where=where, why=f"{name[:80]!r} is a symlink")
        window = self._stack.enter_context(open_window(path, linked=False))
        identity = _identity(window)
        if identity in self._seen:
            raise Malformed(where=where, why=f"its chain of files comes to {name[:80]!r} twice")
        self._seen.add(identity)
        return window


def _identity(window: Window) -> tuple[int, int]:
    status = os.fstat(window.handle)
    return status.st_dev, status.st_ino
