"""e2fsck over a filesystem inside an overlay, by showing it only what it reads: the metadata.

e2fsck wants a file; copying the whole volume for it would cost more than the change. It reads no
file data, so a sparse file with everything else is enough. A block that is missing by mistake
reads as zeros there and is reported as damage: the check can fail wrongly, never pass wrongly.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from regild.errors import IntegrityError
from regild.host.run import run
from regild.image.ext import FIRST_ORDINARY, JOURNAL, ExtVolume, Inode
from regild.image.spans import outside

PIECE_BYTES = 1 << 20


def check_filesystem(
    volume: ExtVolume, scratch: Path, inodes: Iterable[Inode] | None = None
) -> None:
    """Have `e2fsck -fn` judge the volume; `scratch` names a file to use and remove, `inodes` are
    those in use where they were read already.

    Raises: IntegrityError with what it found, ToolMissing.
    """
    try:
        _copy_metadata(volume, scratch, volume.read_inodes() if inodes is None else inodes)
        finished = run(
            ["e2fsck", "-f", "-n", scratch], purpose="to check the changed filesystem", check=False
        )
        if finished.code != 0:
            raise IntegrityError(
                where=volume.where, why=f"e2fsck finds: {_findings(finished.stdout)}"
            )
    finally:
        scratch.unlink(missing_ok=True)


def _copy_metadata(volume: ExtVolume, path: Path, inodes: Iterable[Inode]) -> None:
    """Every block in use but file contents, at its place in a sparse file."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.ftruncate(handle, volume.blocks * volume.block_bytes)
        os.pwrite(handle, volume.device.read(0, 4096), 0)
        whole = [(0, volume.blocks * volume.block_bytes)]
        used = outside(whole, volume.read_free())
        for start, length in outside(used, sorted(_content(volume, inodes))):
            for offset in range(start, start + length, PIECE_BYTES):
                piece = volume.device.read(offset, min(PIECE_BYTES, start + length - offset))
                if piece.count(0) != len(piece):
                    os.pwrite(handle, piece, offset)
    finally:
        os.close(handle)


def _content(volume: ExtVolume, inodes: Iterable[Inode]) -> Iterator[tuple[int, int]]:
    """Where file contents lie, as (offset, bytes); the journal keeps its first block."""
    for inode in inodes:
        if not stat.S_ISREG(inode.mode):
            continue
        if inode.number < FIRST_ORDINARY and inode.number != JOURNAL:
            continue
        for run_ in volume.read_runs(inode):
            skip = volume.block_bytes if inode.number == JOURNAL and run_.logical == 0 else 0
            yield run_.physical + skip, run_.length - skip


def _findings(text: bytes) -> str:
    lines = [line.strip() for line in text.decode(errors="replace").splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith(("Pass ", "e2fsck "))]
    return "; ".join(telling[:4]) or "it did not say what"
