"""The headers in a Berkeley DB hash file (`Packages`, as rpm wrote until 4.16; Berkeley DB's
dbinc/db_page.h says how pages are laid out).

Both byte orders are read. All pages are looked at in turn, so that no chain of buckets has to be
believed; a header larger than a page stands in a chain of overflow pages, each taken once.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from regild.errors import Malformed, UnsupportedFormat

HASH_MAGIC = 0x00061561
_META, _OVERFLOW, _FREE = 8, 7, 0
_BUCKETS = (2, 13)
"""P_HASH_UNSORTED and P_HASH."""
_IN_PAGE, _OFF_PAGE = 1, 3
_PAGE_HEAD = 26
_COUNTER = b"\0\0\0\0"
"""The key under which rpm keeps its last package number instead of a package."""


class _File(NamedTuple):
    """A database file that was recognised."""

    content: bytes
    order: str
    page_bytes: int
    pages: int
    where: str


class _Page(NamedTuple):
    """The head of a page."""

    following: int
    entries: int
    used: int
    kind: int


def read_headers(content: bytes, where: str) -> Iterator[tuple[str, bytes]]:
    """Each header with its place.

    Raises: Malformed when a page contradicts itself, UnsupportedFormat for an encrypted database.
    """
    file = _opened(content, where)
    taken: set[int] = set()
    for number in range(1, file.pages):
        page = _page(file, number)
        if page.kind not in _BUCKETS:
            if page.kind not in (_OVERFLOW, _META, _FREE):
                raise Malformed(where=where, why=f"page {number} is of an unknown kind")
            continue
        items = _items(file, number, page)
        for key, stored in zip(items[::2], items[1::2], strict=True):
            if key[1:] == _COUNTER:
                continue
            found = _value(file, stored, number, taken)
            package = int.from_bytes(key[1:5], "little" if file.order == "<" else "big")
            yield f"{where}, package {package}", found


def is_berkeley(content: bytes) -> bool:
    """Whether some bytes begin a Berkeley DB hash file, in either byte order."""
    magic = content[12:16]
    return HASH_MAGIC in (int.from_bytes(magic, "little"), int.from_bytes(magic, "big"))


def _opened(content: bytes, where: str) -> _File:
    if len(content) < 512 or not is_berkeley(content):
        raise Malformed(where=where, why="it is no Berkeley DB hash file")
    order = "<" if int.from_bytes(content[12:16], "little") == HASH_MAGIC else ">"
    _version, page_bytes, encrypted, kind = struct.unpack_from(f"{order}IIBB", content, 16)
    (last,) = struct.unpack_from(f"{order}I", content, 32)
    if encrypted:
        raise UnsupportedFormat(where=where, why="the database is encrypted")
    if kind != _META or not 512 <= page_bytes <= 65536 or page_bytes & (page_bytes - 1):
        raise Malformed(where=where, why="its first page is damaged")
    if (last + 1) * page_bytes > len(content):
        raise Malformed(where=where, why=f"it is cut off: it speaks of {last + 1} pages")
    return _File(content, order, page_bytes, last + 1, where)


def _page(file: _File, number: int) -> _Page:
    return _Page(
        *struct.unpack_from(f"{file.order}IHHxB", file.content, number * file.page_bytes + 16)
    )


def _items(file: _File, number: int, page: _Page) -> list[bytes]:
    """The items of a page in order, keys and values in turn; they fill it from its end."""
    begin = number * file.page_bytes
    fill = file.page_bytes
    if page.entries % 2 or _PAGE_HEAD + 2 * page.entries > fill:
        raise Malformed(where=file.where, why=f"page {number} is damaged")
    places = struct.unpack_from(f"{file.order}{page.entries}H", file.content, begin + _PAGE_HEAD)
    found = []
    for place in places:
        if not _PAGE_HEAD + 2 * page.entries <= place < fill:
            raise Malformed(where=file.where, why=f"page {number} has items outside of it")
        found.append(file.content[begin + place : begin + fill])
        fill = place
    if any(key[0] != _IN_PAGE or len(key) != 5 for key in found[::2]):
        raise Malformed(where=file.where, why=f"page {number} has keys that rpm does not write")
    return found


def _value(file: _File, stored: bytes, number: int, taken: set[int]) -> bytes:
    """The bytes behind an item: in the page itself, or in a chain of overflow pages."""
    if stored[0] == _IN_PAGE:
        return stored[1:]
    if stored[0] != _OFF_PAGE or len(stored) != 12:
        raise Malformed(where=file.where, why=f"page {number} has values that rpm does not write")
    following, length = struct.unpack_from(f"{file.order}II", stored, 4)
    found = bytearray()
    while following and len(found) < length:
        if following >= file.pages or following in taken:
            raise Malformed(where=file.where, why=f"page {following} is outside, or used twice")
        taken.add(following)
        page = _page(file, following)
        if page.kind != _OVERFLOW or page.used > file.page_bytes - _PAGE_HEAD:
            raise Malformed(where=file.where, why=f"page {following} is no overflow page")
        begin = following * file.page_bytes + _PAGE_HEAD
        found += file.content[begin : begin + page.used]
        following = page.following
    if len(found) != length or following:
        raise Malformed(where=file.where, why=f"a value of page {number} is not as long as it says")
    return bytes(found)
