"""A virtual disk written as raw by our own hand, or in another format through qemu-img."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

from regild.host.files import translated
from regild.host.run import run
from regild.image.disk import Disk
from regild.image.grains import GRAIN_BYTES
from regild.model.progress import Progress, Silent

PIECE_BYTES = 1 << 20

QEMU_OPTIONS: dict[str, tuple[str, ...]] = {
    "vmdk-sparse": ("-O", "vmdk", "-o", "subformat=monolithicSparse"),
}
"""What qemu-img is asked for, by the format's name."""


def write_raw(disk: Disk, file: IO[bytes], progress: Progress | None = None) -> None:
    """Write a disk's bytes into an empty file that stays sparse where the disk holds zeros.

    `progress` is told bytes of the virtual disk, which add up to its size.

    Raises: Truncated, Malformed, DiskFull.
    """
    watched = progress or Silent()
    done = 0
    with translated(Path(str(file.name))):
        for offset, length in disk.extents():
            end = offset + length
            while offset < end:
                count = min(PIECE_BYTES - offset % PIECE_BYTES, end - offset)
                _write_data(file, offset, disk.read(offset, count))
                offset += count
                watched.advance(offset - done)
                done = offset
        watched.advance(disk.size - done)
        file.truncate(disk.size)


def _write_data(file: IO[bytes], offset: int, content: bytes) -> None:
    """Write the grains that are not zeros."""
    if content.count(0) == len(content):
        return
    for start in range(0, len(content), GRAIN_BYTES):
        part = content[start : start + GRAIN_BYTES]
        if part != bytes(len(part)):
            file.seek(offset + start)
            file.write(part)


def write_through_qemu(
    disk: Disk, path: Path, form: str, scratch: Path, progress: Progress | None = None
) -> None:
    """Write a disk as `vmdk-sparse`, from a raw file in `scratch` that is removed again.

    Raises: ToolMissing, CommandFailed, Truncated, Malformed, DiskFull.
    """
    raw = scratch / f"{path.name}.{os.getpid()}.raw"
    try:
        with translated(raw), raw.open("wb") as file:
            write_raw(disk, file, progress)
        command: list[str | Path] = [
            "qemu-img",
            "convert",
            "-f",
            "raw",
            *QEMU_OPTIONS[form],
            raw,
            path,
        ]
        run(command, purpose=f"to write {form} disks")
    finally:
        raw.unlink(missing_ok=True)
