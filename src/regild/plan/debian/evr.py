"""Debian versions as libsolv can compare them (deb-version(7); rpmvercmp of rpm-version(7)).

The wheel of libsolv knows rpm's order of versions only. A Debian version is rewritten so that
rpm's order of the rewritten ones is Debian's order of the originals: every run of other characters
becomes letters that sort as dpkg sorts the characters, and every run of digits stays.
"""

from __future__ import annotations

import re
from functools import lru_cache

from regild.model.versions import split_debian

_RUNS = re.compile(r"([^0-9]*)([0-9]*)")
_TILDE, _END = "A", "B"
"""A tilde sorts before the end of a part, and both before every other character."""
_LETTERS = "CDEFGHIJKLMNOPQRSTUVWXYZ"
_SPAN = len(_LETTERS)


@lru_cache(maxsize=65536)
def evr_of(version: str) -> str:
    """A version's epoch, upstream part and revision, rewritten; a missing revision is `0`."""
    epoch, upstream, revision = split_debian(version)
    number = epoch.lstrip("0")
    rewritten = f"{_part(upstream)}-{_part(revision)}"
    return f"{number}:{rewritten}" if number else rewritten


@lru_cache(maxsize=65536)
def _part(text: str) -> str:
    """Runs of letters and of digits in turn, `B` between them, an end that a tilde sorts before."""
    pairs = (pair for pair in _RUNS.findall(text or "0") if pair != ("", ""))
    written = ("".join(map(_code, other)) + _END + (digits or "0") for other, digits in pairs)
    return "".join(written) + _END + "0"


@lru_cache(maxsize=256)
def _code(sign: str) -> str:
    """One character: letters sort before all others (dpkg)."""
    if sign == "~":
        return _TILDE
    place = ord(sign) + (0 if sign.isalpha() else 0x100)
    return _LETTERS[place // _SPAN**2] + _LETTERS[place // _SPAN % _SPAN] + _LETTERS[place % _SPAN]
