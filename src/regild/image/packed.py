"""Disks that are kept in a compressed file: unpacked once into a file without a name.

A compressed stream has no places to read at, and most formats keep something at their end; so it
is unpacked whole, into a sparse file that vanishes with the process (docs/adr/0023). What comes out
is bounded by a limit and by what this machine has free.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import IO, Final, cast

from regild.errors import DiskFull, Truncated
from regild.host.decompress import Reader, open_unpacked
from regild.host.files import translated
from regild.image.window import Window, WindowStream

PACKED: Final = {
    b"\x1f\x8b\x08": ".gz",
    b"\xfd7zXZ\0": ".xz",
    b"\x28\xb5\x2f\xfd": ".zst",
    b"BZh": ".bz2",
}
"""The kinds by the bytes that they begin with."""

UNPACKED_MAX: Final = 1 << 40
BLANK_MAX: Final = 8 << 30
GROWTH_MAX: Final = 1000
"""A disk may come out as this many times what it took packed, and `BLANK_MAX` more: gzip reaches
1032 times on zeros, zstd and bzip2 over 30,000, and a bomb of a few kilobytes is not to keep this
machine busy for hours."""
RESERVE_BYTES: Final = 64 << 20
STEP: Final = 1 << 17
"""Larger pieces come from the system anew each time, which costs four times the unpacking."""
CHECK_BYTES: Final = 64 << 20
"""So often it is looked whether there is room left."""


def kind_of(head: bytes) -> str:
    """The suffix of the compression that some bytes begin with; empty where there is none."""
    return next((kind for magic, kind in PACKED.items() if head.startswith(magic)), "")


def unpacked_window(window: Window, kind: str, stack: contextlib.ExitStack) -> Window:
    """The content of a compressed window as a window of its own; `stack` lets go of it.

    Raises: Malformed, Truncated, TooLarge, DiskFull.
    """
    with translated(Path(tempfile.gettempdir())):
        file = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - the stack closes it
        source = cast(IO[bytes], WindowStream(window))
        limit = min(UNPACKED_MAX, BLANK_MAX + GROWTH_MAX * window.size)
        size = _unpack(open_unpacked(kind, source, window.where, limit), file, window.where)
        file.truncate(size)
    file.flush()
    if size == 0:
        raise Truncated(where=window.where, why="nothing comes out of it")
    return Window(file.fileno(), window.where, 0, size)


def _unpack(reader: Reader, file: IO[bytes], where: str) -> int:
    """Write what comes out of a reader, zeros as holes; how many bytes there are."""
    size = checked = 0
    zeros = bytes(STEP)
    while piece := reader.read(STEP):
        if piece != zeros[: len(piece)]:
            file.seek(size)
            file.write(piece)
        size += len(piece)
        if size - checked >= CHECK_BYTES:
            checked = size
            _check_room(file, where)
    return size


def _check_room(file: IO[bytes], where: str) -> None:
    """Stop while something is left for the others.

    Raises: DiskFull.
    """
    free = os.fstatvfs(file.fileno())
    if free.f_bavail * free.f_frsize < RESERVE_BYTES:
        raise DiskFull(where=tempfile.gettempdir(), why=f"{where} does not fit there unpacked")
