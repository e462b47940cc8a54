"""What is done inside of a user-mode kernel: read a volume out, or write a record into it.

Runs as the first program of `regild.host.uml`. Writing happens with the volume as the root folder,
so that no link of the guest leads out of it; everything is read back after the volume was let go
of and mounted anew.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from regild.change.papers import read_paper
from regild.change.record import NOTHING, inode_at
from regild.change.stream import send_tree
from regild.errors import GuestFull, IntegrityError
from regild.host.uml_init import mounted
from regild.image.spans import Span, outside
from regild.model.content import Value
from regild.model.json import from_json, to_json
from regild.model.record import Entry, Inode

PIECE_BYTES: Final = 1 << 20
BLOCK_BYTES: Final = 4096
NO_SPACE: Final = 28
CAPABILITY: Final = "security.capability"


class Room(Value, frozen=True):
    """What a filesystem has free, as statvfs(3) tells it."""

    block_bytes: int
    free_blocks: int
    free_inodes: int


class Visit(Value, frozen=True):
    """One volume, the kernel's drive that it is, and what to do with it."""

    mount: str
    """Where the guest mounts it."""
    drive: int
    filesystem: str
    options: str = ""
    """For mount(2), such as `subvol=@`."""
    hiding: tuple[str, ...] = ()
    """Folders that other volumes hide, as the volume itself calls them, each with a slash."""
    entries: str = ""
    """The file with the entries to write, paths as the volume has them; empty: it is read out."""
    content: str = ""
    """The record's file of new contents."""


def main(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Do all visits; trees go to `N.tree` in the folder, what was read back to `N.found`.

    Raises: UnsupportedFilesystem where the kernel does not mount a volume, GuestFull,
    IntegrityError.
    """
    visits = from_json(tuple[Visit, ...], request["visits"])
    rooms = [_perform(number, visit, folder) for number, visit in enumerate(visits)]
    return {"rooms": to_json(rooms, indent=0)}


def _perform(number: int, visit: Visit, folder: Path) -> Room:
    if not visit.entries:
        with mounted(
            visit.drive, visit.filesystem, folder, writable=False, options=visit.options
        ) as root:
            with (folder / f"{number}.tree").open("wb") as out:
                send_tree(str(root), out, visit.hiding)
            return room_of(root)
    entries = read_paper(tuple[Entry, ...], Path(visit.entries), visit.mount)
    content = os.open(visit.content, os.O_RDONLY)
    with (
        mounted(
            visit.drive, visit.filesystem, folder, writable=True, options=visit.options
        ) as root,
        _translated(visit),
        _root_at(root),
    ):
        apply_entries(entries, content)
    with mounted(
        visit.drive, visit.filesystem, folder, writable=False, options=visit.options
    ) as root:
        with _root_at(root):
            found = [found_at(entry.path) for entry in entries]
        room = room_of(root)
    (folder / f"{number}.found").write_text(to_json(found, indent=0))
    return room


def room_of(root: Path) -> Room:
    """What the filesystem that is mounted in a folder has free."""
    told = os.statvfs(root)
    # btrfs counts no inodes: it makes them as they are needed.
    inodes = told.f_favail if told.f_files else told.f_bavail
    return Room(told.f_frsize, told.f_bavail, inodes)


def found_at(path: str) -> Inode:
    """What stands at a path, in the terms of a record."""
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return NOTHING
    return inode_at(path, status)


@contextmanager
def _root_at(folder: Path) -> Iterator[None]:
    """With a folder as the root folder: whatever is followed in it, ends in it."""
    before = os.open("/", os.O_RDONLY)
    try:
        os.chroot(folder)
        os.chdir("/")
        yield
    finally:
        os.fchdir(before)
        os.chroot(".")
        os.chdir("/")
        os.close(before)


@contextmanager
def _translated(visit: Visit) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == NO_SPACE:
            raise GuestFull(where=visit.mount, why="its filesystem has no room left") from error
        what = f"{error.filename}: {error.strerror}"
        raise IntegrityError(where=visit.mount, why=f"it could not be written, {what}") from error


def apply_entries(entries: tuple[Entry, ...], content: int) -> None:
    """Bring every path from what it was to what it becomes; removals first, so that their room is
    free, times last."""
    made = _remove_old(entries)
    folders = [one for one in entries if one.becomes.kind == "directory"]
    folders.sort(key=lambda entry: entry.path.rstrip("/").count("/"))
    for entry in folders:
        if entry.path in made:
            os.mkdir(entry.path, 0o700)
    others = [one for one in entries if one.becomes.kind not in ("directory", "absent")]
    for entry in sorted(others, key=lambda entry: bool(entry.link_to)):
        if entry.link_to:
            os.link(entry.link_to, entry.path, follow_symlinks=False)
        elif entry.path in made:
            _make(entry, content)
        elif entry.content_at is not None:
            _write_through(entry, content)
    for entry in [*others, *reversed(folders)]:
        if not entry.link_to:
            _dress(entry, entry.path in made)


def _remove_old(entries: tuple[Entry, ...]) -> frozenset[str]:
    """Take away what cannot stay; the paths that are to be made."""
    made = set()
    for entry in sorted(entries, key=lambda entry: entry.path.count("/"), reverse=True):
        was, becomes = entry.was, entry.becomes
        kept = was.kind == becomes.kind and not entry.link_to
        same = (was.target, was.device) == (becomes.target, becomes.device)
        alone = entry.in_place and was.links == becomes.links == 1
        if kept and same and (entry.content_at is None or alone):
            continue
        if was.kind != "absent":
            (os.rmdir if was.kind == "directory" else os.unlink)(entry.path)
        if becomes.kind != "absent":
            made.add(entry.path)
    return frozenset(made)


def _make(entry: Entry, content: int) -> None:
    """Make a file with its content, a link, or a special file."""
    becomes = entry.becomes
    if becomes.kind == "symlink":
        os.symlink(becomes.target, entry.path)
    elif becomes.kind == "file":
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW
        handle = os.open(entry.path, flags, 0o600)
        try:
            _fill(handle, content, entry)
        finally:
            os.close(handle)
    else:
        bits = {"fifo": stat.S_IFIFO, "socket": stat.S_IFSOCK, "block": stat.S_IFBLK}
        kind = bits.get(becomes.kind, stat.S_IFCHR)
        os.mknod(entry.path, kind | 0o600, os.makedev(*(becomes.device or (0, 0))))


def _write_through(entry: Entry, content: int) -> None:
    """Give a file new content in its own inode; blocks that are equal stay, with whoever shares
    them."""
    at, length = entry.content_at or 0, entry.becomes.bytes
    handle = os.open(entry.path, os.O_RDWR | os.O_NOFOLLOW)
    try:
        os.ftruncate(handle, length)
        for offset, piece in _pieces(content, at, [(0, length)]):
            was = os.pread(handle, len(piece), offset)
            for block in range(0, len(piece), BLOCK_BYTES):
                new = piece[block : block + BLOCK_BYTES]
                if new != was[block : block + BLOCK_BYTES]:
                    os.pwrite(handle, new, offset + block)
    finally:
        os.close(handle)


def _fill(handle: int, content: int, entry: Entry) -> None:
    """Write a file's content but for its holes."""
    at, length = entry.content_at or 0, entry.becomes.bytes
    # First: XFS reserves blocks behind the end, which would become zeros when the end is moved.
    os.ftruncate(handle, length)
    for offset, piece in _pieces(content, at, outside([(0, length)], sorted(entry.holes))):
        os.pwrite(handle, piece, offset)


def _pieces(content: int, at: int, spans: Iterable[Span]) -> Iterator[tuple[int, bytes]]:
    """The new content of a file in some of its spans: (offset in the file, bytes)."""
    for offset, count in spans:
        done, end = offset, offset + count
        while done < end:
            piece = os.pread(content, min(PIECE_BYTES, end - done), at + done)
            if not piece:
                raise IntegrityError(where="the record", why="its contents are cut off")
            yield done, piece
            done += len(piece)


def _dress(entry: Entry, is_new: bool) -> None:
    """Owner first, since giving a file away clears setuid and capabilities; times last."""
    path, becomes = entry.path, entry.becomes
    os.lchown(path, becomes.uid, becomes.gid)
    if becomes.kind != "symlink":
        os.chmod(path, becomes.mode)
    was = {} if is_new else {row.name: row.value for row in entry.was.attributes}
    if entry.content_at is not None:
        was.pop(CAPABILITY, None)  # whoever writes to a file takes it away
    wanted = {row.name: row.value for row in becomes.attributes}
    for name in was.keys() - wanted.keys():
        os.removexattr(path, name, follow_symlinks=False)
    for name, value in wanted.items():
        if was.get(name) != value:
            os.setxattr(path, name, value, follow_symlinks=False)
    os.utime(path, ns=(becomes.mtime_ns, becomes.mtime_ns), follow_symlinks=False)
