"""The text in which LVM2 keeps its metadata: settings, lists and sections in braces.

lvm2 lib/config/config.c: `name = value`, values being numbers, strings or lists of these.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from regild.errors import Malformed, TooLarge

Scalar = int | str

_TOKEN = re.compile(r'\s+|#[^\n]*|"((?:[^"\\]|\\.)*)"|([A-Za-z0-9_.+:-]+)|([={}\[\],])')
_NUMBER = re.compile(r"-?\d{1,19}")
MAX_DEPTH = 8
MAX_TOKENS = 1 << 20


class Section:
    """The settings and sections between two braces.

    What is asked of it and is not there in the kind that was asked for is Malformed.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self._entries: dict[str, Scalar | list[Scalar] | Section] = {}

    def put(self, name: str, entry: Scalar | list[Scalar] | Section) -> None:
        """Keep one entry; a name stands once."""
        if name in self._entries:
            raise Malformed(where=self._where, why=f"LVM's text names {name[:40]!r} twice")
        self._entries[name] = entry

    def number(self, name: str) -> int:
        """A setting that is a number and not negative."""
        found = self._entries.get(name)
        if not isinstance(found, int) or found < 0:
            raise Malformed(where=self._where, why=f"LVM's text lacks the number {name!r}")
        return found

    def text(self, name: str) -> str:
        """A setting that is a string."""
        found = self._entries.get(name)
        if not isinstance(found, str):
            raise Malformed(where=self._where, why=f"LVM's text lacks the string {name!r}")
        return found

    def items(self, name: str) -> list[Scalar]:
        """A list."""
        found = self._entries.get(name)
        if not isinstance(found, list):
            raise Malformed(where=self._where, why=f"LVM's text lacks the list {name!r}")
        return found

    def texts(self, name: str) -> list[str]:
        """The strings of a list; none where there is no such list."""
        found = self._entries.get(name)
        return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []

    def section(self, name: str, missing: bool = False) -> Section:
        """A section; with `missing`, an empty one where there is none."""
        found = self._entries.get(name)
        if not isinstance(found, Section):
            if missing and found is None:
                return Section(self._where)
            raise Malformed(where=self._where, why=f"LVM's text lacks the section {name!r}")
        return found

    def sections(self) -> Iterator[tuple[str, Section]]:
        """All sections in it by name."""
        for name, entry in self._entries.items():
            if isinstance(entry, Section):
                yield name, entry


def read_text(text: str, where: str) -> list[tuple[str, Section]]:
    """The volume groups of a text by name.

    Raises: Malformed, TooLarge.
    """
    tokens = _tokens(text, where)
    return list(_section(tokens, where, 0).sections())


def _tokens(text: str, where: str) -> Iterator[tuple[str, Scalar]]:
    at = count = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise Malformed(where=where, why=f"LVM's text cannot be read at {text[at : at + 20]!r}")
        at = found.end()
        string, word, sign = found.groups()
        if string is not None:
            yield "value", re.sub(r"\\(.)", r"\1", string)
        elif word is not None:
            yield ("value", int(word)) if _NUMBER.fullmatch(word) else ("name", word)
        elif sign is not None:
            yield sign, sign
        count += 1
        if count > MAX_TOKENS:
            raise TooLarge(where=where, why="LVM's text is too long")


def _section(tokens: Iterator[tuple[str, Scalar]], where: str, depth: int) -> Section:
    if depth > MAX_DEPTH:
        raise TooLarge(where=where, why="LVM's text is nested too deeply")
    found = Section(where)
    for kind, name in tokens:
        if kind == "}" and depth:
            return found
        # A name may be all digits.
        if kind != "name" and not isinstance(name, int):
            raise Malformed(where=where, why=f"LVM's text has {str(name)[:20]!r} for a name")
        sign, _ = next(tokens, ("", ""))
        if sign == "{":
            found.put(str(name), _section(tokens, where, depth + 1))
        elif sign == "=":
            found.put(str(name), _value(tokens, where))
        else:
            raise Malformed(where=where, why=f"LVM's text says nothing of {str(name)[:20]!r}")
    if depth:
        raise Malformed(where=where, why="LVM's text is cut off")
    return found


def _value(tokens: Iterator[tuple[str, Scalar]], where: str) -> Scalar | list[Scalar]:
    kind, value = next(tokens, ("", ""))
    if kind == "value":
        return value
    items: list[Scalar] = []
    if kind == "[":
        for kind, value in tokens:
            if kind == "]":
                return items
            if kind == "value":
                items.append(value)
            elif kind != ",":
                break
    raise Malformed(where=where, why="LVM's text has a value that cannot be read")
