"""A part of a file, read in place by position; every byte that is read is counted.

Disks are read where they lie, also as a member of an OVA (an uncompressed tar) or on a server, so a
disk's bytes are a window into a file and never a file of their own.
"""

from __future__ import annotations

import bisect
import contextlib
import io
import itertools
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from regild.errors import HostError, Malformed, Truncated
from regild.host.exact import ExactPath, open_exact
from regild.host.files import translated
from regild.host.remote import RemoteFile, address_of, open_remote

NO_HANDLE = -1
OPEN_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
"""Not waiting, because a pipe would let us wait for a writer that never comes."""
_NOT_A_DISK = {
    stat.S_IFDIR: "a folder, not a disk image",
    stat.S_IFIFO: "a pipe, not a disk image",
    stat.S_IFCHR: "a character device, not a disk image",
    stat.S_IFSOCK: "a socket, not a disk image",
}


class Window:
    """A span of an open file. `size` is its length in bytes, `offset` where it begins."""

    def __init__(self, handle: int, where: str, offset: int, size: int) -> None:
        self.handle = handle
        self.where = where
        self.offset = offset
        self.size = size
        self.bytes_read = 0

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`, counted from the window's begin.

        Raises: Truncated when the window or the file ends before, HostError when this machine
        cannot read it.
        """
        if offset < 0 or length < 0 or offset + length > self.size:
            why = f"{length} bytes at {offset} are needed, and it holds {self.size}"
            raise Truncated(where=self.where, why=why)
        try:
            content = os.pread(self.handle, length, self.offset + offset)
        except OSError as error:
            raise HostError(where=f"the reading of {self.where}", why=str(error)) from error
        self.bytes_read += len(content)
        return content if len(content) == length else self._rest(content, offset, length)

    def part(self, offset: int, size: int) -> Window:
        """A part of the window as one of its own."""
        return Window(self.handle, self.where, self.offset + offset, size)

    def _rest(self, content: bytes, offset: int, length: int) -> bytes:
        """Go on after a read that gave less than was asked for (over 2 GiB, or the file shrank)."""
        parts = [content]
        done = len(content)
        while done < length:
            more = os.pread(self.handle, length - done, self.offset + offset + done)
            if not more:
                why = f"it became shorter while it was read: {length} bytes at {offset} are needed"
                raise Truncated(where=self.where, why=why)
            self.bytes_read += len(more)
            parts.append(more)
            done += len(more)
        return b"".join(parts)


class DistantWindow(Window):
    """A span of bytes that no one file of this machine holds: `read` of a remote file, or of
    several files behind one another. Its `handle` is NO_HANDLE."""

    def __init__(
        self, read: Callable[[int, int], bytes], where: str, offset: int, size: int
    ) -> None:
        super().__init__(NO_HANDLE, where, offset, size)
        self._read = read

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`, counted from the window's begin.

        Raises: Truncated, and what its source raises.
        """
        if offset < 0 or length < 0 or offset + length > self.size:
            why = f"{length} bytes at {offset} are needed, and it holds {self.size}"
            raise Truncated(where=self.where, why=why)
        content = self._read(self.offset + offset, length)
        self.bytes_read += len(content)
        return content

    def part(self, offset: int, size: int) -> Window:
        """A part of the window as one of its own."""
        return DistantWindow(self._read, self.where, self.offset + offset, size)


class WindowStream(io.RawIOBase):
    """A window as Python reads files, from its begin to its end."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._at = 0

    def readable(self) -> bool:
        """It is there to be read."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """The next bytes; fewer only at the end."""
        left = self._window.size - self._at
        count = left if size is None or size < 0 else min(size, left)
        content = self._window.read(self._at, count)
        self._at += count
        return content


def joined_window(pieces: Sequence[Window], where: str) -> Window:
    """Several windows behind one another, as one; a single one is itself."""
    if len(pieces) == 1:
        return pieces[0]
    starts = [0, *itertools.accumulate(piece.size for piece in pieces)]

    def read(offset: int, length: int) -> bytes:
        """Bytes that may come from several of the pieces."""
        parts = []
        while length:
            number = bisect.bisect_right(starts, offset) - 1
            count = min(length, starts[number + 1] - offset)
            parts.append(pieces[number].read(offset - starts[number], count))
            offset, length = offset + count, length - count
        return b"".join(parts)

    return DistantWindow(read, where, 0, starts[-1])


@contextlib.contextmanager
def open_window(path: Path, offset: int = 0, length: int | None = None) -> Iterator[Window]:
    """Open a part of a file for reading; without `length`, all from `offset` to its end.

    Raises: MissingFile, NotPermitted, Truncated when the file is shorter, Malformed when it is no
    file at all, UnsafeName for an `ExactPath` that leads elsewhere by now; for an address as
    `open_remote`.
    """
    if address := address_of(path):
        yield _remote_window(open_remote(address), offset, length)
        return
    with translated(path):
        exact = isinstance(path, ExactPath)
        handle = open_exact(path, OPEN_FLAGS) if exact else os.open(path, OPEN_FLAGS)
    with window_of(handle, path, offset, length) as window:
        yield window


@contextlib.contextmanager
def window_of(
    handle: int, path: Path, offset: int = 0, length: int | None = None
) -> Iterator[Window]:
    """A part of a file that was opened as `path`; its handle is closed at the end.

    Raises: Truncated when the file is shorter, Malformed when it is no file at all.
    """
    try:
        kind = os.fstat(handle).st_mode
        if not stat.S_ISREG(kind) and not stat.S_ISBLK(kind):
            raise Malformed(where=str(path), why=f"it is {_NOT_A_DISK.get(stat.S_IFMT(kind), '?')}")
        # lseek and not fstat, because a block device has no size in its inode.
        try:
            end = os.lseek(handle, 0, os.SEEK_END)
        except OSError as error:  # some of /proc, which calls itself a plain file
            raise Malformed(where=str(path), why="it has no size") from error
        size = end - offset if length is None else length
        if offset < 0 or size < 0 or offset + size > end:
            why = f"its bytes {offset} to {offset + size} are needed, and it holds {end}"
            raise Truncated(where=str(path), why=why)
        yield Window(handle, str(path), offset, size)
    finally:
        os.close(handle)


def _remote_window(file: RemoteFile, offset: int, length: int | None) -> Window:
    """A part of a remote file."""
    size = file.size - offset if length is None else length
    if offset < 0 or size < 0 or offset + size > file.size:
        why = f"its bytes {offset} to {offset + size} are needed, and it holds {file.size}"
        raise Truncated(where=file.address, why=why)
    return DistantWindow(file.read, file.address, offset, size)
