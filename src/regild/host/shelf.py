"""Where a store's files lie: a folder of this machine, a bucket of S3, or a web server to read.

A file on a shelf appears whole under its name or not at all, is never changed, and is read in
ranges. Names are `folder/name` in letters that every place takes.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Protocol, TypeVar

from regild.errors import LibraryMissing, MissingFile, NotPermitted, Truncated, UsageError
from regild.host import multipart
from regild.host.files import CHUNK_BYTES, open_new, opened_inside, sync_folder, translated
from regild.host.objects import ask_store
from regild.host.remote import RemoteFile, open_remote, read_place

T = TypeVar("T")
Advance = Callable[[int], None]

NAME_LIMIT = 1024
"""What S3 takes of a key."""
QUIET_SECONDS = 10
"""A file in a folder that was not changed for so long is taken to be whole."""
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)*")


def unheard(count: int) -> None:
    """Nobody asks how far it has come."""


class Shelf(Protocol):
    """A place for files that are written once."""

    where: str
    """As it is shown; without credentials."""

    def put(self, name: str, content: bytes) -> None:
        """Put a file on the shelf, durably; one of this name is replaced by it.

        Raises: NotPermitted, DiskFull, Unreachable.
        """

    def put_file(self, name: str, path: Path, advance: Advance = unheard) -> int:
        """Put a file of this machine on the shelf, of whatever length; how many bytes had to be
        sent, less than all where an earlier run broke off and the place kept what it had.

        `advance` is told of the bytes that are there.

        Raises: as `put`; MissingFile.
        """

    def read(self, name: str, begin: int, length: int) -> bytes:
        """A range of a file, fewer bytes where the file ends before.

        Raises: MissingFile, NotPermitted, Unreachable.
        """

    def size(self, name: str) -> int | None:
        """The bytes of a file; None where there is none of this name."""

    def mark(self, name: str) -> str:
        """What differs once a file has changed; empty where there is none of this name, or where
        it may still be written."""

    def names(self) -> Iterator[str]:
        """Every file on the shelf."""

    def remove(self, name: str) -> None:
        """Take a file off the shelf; one that is gone already is fine."""


def open_shelf(place: str | Path, *, links: bool = True) -> Shelf:
    """The shelf of a folder's path, `file://`, `s3://BUCKET/PREFIX` or `https://HOST/PATH`;
    without `links`, a folder that others write into, in which none is followed.

    Raises: UsageError, LibraryMissing where S3 needs a library that is not installed.
    """
    text = str(place)
    scheme, sign, rest = text.partition("://")
    if not sign:
        return FolderShelf(Path(text), links)
    if scheme == "file":
        return FolderShelf(Path("/" + rest.lstrip("/")), links)
    if scheme == "s3":
        return BucketShelf(text)
    if scheme in ("http", "https"):
        return WebShelf(text)
    raise UsageError(what=f"a store is a folder, s3:// or https://, not {scheme}://")


def check_file_name(name: str) -> str:
    """A name on a shelf leads nowhere else.

    Raises: UsageError.
    """
    if not _NAME.fullmatch(name) or ".." in name:
        raise UsageError(what=f"{name!r} is no name on a shelf")
    return name


def check_foreign_name(name: str) -> str:
    """The name of a file that somebody else put on a shelf, in whatever letters, leads nowhere
    else either.

    Raises: UsageError.
    """
    parts = name.split("/")
    strays = not name.isprintable() or len(name) > NAME_LIMIT
    if strays or any(part in ("", ".", "..") or part.startswith(".") for part in parts):
        raise UsageError(what=f"{name!r} is no name on a shelf")
    return name


class FolderShelf:
    """A folder; files appear by fsync and link, folders below it as they are needed."""

    def __init__(self, folder: Path, links: bool = True) -> None:
        self.folder, self._links = folder, links
        self.where = str(folder)

    def put(self, name: str, content: bytes) -> None:
        """Put a file into the folder."""
        path = self._path(name)
        with translated(path):
            _make_folders(path.parent)
        with open_new(path) as file:
            file.write(content)

    def put_file(self, name: str, path: Path, advance: Advance = unheard) -> int:
        """Copy a file into the folder."""
        target = self._path(name)
        with translated(target):
            _make_folders(target.parent)
        with translated(path), path.open("rb") as source, open_new(target) as file:
            while piece := source.read(CHUNK_BYTES):
                file.write(piece)
                advance(len(piece))
            return source.tell()

    def read(self, name: str, begin: int, length: int) -> bytes:
        """A range of a file."""
        path = self._found(name)
        with translated(path), self._opened(name) as file:
            file.seek(begin)
            parts = []
            while length and (part := file.read(length)):
                parts.append(part)
                length -= len(part)
        return b"".join(parts)

    def size(self, name: str) -> int | None:
        """The bytes of a file."""
        path = self._found(name)
        if not path.is_file():
            return None
        with contextlib.suppress(MissingFile), translated(path):
            return self._status(name).st_size
        return None

    def mark(self, name: str) -> str:
        """Size, time and number of a file; others may write into a folder as they like, so what
        was changed a moment ago is left alone."""
        with contextlib.suppress(MissingFile), translated(self._found(name)):
            status = self._status(name)
            if time.time() - status.st_mtime >= QUIET_SECONDS:
                return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ino}"
        return ""

    def names(self) -> Iterator[str]:
        """Every file below the folder, but those that are being written."""
        for path in sorted(self.folder.rglob("*")):
            is_ours = path.is_file() and (self._links or not path.is_symlink())
            if is_ours and not path.name.startswith("."):
                yield path.relative_to(self.folder).as_posix()

    def remove(self, name: str) -> None:
        """Remove a file, durably."""
        path = self._path(name)
        with translated(path):
            path.unlink(missing_ok=True)
            if path.parent.is_dir():
                sync_folder(path.parent)

    def _path(self, name: str) -> Path:
        return self.folder / check_file_name(name)

    def _found(self, name: str) -> Path:
        """A file to be read: where others put theirs, they name them as they like."""
        return self._path(name) if self._links else self.folder / check_foreign_name(name)

    def _opened(self, name: str) -> contextlib.AbstractContextManager[IO[bytes]]:
        path = self._found(name)
        return path.open("rb", buffering=0) if self._links else opened_inside(self.folder, name)

    def _status(self, name: str) -> os.stat_result:
        with self._opened(name) as file:
            return os.fstat(file.fileno())


def _make_folders(folder: Path) -> None:
    """Make a folder and those above it, each durably, so that a file in it cannot vanish."""
    if folder.is_dir():
        return
    _make_folders(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


class BucketShelf:
    """A prefix of a bucket of S3; credentials come from where its clients keep them."""

    def __init__(self, address: str) -> None:
        try:
            import fsspec
            import s3fs  # noqa: F401 - fsspec asks for it only when the first byte is read
        except ImportError as error:
            raise LibraryMissing(where="s3fs", why="to reach a bucket", extra="remote") from error
        self.where = str(read_place(address.rstrip("/")))
        self._system: Any
        self._system, root = fsspec.core.url_to_fs(address.rstrip("/"), use_listings_cache=False)
        self._root = str(root)

    def put(self, name: str, content: bytes) -> None:
        """Put an object; S3 shows it only when all of it has come."""
        self._ask(lambda: self._system.pipe_file(self._path(name), content))

    def put_file(self, name: str, path: Path, advance: Advance = unheard) -> int:
        """Send a file in parts; S3 shows the object only when all of them have come."""
        with translated(path):
            size = path.stat().st_size
            if size > multipart.PART_BYTES:
                place = self._path(name)
                return multipart.put_in_parts(self._system, self._ask, place, path, advance)
            self.put(name, path.read_bytes())
        advance(size)
        return size

    def read(self, name: str, begin: int, length: int) -> bytes:
        """A range of an object."""
        if not length:
            return b""
        path = self._found(name)
        return bytes(
            self._ask(lambda: self._system.cat_file(path, start=begin, end=begin + length))
        )

    def size(self, name: str) -> int | None:
        """The bytes of an object."""
        with contextlib.suppress(MissingFile):
            return int(self._ask(lambda: self._system.info(self._found(name)))["size"])
        return None

    def mark(self, name: str) -> str:
        """The object's entity tag and size."""
        with contextlib.suppress(MissingFile):
            told = self._ask(lambda: self._system.info(self._found(name)))
            tag = told.get("ETag") or told.get("LastModified") or told.get("mtime") or ""
            return f"{tag}:{told['size']}"
        return ""

    def names(self) -> Iterator[str]:
        """Every object below the prefix."""
        with contextlib.suppress(MissingFile):
            for path in self._ask(lambda: self._system.find(self._root)):
                yield str(path).removeprefix(self._root).lstrip("/")

    def remove(self, name: str) -> None:
        """Remove an object."""
        with contextlib.suppress(MissingFile):
            self._ask(lambda: self._system.rm_file(self._path(name)))

    def _path(self, name: str) -> str:
        return f"{self._root}/{check_file_name(name)}"

    def _found(self, name: str) -> str:
        """An object to be read: who fills a bucket names them as they like."""
        return f"{self._root}/{check_foreign_name(name)}"

    def _ask(self, ask: Callable[[], T]) -> T:
        return ask_store(self.where, ask)


class WebShelf:
    """A store that somebody else fills, read through a web server that answers ranges."""

    def __init__(self, address: str) -> None:
        self._address = address.rstrip("/")
        self.where = str(read_place(self._address))

    def put(self, name: str, content: bytes) -> None:
        """Nothing is written through the web.

        Raises: NotPermitted.
        """
        raise NotPermitted(where=f"writing to {self.where}", why="a web server is only read from")

    def put_file(self, name: str, path: Path, advance: Advance = unheard) -> int:
        """Nothing is written through the web.

        Raises: NotPermitted.
        """
        self.put(name, b"")
        return 0

    def read(self, name: str, begin: int, length: int) -> bytes:
        """A range of a file."""
        file = self._opened(name)
        return file.read(begin, max(0, min(length, file.size - begin)))

    def size(self, name: str) -> int | None:
        """The bytes of a file."""
        with contextlib.suppress(MissingFile, Truncated):
            return self._opened(name).size
        return None

    def mark(self, name: str) -> str:
        """The web's files are named by what they hold."""
        size = self.size(name)
        return "" if size is None else f"{size}"

    def names(self) -> Iterator[str]:
        """The web shows no list: nothing is found beyond what the catalogue knows."""
        return iter(())

    def remove(self, name: str) -> None:
        """Nothing is removed through the web.

        Raises: NotPermitted.
        """
        raise NotPermitted(where=f"writing to {self.where}", why="a web server is only read from")

    def _opened(self, name: str) -> RemoteFile:
        return open_remote(str(read_place(f"{self._address}/{check_file_name(name)}")))
