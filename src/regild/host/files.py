"""Files of this machine: written whole or not at all, read with a limit, hashed as they pass."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from regild.errors import (
    DiskFull,
    HostError,
    MissingFile,
    NotPermitted,
    PublishError,
    TargetExists,
    TooLarge,
)
from regild.model.digest import Digest

CHUNK_BYTES = 1 << 20
NAME_BYTES = 255
"""NAME_MAX of Linux (limits.h)."""


@contextlib.contextmanager
def open_new(path: Path, *, replace: bool = True) -> Iterator[IO[bytes]]:
    """Write a file that appears under its name only when all of it is on the disk.

    The bytes go to a file without a name (open(2), O_TMPFILE) in the same folder, so that a
    process that is killed leaves nothing behind. It gets its name when it is whole; to replace
    a file takes a hidden name for a moment, and the next writer removes one that was left. On any
    error `path` stays as it was. All happens in the folder that `path` led to at first, whatever
    becomes of the names on the way there; a symlink that stands under the name is replaced, not
    followed. Without `replace`, a file that came there meanwhile is an error. A device, a pipe, a
    socket or a folder is never replaced: root could take /dev/null from the whole machine.

    Raises: DiskFull, NotPermitted, MissingFile, TargetExists, PublishError.
    """
    with translated(path.parent), opened_folder(path.parent) as folder:
        _check_replaceable(folder, path)
        _sweep(folder, path.name)
        handle, hidden = _nameless(folder, path.name)
        try:
            with os.fdopen(handle, "w+b") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
                if hidden is not None or not _link(file.fileno(), folder, path.name):
                    if _check_replaceable(folder, path) and not replace:
                        raise TargetExists(where=str(path), why="it came there meanwhile")
                    hidden = hidden or _linked_aside(file.fileno(), folder, path.name)
                    os.rename(hidden, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            if hidden is not None:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(hidden, dir_fd=folder)
            raise
        os.fsync(folder)


@contextlib.contextmanager
def opened_folder(path: Path | str, parent: int | None = None) -> Iterator[int]:
    """A folder by its handle, which stays the same whatever becomes of its name; one by its bare
    name inside of `parent`, another such handle, is no symlink.

    Raises: OSError.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    handle = os.open(path, flags | (os.O_NOFOLLOW if parent is not None else 0), dir_fd=parent)
    try:
        yield handle
    finally:
        os.close(handle)


def _nameless(folder: int, name: str) -> tuple[int, str | None]:
    """A new file without a name; with a hidden one where the filesystem knows no nameless files.

    It is locked as long as it is open, which tells a living writer's from one that was left.
    """
    hidden = None
    try:
        handle = os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o666, dir_fd=folder)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL):
            raise
        hidden = _hidden(name)
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC
        handle = os.open(hidden, flags, 0o666, dir_fd=folder)
    with contextlib.suppress(OSError):  # some network filesystems know no locks
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return handle, hidden


def _link(handle: int, folder: int, name: str) -> bool:
    """Give a finished nameless file its name; false when there is such a file already."""
    # Through a folder handle, because only then does Python call linkat(2) and follow the link.
    with opened_folder(Path("/proc/self/fd")) as own:
        try:
            os.link(str(handle), name, src_dir_fd=own, dst_dir_fd=folder, follow_symlinks=True)
        except FileExistsError:
            return False
    return True


def _check_replaceable(folder: int, path: Path) -> bool:
    """Whether something stands there already, which has to be a plain file or a symlink.

    Raises: PublishError.
    """
    try:
        mode = os.stat(path.name, dir_fd=folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return False
    if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
        why = "what stands there is no plain file, and nothing else is replaced"
        raise PublishError(where=str(path), why=why)
    return True


def _linked_aside(handle: int, folder: int, name: str) -> str:
    """Give a finished nameless file a hidden name beside `name`, to replace that at once."""
    while not _link(handle, folder, hidden := _hidden(name)):
        pass
    return hidden


_REST = re.compile(r"[0-9a-f]{16}\.part")
"""What follows a file's name in the hidden ones of its writers."""


def _sweep(folder: int, name: str) -> None:
    """Remove what writers of `name` that were killed have left beside it."""
    begin = f".{name}."
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    for left in os.listdir(folder):
        if not (left.startswith(begin) and _REST.fullmatch(left, len(begin))):
            continue
        with contextlib.suppress(FileNotFoundError, PermissionError):
            handle = os.open(left, flags, dir_fd=folder)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(left, dir_fd=folder)
            except BlockingIOError:
                continue  # its writer is alive
            finally:
                os.close(handle)


def _hidden(name: str) -> str:
    return f".{name}.{secrets.token_hex(8)}.part"


def mark_used(path: Path) -> None:
    """Have a file of a cache tell that it was used just now, by its time; where it may not be
    told, it is as old as it is."""
    with contextlib.suppress(OSError):
        os.utime(path)


def home_folder() -> Path:
    """The user's home.

    Raises: HostError where neither HOME nor the list of users names one.
    """
    try:
        return Path.home()
    except RuntimeError as error:
        why = "neither HOME nor the list of users says where your home is; set HOME"
        raise HostError(where="regild", why=why) from error


def name_beside(name: str) -> str:
    """The last part of a name that somebody else wrote, where a file beside theirs can be called
    that; else nothing."""
    last = Path(name).name
    fits = len(os.fsencode(last)) <= NAME_BYTES
    return last if fits and last != ".." and "\0" not in last else ""


def write_whole(path: Path, content: bytes) -> None:
    """Put some bytes under a name, atomically (see `open_new`)."""
    with open_new(path) as file:
        file.write(content)


def read_limited(path: Path, limit: int) -> bytes:
    """The bytes of a small file.

    Raises: MissingFile, NotPermitted, TooLarge when it holds more than `limit` bytes.
    """
    with translated(path), path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise TooLarge(where=str(path), why=f"it holds more than {limit} bytes")
    return content


@contextlib.contextmanager
def opened_inside(folder: Path, name: str) -> Iterator[IO[bytes]]:
    """A file below a folder that others write into, to be read: no link is followed on the way to
    it, and it is no pipe or device, on which one could wait for ever.

    Raises: MissingFile, NotPermitted.
    """
    path = folder / name
    *above, last = name.split("/")
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with contextlib.ExitStack() as opened:
        try:
            with translated(path):
                handle = opened.enter_context(opened_folder(folder))
                for one in above:
                    handle = opened.enter_context(opened_folder(one, handle))
                number = os.open(last, flags, dir_fd=handle)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR, errno.ENXIO):
                raise
            why = "it or a folder above it is a link, which could lead anywhere"
            raise NotPermitted(where=f"access to {path}", why=why) from error
        file = opened.enter_context(os.fdopen(number, "rb", buffering=0))
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise NotPermitted(where=f"access to {path}", why="it is no plain file")
        yield file


def digest_file(
    path: Path, told: Callable[[int], None] | None = None, algorithm: str = "sha256"
) -> Digest:
    """The digest of a whole file; `told` hears of every megabyte.

    Raises: MissingFile, NotPermitted.
    """
    digest = hashlib.new(algorithm)
    with translated(path), path.open("rb", buffering=0) as file:
        while content := file.read(CHUNK_BYTES):
            digest.update(content)
            if told is not None:
                told(len(content))
    return Digest(f"{algorithm}:{digest.hexdigest()}")


PASSED = 0o711


def make_passable(folder: Path) -> None:
    """Make a folder, and those above it that are missing, whatever the umask: who knows a name in
    one gets through, such as a hypervisor's user, and nobody is shown what is in it.

    Raises: OSError.
    """
    if folder.is_dir():
        return
    make_passable(folder.parent)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=PASSED)
        folder.chmod(PASSED)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable (fsync of the folder)."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn the operating system's errors about a path into regild's.

    Raises: MissingFile, NotPermitted, DiskFull.
    """
    try:
        yield
    except FileNotFoundError as error:
        where = str(error.filename or path)
        raise MissingFile(where=where, why="there is no such file") from error
    except PermissionError as error:
        raise NotPermitted(
            where=f"access to {error.filename or path}", why="permission denied"
        ) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(where=str(path), why=error.strerror or "the disk is full") from error
        if error.errno == errno.EROFS:
            raise NotPermitted(
                where=f"access to {path}", why="its filesystem is read-only"
            ) from error
        raise
