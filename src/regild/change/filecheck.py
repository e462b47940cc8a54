"""e2fsck over a filesystem inside an overlay, by showing it only what it reads: the metadata.

e2fsck wants a file; copying the whole volume for it would cost more than the change. It reads no
file data, so a sparse file with everything else is enough. A block that is missing by mistake
reads as zeros there and is reported as damage: the check can fail wrongly, never pass wrongly.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from regild.errors import IntegrityError
from regild.host.run import run
from regild.image.ext import FIRST_ORDINARY, JOURNAL, ExtVolume

PIECE_BYTES = 1 << 20


def check_filesystem(volume: ExtVolume, scratch: Path) -> None:
    """Have `e2fsck -fn` judge the volume; `scratch` names a file to use and remove.

    Raises: IntegrityError with what it found, ToolMissing.
    """
    try:
        _copy_metadata(volume, scratch)
        finished = run(
            ["e2fsck", "-f", "-n", scratch], purpose="to check the changed filesystem", check=False
        )
        if finished.code != 0:
            raise IntegrityError(
                where=volume.where, why=f"e2fsck finds: {_findings(finished.stdout)}"
            )
    finally:
        scratch.unlink(missing_ok=True)


def _copy_metadata(volume: ExtVolume, path: Path) -> None:
    """Every block in use but file contents, at its place in a sparse file."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.ftruncate(handle, volume.blocks * volume.block_bytes)
        os.pwrite(handle, volume.device.read(0, 4096), 0)
        for start, end in _without(_used(volume), sorted(_content(volume))):
            for offset in range(start, end, PIECE_BYTES):
                piece = volume.device.read(offset, min(PIECE_BYTES, end - offset))
                if piece.count(0) != len(piece):
                    os.pwrite(handle, piece, offset)
    finally:
        os.close(handle)


def _used(volume: ExtVolume) -> Iterator[tuple[int, int]]:
    """The volume's ranges in use, as (begin, end) in bytes."""
    begin = 0
    for offset, length in volume.read_free():
        if offset > begin:
            yield begin, offset
        begin = offset + length
    end = volume.blocks * volume.block_bytes
    if begin < end:
        yield begin, end


def _content(volume: ExtVolume) -> Iterator[tuple[int, int]]:
    """Where file contents lie; the journal's first block is its superblock and is kept."""
    for inode in volume.read_inodes():
        if not stat.S_ISREG(inode.mode):
            continue
        if inode.number < FIRST_ORDINARY and inode.number != JOURNAL:
            continue
        for run_ in volume.read_runs(inode):
            skip = volume.block_bytes if inode.number == JOURNAL and run_.logical == 0 else 0
            yield run_.physical + skip, run_.physical + run_.length


def _without(
    spans: Iterator[tuple[int, int]], holes: list[tuple[int, int]]
) -> Iterator[tuple[int, int]]:
    """Ascending spans less ascending holes."""
    place = 0
    for start, end in spans:
        while place < len(holes) and holes[place][1] <= start:
            place += 1
        index = place
        while index < len(holes) and holes[index][0] < end:
            if holes[index][0] > start:
                yield start, holes[index][0]
            start = max(start, holes[index][1])
            index += 1
        if start < end:
            yield start, end


def _findings(text: bytes) -> str:
    lines = [line.strip() for line in text.decode(errors="replace").splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith(("Pass ", "e2fsck "))]
    return "; ".join(telling[:4]) or "it did not say what"
