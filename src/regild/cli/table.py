"""Plain text tables: aligned columns that wrap instead of being cut, made safe to print."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from regild.cli.text import plain

GAP = 2
NARROWEST = 12
"""No column is squeezed below this many signs."""
SENTENCE = 16
"""Columns of several words give way first, down to this many signs."""
_PIECE = re.compile(r"[^-+~:/,@]*[-+~:/,@]*")
"""Where a word may be broken that is too long for its column: after such signs."""


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], width: int) -> list[str]:
    """Lines of a table under a head; cells longer than their column go on below, none is cut."""
    cells = [[plain(cell) for cell in row] for row in rows]
    if not cells:
        return []
    return _laid_out([list(head), *cells], width)


def pairs(rows: Iterable[tuple[str, Any]], width: int) -> list[str]:
    """Lines of `name  value`, the values aligned; a value may be a list, one line each."""
    cells: list[list[str]] = []
    for name, value in rows:
        values = value if isinstance(value, list | tuple) else [value]
        for number, one in enumerate(values or ["none"]):
            cells.append([name if number == 0 else "", plain(one)])
    return _laid_out(cells, width)


def _laid_out(cells: list[list[str]], width: int) -> list[str]:
    columns = _columns(cells, width)
    lines: list[str] = []
    for row in cells:
        wrapped = [_wrapped(cell, column) for cell, column in zip(row, columns, strict=True)]
        for number in range(max(map(len, wrapped))):
            parts = [
                (cell[number] if number < len(cell) else "").ljust(column)
                for cell, column in zip(wrapped, columns, strict=True)
            ]
            lines.append((" " * GAP).join(parts).rstrip())
    return lines


def _wrapped(cell: str, column: int) -> list[str]:
    """The lines of a cell; only what is too long for a line is broken, between its pieces."""
    words = []
    for word in cell.split():
        line = ""
        for piece in _PIECE.findall(word) if len(word) > column else [word]:
            if len(line + piece) > column:
                words.append(line)
                line = ""
            line += piece
        words.append(line)
    return textwrap.wrap(" ".join(filter(None, words)), column, break_on_hyphens=False) or [""]


def _columns(cells: list[list[str]], width: int) -> list[int]:
    """A width for each column: what its longest cell needs, sentences giving way first, then the
    widest."""
    columns = [max(1, *(len(row[number]) for row in cells)) for number in range(len(cells[0]))]
    room = width - GAP * (len(columns) - 1)
    for number in range(len(columns)):
        over = sum(columns) - room
        if over > 0 and any(row[number].count(" ") > 1 for row in cells[1:]):
            columns[number] = max(min(SENTENCE, columns[number]), columns[number] - over)
    while sum(columns) > room and max(columns) > NARROWEST:
        widest = columns.index(max(columns))
        rest = sorted(columns)[-2] if len(columns) > 1 else NARROWEST
        over = sum(columns) - room
        columns[widest] = max(NARROWEST, columns[widest] - over, min(rest, columns[widest] - 1))
    return columns
