"""Text that came out of an image, made safe to print: nothing in it can steer a terminal.

Package names, versions, paths and reasons are written by whoever built the image. Control
characters (ECMA-48, C0 and C1), line and paragraph separators and the direction marks of Unicode
(UAX 9) are shown as escapes instead of being obeyed.
"""

from __future__ import annotations

import re
from typing import Any

_STEERING = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # C0, DEL, C1
    "\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"  # invisible, separators, direction
    "\ud800-\udfff"  # bytes that were not UTF-8 (surrogate escapes)
    "\ufff9-\ufffb"  # interlinear annotation
    "\U000e0000-\U000e007f"  # tags
    "]"
)
"""None of them is printable (str.isprintable), so most text need not be searched for them."""


def plain(text: Any) -> str:
    """One line of text without anything that a terminal would obey; such signs become escapes."""
    line = str(text)
    return line if line.isprintable() else _STEERING.sub(_escape, line)


def plain_lines(text: Any) -> str:
    """Text of several lines, each made safe as by `plain`."""
    return "\n".join(plain(line.replace("\t", "    ")) for line in str(text).split("\n"))


def plain_json(text: str) -> str:
    r"""JSON text with the same meaning, in which such signs stand as `\uXXXX`.

    A JSON writer escapes C0 alone. The others can only stand inside strings, and line feeds of the
    layout stay.
    """
    return "\n".join(
        line if line.isprintable() else _STEERING.sub(_escape_json, line)
        for line in text.split("\n")
    )


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return found[0].encode("unicode_escape").decode("ascii")


def _escape_json(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
