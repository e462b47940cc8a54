"""Every string of a guest in letters that XML 1.0 can hold, and back without a loss.

The content descriptor, clause 6: a character that XML cannot hold is written as a backslash, `u`
and its four hexadecimal digits in lower case; so is a backslash that would otherwise begin such a
group. In a list of words, white space is written the same way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from regild.errors import Malformed

_DIGITS: Final = r"(?!d[89a-f])[0-9a-f]{4}"
"""Four digits that do not stand for a surrogate, which is no character."""
_UNWRITABLE = re.compile(rf"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]|\\(?=u{_DIGITS})")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_SPACE = re.compile(r"[ \t\r\n]")
_GROUP = re.compile(rf"\\u({_DIGITS})")


class Letters(str):
    """Text that is in such letters already."""

    __slots__ = ()


def to_letters(text: str) -> Letters:
    """A string in letters that XML can hold; most strings stay as they are.

    Raises: Malformed for a lone surrogate, which stands for bytes that are not text.
    """
    if isinstance(text, Letters):
        return text
    if _SURROGATE.search(text):
        raise Malformed(where=ascii(text[:80]), why="it is not Unicode text")
    return Letters(_UNWRITABLE.sub(_group, text))


def from_letters(text: str) -> str:
    """The string that `to_letters` was given."""
    return _GROUP.sub(lambda match: chr(int(match[1], 16)), text) if "\\u" in text else text


def to_words(items: Iterable[str]) -> Letters:
    """A list of strings as words with single spaces between them.

    Raises: Malformed for an empty string, which no word can stand for.
    """
    words = [_SPACE.sub(_group, to_letters(item)) for item in items]
    if "" in words:
        raise Malformed(where="a list of the content", why="it holds an empty name")
    return Letters(" ".join(words))


def from_words(text: str) -> tuple[str, ...]:
    """The list that `to_words` was given."""
    return tuple(from_letters(word) for word in _SPACE.split(text) if word)


def _group(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
