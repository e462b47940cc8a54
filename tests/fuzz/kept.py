"""Inputs that are worth keeping, as text: one file for each target, a line for each input."""

from __future__ import annotations

import base64
import lzma
from collections.abc import Iterable
from pathlib import Path

FOLDER = Path(__file__).parent / "kept"
INPUTS_MAX = 150
BYTES_MAX = 60_000
"""Of one target's file."""


def read_kept(name: str) -> list[bytes]:
    """The inputs that are kept for a target; none where there is no file."""
    path = FOLDER / f"{name}.txt"
    if not path.exists():
        return []
    lines = path.read_text().split()
    return [lzma.decompress(base64.b64decode(line)) for line in lines]


def write_kept(name: str, inputs: Iterable[bytes]) -> int:
    """Keep the smallest of some inputs, as far as they fit; how many there are now."""
    lines: list[str] = []
    room = BYTES_MAX
    for content in sorted(set(inputs), key=lambda one: (len(one), one))[:INPUTS_MAX]:
        line = base64.b64encode(lzma.compress(content, lzma.FORMAT_XZ, lzma.CHECK_NONE)).decode()
        room -= len(line) + 1
        if room < 0:
            break
        lines.append(line)
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines))
    return len(lines)
