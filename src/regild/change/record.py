"""RECORD: read the upper directory of an overlay as the list of everything that was changed.

Runs inside the name space, where ids and file capabilities are the guest's. The guest's programs
have ended; nothing is followed that they left, neither links nor special files. Deletions are
whiteouts (character device 0:0), replaced folders are opaque (overlayfs, `userxattr`).
Source: Documentation/filesystems/overlayfs.rst of the Linux kernel.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from regild.change.seal import is_kept
from regild.errors import RecordRefused, TooLarge
from regild.model.digest import Digest
from regild.model.record import Attribute, Entry, Inode, Kind, Record

ENTRIES_MAX = 2_000_000
CONTENT_BYTES_MAX = 64 << 30
PIECE_BYTES = 1 << 20

KINDS: dict[int, Kind] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "character",
    stat.S_IFBLK: "block",
}

OVERLAY_ATTRIBUTE = "user.overlay."
ACCESS_LIST = "system.posix_acl_"
NOTHING = Inode(kind="absent")


def read_record(upper: Path, lower: Path, content: IO[bytes]) -> Record:
    """Compare the upper directory with the tree below it; new contents are appended to `content`.

    Raises: RecordRefused for what overlayfs should never leave, TooLarge.
    """
    reading = _Reading(str(upper), str(lower), content)
    reading.compare_folder("")
    entries = tuple(sorted(reading.entries, key=lambda entry: entry.path))
    return Record(entries, reading.written, Digest("sha256:" + reading.digest.hexdigest()))


class _Reading:
    """One pass over an upper directory."""

    def __init__(self, upper: str, lower: str, content: IO[bytes]) -> None:
        self.upper, self.lower, self.content = upper, lower, content
        self.entries: list[Entry] = []
        self.written, self.digest = 0, hashlib.sha256()
        self._places: dict[str, int] = {}
        self._first_names: dict[int, str] = {}

    def compare_folder(self, path: str) -> None:
        """Take in everything that the upper directory has below a folder."""
        for name in sorted(os.listdir(self.upper + path)):
            child = f"{path}/{name}"
            status = os.lstat(self.upper + child)
            if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
                self._take_gone(child)
            elif stat.S_ISDIR(status.st_mode):
                self._take_folder(child, status)
            else:
                self._take_other(child, status)
            if len(self.entries) > ENTRIES_MAX:
                raise TooLarge(where="the change", why=f"it touches over {ENTRIES_MAX} paths")

    def _take_gone(self, path: str) -> None:
        """A whiteout: the path and all below it are gone, if there was anything."""
        for gone, was in self._lower_tree(path):
            self._add(gone, was, NOTHING)

    def _take_folder(self, path: str, status: os.stat_result) -> None:
        was = self._lower_inode(path)
        opaque = _is_opaque(self.upper + path)
        if was.kind == "directory" and opaque:
            self._take_hidden(path)
        self._add(path, was, _inode(self.upper + path, status), opaque=opaque)
        self.compare_folder(path)

    def _take_hidden(self, path: str) -> None:
        """The old content of a replaced folder, as far as nothing new stands in its place."""
        for name in sorted(os.listdir(self.lower + path)):
            child = f"{path}/{name}"
            if not os.path.lexists(self.upper + child):
                self._take_gone(child)

    def _take_other(self, path: str, status: os.stat_result) -> None:
        was = self._lower_inode(path)
        if was.kind == "directory":
            for gone, inside in self._lower_tree(path):
                if gone != path:
                    self._add(gone, inside, NOTHING)
        first = self._first_names.get(status.st_ino) if status.st_nlink > 1 else None
        becomes = _inode(self.upper + path, status)
        if first is None and status.st_nlink > 1 and not is_kept(path):
            self._first_names[status.st_ino] = path
        self._add(path, was, becomes, link_to=first or "")

    def _add(
        self, path: str, was: Inode, becomes: Inode, opaque: bool = False, link_to: str = ""
    ) -> None:
        """Put a change on record unless nothing changed or the image keeps this path for itself."""
        if is_kept(path) or (_same(was, becomes) and not link_to):
            return
        place = None
        if becomes.kind == "file" and becomes.digest != was.digest and not link_to:
            place = self._store(path, becomes)
        elif becomes.kind == "file" and (becomes.links > 1 or was.links > 1) and not link_to:
            place = self._store(path, becomes)  # a new inode may be needed for it
        self.entries.append(Entry(path, was, becomes, place, link_to, opaque))

    def _store(self, path: str, becomes: Inode) -> int:
        """Append a file's content, once for equal ones; returns where it begins."""
        key = str(becomes.digest)
        if key in self._places:
            return self._places[key]
        self._places[key] = begin = self.written
        check = hashlib.sha256()
        for piece in _pieces(self.upper + path):
            self.content.write(piece)
            self.digest.update(piece)
            check.update(piece)
            self.written += len(piece)
        if "sha256:" + check.hexdigest() != key:
            raise RecordRefused(where=path, why="it changed while it was recorded")
        if self.written > CONTENT_BYTES_MAX:
            raise TooLarge(where="the change", why=f"it is over {CONTENT_BYTES_MAX} bytes")
        return begin

    def _lower_inode(self, path: str) -> Inode:
        """What the path was; nothing where a part of it leads over something that is no folder."""
        try:
            status = os.lstat(self.lower + path)
        except (FileNotFoundError, NotADirectoryError):
            return NOTHING
        return _inode(self.lower + path, status, group=True)

    def _lower_tree(self, path: str) -> Iterator[tuple[str, Inode]]:
        """A path of the lower tree and everything below it."""
        was = self._lower_inode(path)
        if was.kind == "absent":
            return
        yield path, was
        if was.kind == "directory":
            for name in sorted(os.listdir(self.lower + path)):
                yield from self._lower_tree(f"{path}/{name}")


def _inode(path: str, status: os.stat_result, group: bool = False) -> Inode:
    """What stands at a path of the upper directory or the tree."""
    kind = KINDS[stat.S_IFMT(status.st_mode)]
    return Inode(
        kind=kind,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        mtime_ns=status.st_mtime_ns,
        bytes=status.st_size if kind == "file" else 0,
        digest=_digest(path) if kind == "file" else None,
        target=os.readlink(path) if kind == "symlink" else "",
        device=_device(status) if kind in ("character", "block") else None,
        links=1 if kind == "directory" else status.st_nlink,
        group=status.st_ino if group and kind != "directory" and status.st_nlink > 1 else 0,
        attributes=_attributes(path),
    )


def _same(was: Inode, becomes: Inode) -> bool:
    """Equal but for the number that only tells old hard links apart."""
    return (was.kind, was.mode, was.uid, was.gid, was.mtime_ns, was.bytes, was.digest) == (
        becomes.kind,
        becomes.mode,
        becomes.uid,
        becomes.gid,
        becomes.mtime_ns,
        becomes.bytes,
        becomes.digest,
    ) and (was.target, was.device, was.links, was.attributes) == (
        becomes.target,
        becomes.device,
        becomes.links,
        becomes.attributes,
    )


def _attributes(path: str) -> tuple[Attribute, ...]:
    """A path's extended attributes but overlayfs' own, access lists in canonical form."""
    found = []
    for name in sorted(os.listxattr(path, follow_symlinks=False)):
        if not name.startswith(OVERLAY_ATTRIBUTE):
            value = os.getxattr(path, name, follow_symlinks=False)
            found.append(Attribute(name, canonical_acl(value) if ACCESS_LIST in name else value))
    return tuple(found)


def canonical_acl(value: bytes) -> bytes:
    """An access list with id 0 where the entry has none: kernel and library differ there."""
    fixed = bytearray(value)
    for place in range(4, len(value) - 7, 8):
        (tag,) = struct.unpack_from("<H", value, place)
        if tag not in (2, 8):  # ACL_USER, ACL_GROUP (acl(5)) are the entries with an id
            struct.pack_into("<I", fixed, place + 4, 0)
    return bytes(fixed)


def _is_opaque(path: str) -> bool:
    try:
        return os.getxattr(path, OVERLAY_ATTRIBUTE + "opaque", follow_symlinks=False) == b"y"
    except OSError:
        return False


def _device(status: os.stat_result) -> tuple[int, int]:
    return os.major(status.st_rdev), os.minor(status.st_rdev)


def _digest(path: str) -> Digest:
    found = hashlib.sha256()
    for piece in _pieces(path):
        found.update(piece)
    return Digest("sha256:" + found.hexdigest())


def _pieces(path: str) -> Iterator[bytes]:
    """A regular file's content; a link in its place is not followed."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        while piece := os.read(handle, PIECE_BYTES):
            yield piece
    finally:
        os.close(handle)
