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
    pairs = _RUNS.findall(text or "0")
    pairs.pop()  # the empty one at the end
    written = [other.translate(_CODE_OF) + _END + (digits or "0") for other, digits in pairs]
    return "".join(written) + _END + "0"


class _CodeOf(dict[int, str]):
    """Each character's code: letters sort before all others (dpkg)."""

    def __missing__(self, place: int) -> str:
        sign = chr(place)
        if sign == "~":
            code = _TILDE
        else:
            place = min(place + (0 if sign.isalpha() else 0x100), _SPAN**3 - 1)
            digits = place // _SPAN**2, place // _SPAN % _SPAN, place % _SPAN
            code = "".join(_LETTERS[one] for one in digits)
        self[ord(sign)] = code
        return code


_CODE_OF = _CodeOf()


def version_of(evr: str) -> str:
    """A rewritten version as it reads, for a sentence; a `0` where nothing stood may be added."""
    epoch, colon, rest = evr.rpartition(":")
    upstream, _, revision = rest.partition("-")
    whole = _read(upstream) if revision in ("", "B0B0") else f"{_read(upstream)}-{_read(revision)}"
    return f"{epoch}{colon}{whole}"


def _read(part: str) -> str:
    found = []
    for letters, digits in _WRITTEN.findall(part.removesuffix("B0")):
        found.append("".join(_sign(code) for code in _CODES.findall(letters)) + digits)
    return "".join(found)


def _sign(code: str) -> str:
    if code == _TILDE:
        return "~"
    first, second, third = map(_LETTERS.index, code)
    return chr((first * _SPAN**2 + second * _SPAN + third) % 0x100)


_WRITTEN = re.compile(r"([AC-Z]*)B([0-9]*)")
_CODES = re.compile(r"A|[C-Z]{3}")
