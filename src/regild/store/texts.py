"""Words of images and feeds, as rows can hold them: whoever wrote them had no limits in mind."""

from __future__ import annotations

import hashlib
from typing import Any

from sqlalchemy import Column

CUT = "..."


def fitting(said: str, column: Column[Any]) -> str:
    """A guest's word without what databases refuse: NUL, halves of characters, more than the
    column takes (SQLite does not count, PostgreSQL does).

    Bytes are counted, not signs, for PostgreSQL's indexes take rows of 2,704 bytes at most. Words
    that begin alike may become one: the document they stand in has every byte.
    """
    return _cut(said, column, CUT)


def fitting_key(said: str, column: Column[Any]) -> str:
    """The same for a word by which a row is found: different ones stay different."""
    digest = hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()
    return _cut(said, column, f"{CUT}{digest}")


def _cut(said: str, column: Column[Any], end: str) -> str:
    plain = said.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")
    most: int = getattr(column.type, "length", 0)
    whole = plain.encode()
    if len(whole) <= most:
        return plain
    return whole[: most - len(end)].decode(errors="ignore") + end
