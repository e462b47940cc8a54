"""Looking at the files of a guest and taking copies of them, without describing or mounting it.

A copy appears under its name whole or not at all. Everything stays below the place that was asked
for: links of the guest are neither followed out of it nor made on this machine, and nor are
devices; what was left out is said.
"""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from regild.agent.reading.intake import Image, check_not_ours, open_image, open_stored
from regild.errors import (
    InputError,
    Malformed,
    MissingFile,
    NothingRead,
    RegildError,
    TargetExists,
    TooLarge,
    UnsafeName,
    UnsupportedError,
    UsageError,
)
from regild.host.files import open_new, opened_folder, translated
from regild.image.guest import open_guest
from regild.image.keys import NO_KEYS, Keys
from regild.image.tree import Guest, Node, Tree
from regild.model.answers import CopyAnswer, Entry, FileAnswer, ListAnswer
from regild.model.content import Unknown

KINDS = {"character": "character device", "block": "block device"}
FILE_LIMIT = 1 << 30
"""A file is read as a whole; a larger one is refused."""
ENTRIES_LIMIT = 200_000
DEPTH_LIMIT = 64
TOTAL_LIMIT = 16 << 30
"""All files of one copied folder together."""


def list_files(image: Path, path: str, keys: Keys = NO_KEYS) -> ListAnswer:
    """What stands at a path of the guest: a folder's entries, or the one thing that it is.

    Raises: as `open_image` and `open_guest`; MissingFile, TooLarge, Malformed.
    """
    place = guest_path(path)
    with _open_files(image, keys) as (_, guest):
        entries: tuple[Entry, ...]
        node = _found(guest.tree, place)
        try:
            names = guest.tree.names(place) if node.kind in ("directory", "symlink") else None
        except (MissingFile, Malformed):
            if node.kind == "directory":
                raise
            names = None  # a link to a file, or to nothing, is shown as the link
        if names is None:
            entries = (_entry(posixpath.basename(place), node),)
        else:
            entries = tuple(_entry(name, _found(guest.tree, f"{place}/{name}")) for name in names)
        return ListAnswer(str(image), place or "/", entries, guest.unknowns)


def read_file(image: Path, path: str, keys: Keys = NO_KEYS) -> FileAnswer:
    """The bytes of one file of the guest.

    Raises: as `list_files`; TooLarge above `FILE_LIMIT`.
    """
    with _open_files(image, keys) as (_, guest):
        place = guest_path(path) or "/"
        if _found(guest.tree, place).kind == "directory":
            why = "it is a folder of the guest; regild ls lists it, and regild cp copies it"
            raise MissingFile(where=f"the file {place}", why=why)
        return FileAnswer(str(image), place, guest.tree.read(place, FILE_LIMIT))


def copy_out(
    image: Path, path: str, to: Path, force: bool = False, keys: Keys = NO_KEYS
) -> CopyAnswer:
    """Copy a file, or a folder with all below it, out of the guest; into `to` where it is a folder.

    Raises: as `list_files`; TargetExists, UnsafeName, UsageError, DiskFull, NotPermitted.
    """
    place = guest_path(path)
    with _open_files(image, keys) as (opened, guest):
        target = _target(to, place)
        check_not_ours(opened, target)
        kind = _found(guest.tree, place).kind
        if kind == "symlink":
            kind = "directory" if _is_folder(guest.tree, place) else "file"
        if target.is_symlink() or target.is_dir() or (target.exists() and not force):
            why = "it is there already" if not force else "only a plain file is replaced"
            raise TargetExists(where=str(target), why=why)
        copy = _Copy(guest.tree, force)
        if kind == "directory":
            copy.folder(place, target)
        else:
            copy.file(place, target)
        unknowns = (*guest.unknowns, *copy.left_out)
        return CopyAnswer(
            str(image), place or "/", str(target), copy.files, copy.bytes, tuple(unknowns)
        )


def guest_path(path: str) -> str:
    """A path as the guest's tree takes it: absolute, without `.` and `..`; empty for the root."""
    if "\0" in path:
        raise UsageError(what="a path cannot hold a NUL")
    return posixpath.normpath("/" + path.lstrip("/")).rstrip("/")


class _Copy:
    """One copy on its way, within its limits."""

    def __init__(self, tree: Tree, force: bool) -> None:
        self._tree = tree
        self._force = force
        self._entries = 0
        self.files = 0
        self.bytes = 0
        self.left_out: list[Unknown] = []

    def file(self, place: str, target: Path) -> None:
        """Write one of the guest's files to a path on the host."""
        content = self._content(place)
        with open_new(target, replace=self._force) as file:
            file.write(content)

    def folder(self, place: str, target: Path) -> None:
        """A folder under a hidden name beside its place, then renamed. All goes by handles, so that
        a symlink that somebody puts in the place of one of them leads nowhere."""
        with translated(target.parent), contextlib.ExitStack() as stack:
            beside = stack.enter_context(opened_folder(target.parent))
            hidden = f".{target.name}.{secrets.token_hex(8)}"
            os.mkdir(hidden, 0o700, dir_fd=beside)
            stack.callback(shutil.rmtree, hidden, dir_fd=beside)
            inside = stack.enter_context(opened_folder(hidden, beside))
            self._fill(place, "new", inside, 0)
            try:
                # Fails for anything but an empty folder, whoever made it meanwhile.
                os.rename("new", target.name, src_dir_fd=inside, dst_dir_fd=beside)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                    raise
                why = "it came there meanwhile"
                raise TargetExists(where=str(target), why=why) from error

    def _fill(self, place: str, name: str, parent: int, depth: int) -> None:
        """Make a folder `name` in the one whose handle is `parent`, with all that is in `place`."""
        if depth > DEPTH_LIMIT:
            raise TooLarge(where=place, why=f"folders lie more than {DEPTH_LIMIT} deep")
        os.mkdir(name, dir_fd=parent)
        with opened_folder(name, parent) as folder:
            for entry in self._tree.names(place or "/"):
                self._entries += 1
                if self._entries > ENTRIES_LIMIT:
                    raise TooLarge(where=place, why=f"it holds more than {ENTRIES_LIMIT} entries")
                if entry in ("", ".", "..") or "/" in entry or "\0" in entry:
                    raise UnsafeName(where=place, why=f"it names an entry {entry!r}")
                self._put(f"{place}/{entry}", entry, folder, depth)

    def _put(self, path: str, name: str, folder: int, depth: int) -> None:
        """One entry of a folder; what is neither a file nor a folder is left out."""
        node = _found(self._tree, path)
        if node.kind == "directory":
            self._fill(path, name, folder, depth + 1)
        elif node.kind == "file":
            mode = 0o777 if node.mode & 0o100 else 0o666
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            content = self._content(path)
            with os.fdopen(os.open(name, flags, mode, dir_fd=folder), "wb") as file:
                file.write(content)
        else:
            self.left_out.append(
                Unknown(path, f"it is a {KINDS.get(node.kind, node.kind)}, which is not copied")
            )

    def _content(self, place: str) -> bytes:
        content = self._tree.read(place, min(FILE_LIMIT, TOTAL_LIMIT - self.bytes))
        self.files += 1
        self.bytes += len(content)
        return content


@contextlib.contextmanager
def _open_files(path: Path, keys: Keys) -> Iterator[tuple[Image, Guest]]:
    """An image, and the guest of its only system, on the first of its disks that holds one."""
    with open_image(path, keys) as image, contextlib.ExitStack() as stack:
        first: RegildError | None = None
        for one in image.only_system.disks:
            disk = stack.enter_context(open_stored(one))
            try:
                guest = stack.enter_context(open_guest(disk, one.name, keys))
            except (InputError, UnsupportedError, NothingRead) as error:
                first = first or error
                continue
            yield image, guest
            return
        raise first or MissingFile(where=f"a disk in {path}", why="the system has none to read")


def _found(tree: Tree, place: str) -> Node:
    node = tree.find(place or "/")
    if node is None:
        raise MissingFile(where=place or "/", why="there is no such file in the guest")
    return node


def _is_folder(tree: Tree, place: str) -> bool:
    try:
        tree.names(place or "/")
    except (MissingFile, Malformed):
        return False
    return True


def _target(to: Path, place: str) -> Path:
    name = posixpath.basename(place)
    if not to.is_dir():
        return to
    if not name:
        raise UsageError(what=f"{to} is there already: name a new folder for all files")
    return to / name


def _entry(name: str, node: Node) -> Entry:
    return Entry(name=name, kind=node.kind, bytes=node.bytes, mode=node.mode, target=node.target)
