"""Which of two versions is the newer one, in the order of the package manager that wrote them
(Debian: deb-version(7); rpm and apk take their own entry in `ORDERS`)."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

Key = tuple[Any, ...]
"""Compares with `<` and `==` as the versions do; only keys of one family compare."""

_RUNS = re.compile(r"([^0-9]*)([0-9]*)")


class DebianVersion(NamedTuple):
    """The three parts of a Debian version, as text."""

    epoch: str
    """Digits; empty where the version states none, which means 0."""
    upstream: str
    revision: str
    """Empty for a native package."""


def split_debian(version: str) -> DebianVersion:
    """Split a Debian version at its first colon and its last hyphen."""
    epoch, colon, rest = version.partition(":")
    if not colon:
        epoch, rest = "", version
    upstream, hyphen, revision = rest.rpartition("-")
    return DebianVersion(epoch, upstream, revision) if hyphen else DebianVersion(epoch, rest, "")


@lru_cache(maxsize=65536)
def debian_key(version: str) -> Key:
    """A key that sorts as `dpkg --compare-versions` does."""
    epoch, upstream, revision = split_debian(version)
    return _number(epoch), _part(upstream), _part(revision)


def _part(text: str) -> Key:
    """Runs of other characters and of digits in turn, and one empty pair as the end, so that `~`
    sorts before it and `0` is the same as nothing."""
    pairs = [(_letters(other), _number(digits)) for other, digits in _RUNS.findall(text)]
    while len(pairs) > 1 and pairs[-1] == _END:
        pairs.pop()
    return (*pairs, _END)


def _letters(run: str) -> Key:
    """`~` sorts before the end (0), the end before letters, letters before all other characters."""
    return (*(-1 if c == "~" else ord(c) + (0 if c.isalpha() else 0x110000) for c in run), 0)


def _number(digits: str) -> Key:
    """A number by length, then digits: no conversion, so that its size does not matter."""
    plain = digits.lstrip("0")
    return len(plain), plain


_END: Key = ((0,), (0, ""))

ORDERS: dict[str, Callable[[str], Key]] = {"deb": debian_key}
"""The order of versions by purl type."""


def is_newer(type: str, version: str, than: str) -> bool:
    """Whether a version is newer than another of the same family (purl type)."""
    return ORDERS[type](version) > ORDERS[type](than)
