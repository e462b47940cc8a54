"""What lies in the cache of a site, as `regild cache` tells it."""

from __future__ import annotations

from typing import Literal

from regild.model.content import Value

CacheKind = Literal["packages", "loose", "contents", "indexes", "made", "plans"]
"""Packages and recipes' files as they were fetched; packages without compression; lists of what
packages hold; indexes and advisories as they were fetched; what was made of those; plans."""


class CacheRow(Value, frozen=True):
    """The files of one kind."""

    kind: CacheKind
    files: int
    bytes: int
    """What they take on this machine."""
    oldest: str
    """When the one was used that was not used for longest (RFC 3339, UTC)."""


class CacheAnswer(Value, frozen=True):
    """`regild cache show` and `regild cache clean`: what there is, or what was removed."""

    folder: str
    limit: int
    """The bytes that the site bounds it to; 0: none."""
    days: float
    """What was not used for so long goes; 0: never."""
    rows: tuple[CacheRow, ...] = ()
    bytes: int = 0
