"""Which of two versions is the newer one, in the order of the package manager that wrote them
(Debian: deb-version(7); rpm: rpm-version(7); Alpine: apk-package(5))."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
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


@lru_cache(maxsize=65536)
def rpm_key(version: str) -> Key:
    """A key that sorts as rpm does: epoch, version and release, a missing one before all others."""
    epoch, colon, rest = version.partition(":")
    if not colon:
        epoch, rest = "", version
    upstream, _, release = rest.rpartition("-") if "-" in rest else (rest, "", "")
    return _number(epoch), _segments(upstream), _segments(release)


_SEGMENTS = re.compile(r"~|\^|[A-Za-z]+|[0-9]+")


def _segments(text: str) -> Key:
    """Runs of letters and of digits; what stands between them counts for nothing, but `~` sorts
    before the end, `^` after it, and letters before digits."""
    return (*map(_segment, _SEGMENTS.findall(text)), (0,))


def _segment(run: str) -> Key:
    if run in "~^":
        return (-1,) if run == "~" else (1,)
    return (3, *_number(run)) if run[0].isdigit() else (2, run)


@lru_cache(maxsize=65536)
def apk_key(version: str) -> Key:
    """A key that sorts as `apk version --test` does; what no version of apk's may hold ends it."""
    begin = _APK_NUMBER.match(version)
    found: list[Key] = [(_NUMBER, _number(begin[0]), 0)] if begin else []
    place = begin.end() if begin else len(version)
    while token := _APK_TOKEN.match(version, place):
        found.extend(_apk_token(token))
        place = token.end()
    return (*found, (_APK_END,))


_BEFORE, _APK_END, _REVISION, _SUFFIX_NUMBER, _AFTER, _LETTER, _NUMBER = range(7)
"""What decides where two versions of apk first differ in kind: the lower one is older."""
_PRE = ("alpha", "beta", "pre", "rc")
_POST = ("cvs", "svn", "git", "hg", "p")
_APK_NUMBER = re.compile(r"[0-9]+")
_APK_TOKEN = re.compile(
    r"\.(?P<zeros>0*)(?P<digits>[0-9]*)(?<!\.)|(?P<letter>(?<=[0-9])[a-z](?![a-z]))"
    rf"|_(?P<word>{'|'.join((*_PRE, *_POST))})(?P<count>[0-9]*)|-r(?P<revision>[0-9]+)$"
)


def _apk_token(token: re.Match[str]) -> Iterator[Key]:
    """A number after a dot, a letter, a suffix with its number, or the revision."""
    if token["digits"] is not None:
        # With zeros in front a number is a fraction: 1.05 is older than 1.1, and 1.0 than 1.05.
        zeros = -len(token["zeros"])
        yield (_NUMBER, (zeros,) if zeros else _number(token["digits"]), _number(token["digits"]))
    elif token["letter"]:
        yield (_LETTER, token["letter"])
    elif token["revision"]:
        yield (_REVISION, _number(token["revision"]))
    else:
        word = token["word"]
        yield (_BEFORE, _PRE.index(word)) if word in _PRE else (_AFTER, _POST.index(word))
        if token["count"]:
            yield (_SUFFIX_NUMBER, _number(token["count"]))


def windows_key(version: str) -> Key:
    """A key that sorts builds of Windows, such as `10.0.20348.2849`, number by number."""
    return tuple(_number("".join(filter(str.isdigit, part))) for part in version.split("."))


ORDERS: dict[str, Callable[[str], Key]] = {
    "deb": debian_key,
    "rpm": rpm_key,
    "apk": apk_key,
    "windows": windows_key,
}
"""The order of versions by purl type."""


def is_newer(type: str, version: str, than: str) -> bool:
    """Whether a version is newer than another of the same family (purl type)."""
    return ORDERS[type](version) > ORDERS[type](than)


def sort_key(type: str, version: str) -> bytes | None:
    """Bytes that sort as the versions of a family do, for a database's index; None where the
    family's order is not known.

    A tuple is its parts between marks, so that a shorter one comes first; a number has its length
    before it; text is UTF-8, whose bytes sort as its code points do.
    """
    order = ORDERS.get(type)
    return None if order is None else b"".join(_packed(order(version)))


def _packed(part: Any) -> Iterator[bytes]:
    if isinstance(part, tuple):
        for one in part:
            yield b"\x02"
            yield from _packed(one)
        yield b"\x01"
    elif isinstance(part, str):
        yield part.encode("utf-8", "surrogatepass").replace(b"\x00", b"\x00\xff") + b"\x00"
    elif part < 0:  # all the numbers of versions that are counted have a few digits
        yield b"\x10" + (part + (1 << 32)).to_bytes(4, "big")
    else:
        size = (part.bit_length() + 7) // 8
        yield bytes([0x20 + size]) + part.to_bytes(size, "big")
