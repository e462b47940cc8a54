"""Tar headers, as far as an OVA needs them: read ustar, GNU and PAX, write plain ustar.

DSP0243, 5.3 asks for USTAR (POSIX 1003.1-1990). Read in place and bounded: nothing is unpacked, and
sizes of 8 GiB and more are taken from GNU's base-256 form or PAX (rules R6, W5).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple

from regild.errors import Malformed, NotAnArchive, TooLarge, Truncated, UnsafeName

BLOCK: Final = 512
RECORD: Final = 20 * BLOCK
"""An archive is filled up to whole records, as tape drives and old readers want it."""
MAX_MEMBERS: Final = 10_000
MAX_EXTENSION: Final = 64 << 10
OCTAL_LIMIT: Final = 8 << 30
"""Eleven octal digits end here; larger sizes are written in base 256."""
MODE: Final = 0o644
MTIME: Final = 946_684_800
"""2000-01-01: the same for every member, so that equal inputs give equal archives."""

REGULAR: Final = (b"0", b"\0", b"7")
FOLDER: Final = b"5"
PAX: Final = (b"x", b"X", b"g")
"""Extension headers of POSIX 2001, for the next member or for all that follow."""
GNU_NAMES: Final = (b"L", b"K")
"""GNU's headers that hold the long name of the next member or link."""
_IGNORED = (FOLDER, b"V")
"""Directories and volume labels."""

_OTHER_ARCHIVES: Final = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"PK\x03\x04", "zip"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
)


class Place(NamedTuple):
    """A file inside an archive: its name, the offset of its first byte, and its length."""

    name: str
    offset: int
    bytes: int


class Entry(NamedTuple):
    """A header of an archive, whatever it is for."""

    kind: bytes
    """The type flag: `0` a file, `5` a directory, `x` a PAX header, `L` a long name of GNU's."""
    name: str
    offset: int
    bytes: int


def is_tar(head: bytes) -> bool:
    """Whether the first 512 bytes of a file are a tar header."""
    return len(head) == BLOCK and any(head) and _sum_fits(head)


def other_archive(head: bytes) -> str:
    """The name of the compression that a file begins with; empty where there is none."""
    return next((name for magic, name in _OTHER_ARCHIVES if head.startswith(magic)), "")


def read_places(file: BinaryIO, where: str) -> Iterator[Place]:
    """The regular files of an archive in their order, without reading their content.

    Raises: NotAnArchive, Truncated, Malformed, TooLarge, UnsafeName for links and devices.
    """
    for entry in read_entries(file, where):
        if entry.kind in REGULAR:
            yield Place(entry.name, entry.offset, entry.bytes)
        elif entry.kind not in (*PAX, *GNU_NAMES, *_IGNORED):
            raise UnsafeName(where=where, why=f"{entry.name[:80]!r} is a link or a special file")


def read_entries(file: BinaryIO, where: str) -> Iterator[Entry]:
    """Every header of an archive, those that only speak of the next one too.

    Raises: NotAnArchive, Truncated, Malformed, TooLarge, UnsafeName for a name that is no text.
    """
    total = file.seek(0, os.SEEK_END)
    at, count, long_name, long_size = 0, 0, "", None
    while (head := _block(file, at, where)) is not None:
        kind = head[156:157]
        size = _size(head, where) if long_size is None else long_size
        begin = at + BLOCK
        if begin + size > total:
            raise Truncated(where=where, why=f"it ends {begin + size - total} bytes too early")
        at = begin + -(-size // BLOCK) * BLOCK
        count += 1
        if count > MAX_MEMBERS:
            raise TooLarge(where=where, why=f"it holds more than {MAX_MEMBERS} members")
        if kind == b"L":
            long_name = _text(_extension(file, begin, size, where).rstrip(b"\0"), where)
        elif kind in (b"x", b"X"):
            long_name, long_size = _pax(_extension(file, begin, size, where), where)
        named = head[:100].split(b"\0", 1)[0].decode(errors="replace")
        if kind not in (*PAX, *GNU_NAMES, *_IGNORED):
            named = long_name or _name(head, where)
        yield Entry(kind, named, begin, size)
        if kind not in (b"L", *PAX, b"K"):
            long_name, long_size = "", None


def _block(file: BinaryIO, at: int, where: str) -> bytes | None:
    """The header at an offset; None at the end of the archive."""
    file.seek(at)
    head = file.read(BLOCK)
    if not head and at:
        return None
    if at == 0 and not is_tar(head):
        packed = other_archive(head)
        why = f"it is compressed with {packed}" if packed else "its first bytes are no tar header"
        raise NotAnArchive(where=where, why=why)
    if len(head) < BLOCK:
        raise Truncated(where=where, why="it ends inside a tar header")
    if not any(head):
        return None
    if not _sum_fits(head):
        raise Malformed(where=where, why=f"the tar header at byte {at} is damaged")
    return head


def _sum_fits(head: bytes) -> bool:
    stated = _octal(head[148:156])
    rest = head[:148] + b" " * 8 + head[156:]
    return stated in (sum(rest), sum(byte - 256 if byte > 127 else byte for byte in rest))


def _octal(field: bytes) -> int | None:
    """The number in a field; None where it is none (`int` alone would take `0o1` and `1_0`)."""
    digits = field.replace(b"\0", b" ").strip()
    return None if digits.strip(b"01234567") else int(digits or b"0", 8)


def _size(head: bytes, where: str) -> int:
    field = head[124:136]
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    size = _octal(field)
    if size is None:
        raise Malformed(where=where, why="a tar header has no size")
    return size


def _name(head: bytes, where: str) -> str:
    name = head[:100].split(b"\0", 1)[0]
    # GNU's old format has other fields where POSIX has the prefix; the magic tells them apart.
    prefix = head[345:500].split(b"\0", 1)[0] if head[257:263] == b"ustar\0" else b""
    return _text(prefix + b"/" + name if prefix else name, where)


def _text(name: bytes, where: str) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError as error:
        raise UnsafeName(where=where, why=f"{name[:80]!r} is not UTF-8") from error


def _extension(file: BinaryIO, begin: int, size: int, where: str) -> bytes:
    if size > MAX_EXTENSION:
        raise TooLarge(where=where, why=f"a tar extension header of {size} bytes")
    file.seek(begin)
    return file.read(size)


def _pax(content: bytes, where: str) -> tuple[str, int | None]:
    """The path and the size that a PAX header gives to the next member."""
    path, size = "", None
    while content:
        digits, space, _ = content.partition(b" ")
        if not space or not digits.isdigit() or len(digits) > 6:
            raise Malformed(where=where, why="a PAX header is damaged")
        length = int(digits)
        record = content[len(digits) + 1 : length]
        if not record.endswith(b"\n") or length > len(content):
            raise Malformed(where=where, why="a PAX header is damaged")
        key, _, value = record[:-1].partition(b"=")
        if key == b"path":
            path = _text(value, where)
        elif key == b"size":
            if not value.isdigit() or len(value) > 18:
                raise Malformed(where=where, why="a PAX header states no size")
            size = int(value)
        elif key.startswith(b"GNU.sparse"):
            raise Malformed(where=where, why="a member is stored as a sparse file")
        content = content[length:]
    return path, size


def lay_out(files: list[tuple[str, int]]) -> tuple[tuple[Place, ...], int]:
    """Where each file of a new archive goes, and the length of the whole archive in bytes."""
    places, at = [], 0
    for name, size in files:
        places.append(Place(name, at + BLOCK, size))
        at += BLOCK + -(-size // BLOCK) * BLOCK
    return tuple(places), -(-(at + 2 * BLOCK) // RECORD) * RECORD


def header(name: str, size: int) -> bytes:
    """The ustar header of a regular file: owner 0, mode 0644, a fixed time (rule W5).

    Raises: UnsafeName when the name does not fit into 100 bytes.
    """
    encoded = name.encode()
    if len(encoded) > 100:
        raise UnsafeName(where=name[:80], why="a name in an OVA has at most 100 bytes")
    octal = b"%011o\0" % size if size < OCTAL_LIMIT else b"\x80" + size.to_bytes(11, "big")
    head = b"".join(
        (
            encoded.ljust(100, b"\0"),
            b"%07o\0" % MODE,
            b"%07o\0" % 0,
            b"%07o\0" % 0,
            octal,
            b"%011o\0" % MTIME,
            b" " * 8,
            b"0",
            b"\0" * 100,
            b"ustar\x0000",
            b"root".ljust(32, b"\0"),
            b"root".ljust(32, b"\0"),
            b"%07o\0" % 0,
            b"%07o\0" % 0,
        )
    ).ljust(BLOCK, b"\0")
    return head[:148] + b"%06o\0 " % sum(head) + head[156:]
