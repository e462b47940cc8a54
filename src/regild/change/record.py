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
from collections import defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO

import msgspec

from regild.change.seal import cleared_by, is_cleared, is_kept, is_looked_into, is_own
from regild.errors import GuestFull, RecordRefused, TooLarge
from regild.model.digest import Digest
from regild.model.plan import Seal
from regild.model.record import Attribute, Entry, Inode, Kind, Record

ENTRIES_MAX = 1_000_000
"""Changed paths; a new release of a whole desktop touches under 400,000."""
DEPTH_MAX = 200
PATH_BYTES_MAX = 3072
"""As in `regild.image.ext`: what is written must be readable again."""
PIECE_BYTES = 1 << 20
HOLES_MAX = 10_000
"""A file with more of them is written as if it had none."""

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
ORIGIN = OVERLAY_ATTRIBUTE + "origin"
"""What overlayfs leaves on a file that it copied up to be written to, or to be moved; one that was
made anew has none."""
STAYED = OVERLAY_ATTRIBUTE + "stayed"
"""What is left on a file that was taken over from a booted guest and had kept its inode: the path
that it had then (`mark_of`)."""
OVERLAY_REFUSED = tuple(OVERLAY_ATTRIBUTE + name for name in ("overlay.", "redirect", "metacopy"))
"""What a script planted (overlayfs sets it apart so), and what hides content elsewhere."""
ACCESS_LIST = "system.posix_acl_"
NOTHING = Inode(kind="absent")


def read_record(
    upper: Path,
    lower: Path,
    content: IO[bytes],
    room_bytes: int,
    seal: Collection[Seal] = (),
    merged: Path | None = None,
) -> Record:
    """Compare the upper directory with the tree below it; new contents are appended to `content`.

    Files may be `room_bytes` together: what is larger than the guest's filesystems is not read.
    `seal` is what was cleared, and is on record where the image would keep it. `merged` is where
    the overlay is still mounted; without it no file is known to have been written through.

    Raises: RecordRefused for what overlayfs should never leave, GuestFull, TooLarge.
    """
    reading = _Reading(
        str(upper), str(lower), content, room_bytes, seal, str(merged) if merged else None
    )
    reading.compare_folder("")
    entries = tuple(sorted(reading.finish(), key=lambda entry: entry.path))
    return Record(entries, reading.written, tuple(reading.kept))


class _Reading:
    """One pass over an upper directory."""

    def __init__(
        self,
        upper: str,
        lower: str,
        content: IO[bytes],
        room_bytes: int,
        seal: Collection[Seal] = (),
        merged: str | None = None,
    ) -> None:
        self.seal, self.merged = seal, merged
        self.upper, self.lower, self.content = upper, lower, content
        self.room_bytes = room_bytes
        self.entries: list[Entry] = []
        self.written = self._poured = 0
        """How much of `content` is on record, and what lies behind that of the file at hand."""
        self.kept: list[str] = []
        self._places: dict[str, int] = {}
        self._first_names: dict[int, str] = {}
        self._names: defaultdict[int, set[str]] = defaultdict(set)

    def finish(self) -> list[Entry]:
        """The entries, with links counted as the image will have them.

        A file may have further names in folders that are left out.
        """
        self.content.truncate(self.written)
        counts = {path: len(names) for names in self._names.values() for path in names}
        for number, entry in enumerate(self.entries):
            links = counts.get(entry.path, entry.becomes.links)
            if links != entry.becomes.links:
                becomes = msgspec.structs.replace(entry.becomes, links=links)
                self.entries[number] = msgspec.structs.replace(entry, becomes=becomes)
        return self.entries

    def compare_folder(self, path: str) -> None:
        """Take in everything that the upper directory has below a folder.

        Raises: RecordRefused, TooLarge.
        """
        if path.count("/") > DEPTH_MAX or len(os.fsencode(path)) > PATH_BYTES_MAX:
            raise RecordRefused(where=path, why="its path is too long or too deep")
        for name in sorted(os.listdir(self.upper + path)):
            child = f"{path}/{name}"
            if is_kept(child) and not is_looked_into(child, self.seal):
                self._note_kept(child)
                continue
            status = os.lstat(self.upper + child)
            if _is_whiteout(status):
                self._take_gone(child)
            elif stat.S_ISDIR(status.st_mode):
                self._take_folder(child, status)
            else:
                self._take_other(child, status)
            if len(self.entries) > ENTRIES_MAX:
                raise TooLarge(where="the change", why=f"it touches over {ENTRIES_MAX} paths")

    def _note_kept(self, path: str) -> None:
        """Remember what of the image's own was changed, for whoever has to be told."""
        status = os.lstat(self.upper + path)
        if is_own(path) and not stat.S_ISDIR(status.st_mode):
            was, is_gone = self._lower_inode(path), _is_whiteout(status)
            if is_gone or not _same(was, inode_at(self.upper + path, status)):
                self.kept.append(path)

    def _take_gone(self, path: str) -> None:
        """A whiteout: the path and all below it are gone, if there was anything."""
        for gone, was in self._lower_tree(path):
            self._add(gone, was, NOTHING)

    def _take_folder(self, path: str, status: os.stat_result) -> None:
        was = self._lower_inode(path)
        opaque = _is_opaque(self.upper + path)
        if was.kind == "directory" and opaque:
            self._take_hidden(path)
        self._add(path, was, inode_at(self.upper + path, status), opaque=opaque)
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
        first = None
        if status.st_nlink > 1:
            self._names[status.st_ino].add(path)
            first = self._first_names.setdefault(status.st_ino, path)
        if first in (None, path) and stat.S_ISREG(status.st_mode):
            self.room_bytes -= status.st_size
            if self.room_bytes < 0:
                why = f"{path} of {status.st_size >> 20} MiB does not fit"
                raise GuestFull(where="as a whole", why=why)
        is_own_file = stat.S_ISREG(status.st_mode) and first in (None, path)
        digest = self._pour(path, status.st_size) if is_own_file else None
        becomes = inode_at(self.upper + path, status, digest=digest)
        holes = _holes(self.upper + path, status) if is_own_file else ()
        self._add(path, was, becomes, link_to="" if first in (None, path) else first, holes=holes)

    def _add(
        self,
        path: str,
        was: Inode,
        becomes: Inode,
        opaque: bool = False,
        link_to: str = "",
        holes: tuple[tuple[int, int], ...] = (),
    ) -> None:
        """Put a change on record unless nothing changed or the image keeps this path for itself."""
        cleared = cleared_by(path, self.seal) and is_cleared(path, becomes)
        if (is_kept(path) and not cleared) or (_same(was, becomes) and not link_to):
            return
        place = None
        # A file with several names may need a new inode, also where its content stays.
        is_new = becomes.digest != was.digest or becomes.links > 1 or was.links > 1
        if becomes.kind == "file" and is_new and not link_to:
            place = self._keep_poured(str(becomes.digest))
        in_place = was.kind == becomes.kind == "file" and self._was_written_through(path)
        self.entries.append(Entry(path, was, becomes, place, link_to, opaque, in_place, holes))

    def _was_written_through(self, path: str) -> bool:
        """Whether the file that now stands at a path is the one that stood there before.

        A file that was moved over another was copied up too. overlayfs tells a copied file by the
        number of the lower one for as long as it is mounted; one of which the kernel forgot that,
        for want of memory, is taken for another.
        """
        marks = os.listxattr(self.upper + path, follow_symlinks=False)
        if STAYED in marks:
            mark = os.getxattr(self.upper + path, STAYED, follow_symlinks=False)
            return mark == mark_of(path)
        if ORIGIN not in marks or self.merged is None:
            return False
        return os.lstat(self.merged + path).st_ino == os.lstat(self.lower + path).st_ino

    def _pour(self, path: str, size: int) -> Digest:
        """Write a file's content behind what is on record, for as long as it takes to see whether
        it belongs there: it is read once, to be hashed and to be kept."""
        check, self._poured = hashlib.sha256(), 0
        self.content.seek(self.written)
        for piece in _pieces(self.upper + path):
            self.content.write(piece)
            check.update(piece)
            self._poured += len(piece)
        if self._poured != size:
            raise RecordRefused(where=path, why="it changed while it was recorded")
        return Digest("sha256:" + check.hexdigest())

    def _keep_poured(self, key: str) -> int:
        """Put the file at hand on record, once for equal ones; returns where it begins."""
        if key not in self._places:
            self._places[key] = self.written
            self.written += self._poured
        return self._places[key]

    def _lower_inode(self, path: str) -> Inode:
        """What the path was; nothing where a part of it leads over something that is no folder."""
        try:
            status = os.lstat(self.lower + path)
        except (FileNotFoundError, NotADirectoryError):
            return NOTHING
        return inode_at(self.lower + path, status, group=True)

    def _lower_tree(self, path: str) -> Iterator[tuple[str, Inode]]:
        """A path of the lower tree and everything below it."""
        was = self._lower_inode(path)
        if was.kind == "absent":
            return
        yield path, was
        if was.kind == "directory":
            for name in sorted(os.listdir(self.lower + path)):
                yield from self._lower_tree(f"{path}/{name}")


def inode_at(
    path: str, status: os.stat_result, group: bool = False, digest: Digest | None = None
) -> Inode:
    """What stands at a path of the upper directory or the tree; `digest` is its content's, where
    that was read already."""
    kind = KINDS[stat.S_IFMT(status.st_mode)]
    return Inode(
        kind=kind,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        mtime_ns=status.st_mtime_ns,
        bytes=status.st_size if kind == "file" else 0,
        digest=(digest or _digest(path)) if kind == "file" else None,
        target=os.readlink(path) if kind == "symlink" else "",
        device=_device(status) if kind in ("character", "block") else None,
        links=1 if kind == "directory" else status.st_nlink,
        group=status.st_ino if group and kind != "directory" and status.st_nlink > 1 else 0,
        attributes=_attributes(path),
    )


def _same(was: Inode, becomes: Inode) -> bool:
    """Equal but for the number that only tells old hard links apart."""
    return msgspec.structs.replace(was, group=becomes.group) == becomes


def _attributes(path: str) -> tuple[Attribute, ...]:
    """A path's extended attributes but overlayfs' own, access lists in canonical form."""
    found = []
    for name in sorted(os.listxattr(path, follow_symlinks=False)):
        if name.startswith(OVERLAY_REFUSED):
            raise RecordRefused(where=path, why=f"it carries overlayfs' own attribute {name}")
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


def _is_whiteout(status: os.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def _is_opaque(path: str) -> bool:
    try:
        return os.getxattr(path, OVERLAY_ATTRIBUTE + "opaque", follow_symlinks=False) == b"y"
    except OSError:
        return False


def mark_of(path: str) -> bytes:
    """What `STAYED` holds of a path, which may be longer than an attribute."""
    return hashlib.sha256(os.fsencode(path)).digest()


def _holes(path: str, status: os.stat_result) -> tuple[tuple[int, int], ...]:
    """What a file does not store (lseek(2), SEEK_HOLE)."""
    if status.st_blocks * 512 >= status.st_size:
        return ()
    found: list[tuple[int, int]] = []
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        at = os.lseek(handle, 0, os.SEEK_HOLE)
        while at < status.st_size and len(found) <= HOLES_MAX:
            end = _next_data(handle, at, status.st_size)
            found.append((at, end - at))
            at = os.lseek(handle, end, os.SEEK_HOLE) if end < status.st_size else end
    finally:
        os.close(handle)
    return tuple(found) if len(found) <= HOLES_MAX else ()


def _next_data(handle: int, at: int, size: int) -> int:
    try:
        return os.lseek(handle, at, os.SEEK_DATA)
    except OSError:  # ENXIO: nothing but a hole
        return size


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
