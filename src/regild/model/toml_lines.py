"""Where in a TOML file a setting stands, so that whoever wrote it is sent to the line."""

from __future__ import annotations

import re


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
