"""A tree on its way from one kernel to another: what each path is, and behind it its content.

One line of JSON for each path, parents before what is in them, and behind the line of a file the
bytes of its extents. What is read back comes from a kernel that a stranger's filesystem may have
taken over: a path may only stand in a folder that came before, and all is bounded.
"""

from __future__ import annotations

import array
import fcntl
import os
import stat
from collections.abc import Iterator
from typing import IO

from regild.change.record import KINDS, canonical_acl
from regild.errors import Malformed, TooLarge
from regild.model.content import Value
from regild.model.json import from_json, to_json
from regild.model.record import Attribute, Kind

GET_FLAGS = 0x80086601
"""FS_IOC_GETFLAGS of linux/fs.h on machines of 64 bits."""
FIXED = 0x10 | 0x20
"""FS_IMMUTABLE_FL and FS_APPEND_FL."""
LINE_BYTES_MAX = 8 << 20
PIECE_BYTES = 1 << 20
ENTRIES_MAX = 8_000_000
"""As in `regild.image.ext`."""
DEPTH_MAX = 200
PATH_BYTES_MAX = 3072


class Sent(Value, frozen=True):
    """One path: what it is, and where its content has no holes."""

    path: str
    """Absolute on its own volume; `/` for the volume's own folder."""
    kind: Kind
    mode: int = 0
    uid: int = 0
    gid: int = 0
    mtime_ns: int = 0
    bytes: int = 0
    target: str = ""
    device: tuple[int, int] | None = None
    attributes: tuple[Attribute, ...] = ()
    extents: tuple[tuple[int, int], ...] = ()
    """(offset, length) of what is behind the line; zeros are between them."""
    link_to: str = ""
    """The first path of the same file; nothing else is said then."""
    fixed: bool = False
    """The guest made it immutable, or to be appended to only."""


def send_tree(root: str, out: IO[bytes], hiding: tuple[str, ...]) -> None:
    """Write everything below a folder, but what lies below the paths in `hiding`."""
    firsts: dict[tuple[int, int], str] = {}
    folders = ["/"]
    while folders:
        folder = folders.pop()
        _send(root, folder, out, firsts)
        for name in sorted(os.listdir(root + folder), reverse=True):
            path = f"{folder.rstrip('/')}/{name}"
            if path.startswith(hiding):
                continue
            if stat.S_ISDIR(os.lstat(root + path).st_mode):
                folders.append(path)
            else:
                _send(root, path, out, firsts)


def _send(root: str, path: str, out: IO[bytes], firsts: dict[tuple[int, int], str]) -> None:
    place = root + path
    status = os.lstat(place)
    kind = KINDS[stat.S_IFMT(status.st_mode)]
    if kind != "directory" and status.st_nlink > 1:
        # Each subvolume of a btrfs counts its own, and shows itself as a device of its own.
        first = firsts.setdefault((status.st_dev, status.st_ino), path)
        if first != path:
            _line(out, Sent(path, kind, link_to=first))
            return
    names = os.listxattr(place, follow_symlinks=False)
    special = kind in ("character", "block")
    extents: tuple[tuple[int, int], ...] = ()
    fixed = False
    if kind in ("file", "directory"):
        handle = os.open(place, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            fixed = bool(read_flags(handle) & FIXED)
            extents = _extents(handle, status.st_size) if kind == "file" else ()
        finally:
            os.close(handle)
    _line(
        out,
        Sent(
            path,
            kind,
            stat.S_IMODE(status.st_mode),
            status.st_uid,
            status.st_gid,
            status.st_mtime_ns,
            status.st_size if kind == "file" else 0,
            os.readlink(place) if kind == "symlink" else "",
            (os.major(status.st_rdev), os.minor(status.st_rdev)) if special else None,
            tuple(Attribute(name, _value(place, name)) for name in sorted(names)),
            extents,
            fixed=fixed,
        ),
    )
    if extents:
        with open(place, "rb", buffering=0) as file:
            for offset, length in extents:
                _pour(file, out, offset, length)


def _value(place: str, name: str) -> bytes:
    value = os.getxattr(place, name, follow_symlinks=False)
    return canonical_acl(value) if name.startswith("system.posix_acl_") else value


def _line(out: IO[bytes], sent: Sent) -> None:
    out.write(to_json(sent, indent=0).encode() + b"\n")


def read_flags(handle: int) -> int:
    """A file's or folder's attributes as chattr(1) has them; none where there are no such."""
    found = array.array("l", [0])
    try:
        fcntl.ioctl(handle, GET_FLAGS, found)
    except OSError:
        return 0
    return found[0]


def _extents(handle: int, size: int) -> tuple[tuple[int, int], ...]:
    """Where a file has data (lseek(2), SEEK_DATA)."""
    found, at = [], 0
    while at < size:
        try:
            begin = os.lseek(handle, at, os.SEEK_DATA)
        except OSError:  # ENXIO: nothing but a hole
            break
        at = min(os.lseek(handle, begin, os.SEEK_HOLE), size)
        found.append((begin, at - begin))
    return tuple(found)


def _pour(file: IO[bytes], out: IO[bytes], offset: int, length: int) -> None:
    file.seek(offset)
    while length:
        piece = file.read(min(PIECE_BYTES, length))
        out.write(piece or bytes(length))
        length -= len(piece) or length


def receive_tree(source: IO[bytes], where: str) -> Iterator[Sent]:
    """What was sent, path by path; whoever takes a file reads the content behind it from `source`
    before going on.

    Raises: Malformed for what could lead elsewhere, TooLarge.
    """
    folders: set[str] = set()
    seen: set[str] = set()
    for _number in range(ENTRIES_MAX):
        line = source.readline(LINE_BYTES_MAX)
        if not line:
            return
        sent = from_json(Sent, line, where)
        _check(sent, folders, seen, where)
        seen.add(sent.path)
        if sent.kind == "directory":
            folders.add(sent.path)
        yield sent
    raise TooLarge(where=where, why=f"it has over {ENTRIES_MAX} paths")


def _check(sent: Sent, folders: set[str], seen: set[str], where: str) -> None:
    """Refuse what cannot be right.

    Raises: Malformed.
    """
    path = sent.path
    above, _, name = path.rpartition("/")
    named = path.startswith("/") and name not in ("", ".", "..") and above != "/"
    inside = path == "/" or (named and (above or "/") in folders)
    long = path.count("/") > DEPTH_MAX or len(os.fsencode(path)) > PATH_BYTES_MAX
    linked = not sent.link_to or (sent.link_to in seen and sent.link_to not in folders)
    end = 0
    for offset, length in sent.extents:
        if offset < end or length <= 0:
            raise Malformed(where=where, why=f"the content of {path!r} overlaps")
        end = offset + length
    whole = end <= sent.bytes and (sent.kind == "file" or not sent.extents)
    first = bool(folders) or (path == "/" and sent.kind == "directory")
    if not (inside and linked and whole and first) or long or path in seen or "\0" in path:
        raise Malformed(where=where, why=f"it tells of {path!r}, which cannot stand there")
