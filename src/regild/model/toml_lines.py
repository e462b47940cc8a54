"""TOML that a stranger may have written, read in a time that grows with its length (TOML 1.0); and
where in it a setting stands, so that whoever wrote it is sent to the line."""

from __future__ import annotations

import re
from typing import Any

from regild.errors import Malformed

PARTS_LIMIT = 64
"""How deep a key may lead: `a.b.c` has three parts. The standard library's reader takes a time
that grows with the square of this number, and a megabyte has room for half a million."""

_LONG_KEY = re.compile(
    r"(?<![A-Za-z0-9_\-\\])"  # from the middle of a part it would look at the rest ever again
    r"(?>(?:[A-Za-z0-9_-]++|\"(?:[^\"\\\n]|\\.)*+\"|'[^'\n]*+')[ \t]*+\.[ \t]*+)"
    rf"{{{PARTS_LIMIT}}}"
)


def read_toml(content: bytes | str, where: str) -> dict[str, Any]:
    """The tables of a TOML text.

    Raises: Malformed for what is no TOML, with the line as far as that is known, and for what
    leads deeper than anybody means.
    """
    import tomllib  # a plan without a site's file and without recipes asks for none

    text = ""
    try:
        text = content.decode() if isinstance(content, bytes) else content
        _refuse_long_names(text, where)
        return tomllib.loads(text)
    except RecursionError as error:
        raise Malformed(where=where, why="it is nested too deep") from error
    except ValueError as error:  # of TOML, UTF-8, and a number of too many digits
        last = f"at line {len(text.splitlines()) or 1}, the last one"
        why = str(error).replace("at end of document", last)
        raise Malformed(where=where, why=why) from error


def _refuse_long_names(text: str, where: str) -> None:
    """Look for names of too many parts.

    Raises: Malformed.
    """
    if (found := _long_key(text)) is not None:
        line = text.count("\n", 0, found) + 1
        raise Malformed(where=where, why=f"a name has over {PARTS_LIMIT} parts (at line {line})")


def _long_key(text: str) -> int | None:
    """Where a name with too many parts begins. Only a line with that many dots is looked into."""
    at = 0
    for line in text.split("\n"):
        if line.count(".") >= PARTS_LIMIT and (found := _LONG_KEY.search(line)):
            return at + found.start()
        at += len(line) + 1
    return None


def line_of(text: str, table: str, name: str, nth: int = 0) -> int:
    """The number of the line with a setting of a table, or of a table's heading where there is no
    such line; 0 where there is no heading either.

    `nth` counts tables of one name, as an array of tables has them. A setting may also stand within
    the braces of another.
    """
    lines = text.splitlines()
    begin, end = _block(lines, table, nth)
    if not begin:
        return 0
    word = rf"\"?{re.escape(name)}\"?\s*="
    for pattern in (rf"\s*{word}", rf".*[{{,]\s*{word}") if name else ():
        for number in range(begin, end):
            if re.match(pattern, lines[number]):
                return number + 1
    return begin


def _block(lines: list[str], table: str, nth: int) -> tuple[int, int]:
    """The numbers of a table's heading, and of its last line; zeros where it is not there."""
    begin = 0
    for number, line in enumerate(lines, 1):
        if found := re.match(r"\s*\[\[?\s*([^\[\]]+?)\s*\]", line):
            if begin:
                return begin, number - 1
            if found[1] == table:
                begin, nth = (number, 0) if nth == 0 else (0, nth - 1)
    return begin, len(lines) if begin else 0
