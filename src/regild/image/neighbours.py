"""The files beside a disk image that it may name: extents, backing files.

A name is followed inside the image's own folder only: never a path, never a symlink, never a
device, never the same file twice, and never more than a fixed number of files. The folder is held
open, so that nobody can put another in its place meanwhile. A disk inside of an archive has none.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

from regild.errors import ExternalFile, Malformed, TooLarge
from regild.host.files import translated
from regild.image.window import OPEN_FLAGS, Window, window_of

MAX_FILES = 256
"""A split VMDK of 2 GiB extents of half a tebibyte; each takes a file descriptor."""
MAX_CHAIN = 16
"""Files of which each is the difference to the next."""


class Neighbours:
    """Opens files of one folder by their bare names; `stack` closes them."""

    def __init__(self, image: Path, first: Window, stack: contextlib.ExitStack) -> None:
        self._folder = image.parent
        self._image = image.name
        self._first = first
        self._stack = stack
        self._handle: int | None = None
        self._seen = {_identity(os.fstat(first.handle))}
        self._depth = 0
        self.further: dict[str, bool] = {}
        """The names that were opened; whether what has the name is only a part of the disk."""

    def deeper(self, where: str, limit: int) -> Neighbours:
        """One more file in a chain of at most `limit`.

        Raises: TooLarge.
        """
        self._depth += 1
        if self._depth > limit:
            raise TooLarge(where=where, why=f"its chain of files is longer than {limit}")
        return self

    def open(self, name: str, where: str, part: bool = False) -> Window:
        """Open a file that the image `where` names; `part` says that it is no disk by itself.

        Raises: ExternalFile for a name that is a path, a symlink or a device, Malformed when the
        file is in use already, as in a cycle, TooLarge, MissingFile, NotPermitted.
        """
        if not name or "/" in name or "\\" in name or name in (".", "..") or not name.isprintable():
            raise ExternalFile(where=where, why=f"{name[:80]!r} is no plain name in its folder")
        if len(self._seen) >= MAX_FILES:
            raise TooLarge(where=where, why=f"it consists of more than {MAX_FILES} files")
        path = self._folder / name
        handle = self._opened(path, where)
        window = self._stack.enter_context(window_of(handle, path))
        identity = _identity(os.fstat(handle))
        if identity in self._seen:
            raise Malformed(where=where, why=f"its chain of files comes to {name[:80]!r} twice")
        self._seen.add(identity)
        self.further[name] = part
        return window

    def _opened(self, path: Path, where: str) -> int:
        """A handle of a regular file in the folder."""
        with translated(path):
            try:
                flags = OPEN_FLAGS | os.O_NOFOLLOW
                handle = os.open(path.name, flags, dir_fd=self._opened_folder(where))
            except OSError as error:
                if error.errno != errno.ELOOP:
                    raise
                why = f"{path.name[:80]!r} is a symlink"
                raise ExternalFile(where=where, why=why) from error
        # Whose disk this is may choose the name, and beside a device lie those of the machine.
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise ExternalFile(where=where, why=f"{path.name[:80]!r} is no regular file")
        return handle

    def _opened_folder(self, where: str) -> int:
        """The folder in which the image is by the name that it was opened by.

        Raises: ExternalFile when that is another folder than it was.
        """
        if self._handle is None:
            handle = os.open(self._folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            self._stack.callback(os.close, handle)
            there = os.stat(self._image, dir_fd=handle)
            if _identity(there) != _identity(os.fstat(self._first.handle)):
                why = "the image was replaced while it was opened"
                raise ExternalFile(where=where, why=why)
            self._handle = handle
        return self._handle


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
