"""A virtual disk written as raw by our own hand, or as VHD or VHDX through qemu-img."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import IO

from regild.host.files import translated
from regild.host.reflink import Sharing
from regild.host.run import run
from regild.image.disk import Disk
from regild.image.grains import GRAIN_BYTES
from regild.image.merkle import virtual_digest
from regild.image.vhd_seal import seal_vhd, seal_vhdx
from regild.image.whereabouts import place_of
from regild.model.digest import hex_of
from regild.model.progress import Progress, Silent

PIECE_BYTES = 1 << 20

QEMU_OPTIONS: dict[str, tuple[str, ...]] = {
    "vhd": ("-O", "vpc", "-o", "subformat=dynamic,force_size=on"),
    "vhdx": ("-O", "vhdx", "-o", "subformat=dynamic"),
}
"""What qemu-img is asked for, by the format's name."""
SEALS: dict[str, Callable[[Path, bytes], None]] = {"vhd": seal_vhd, "vhdx": seal_vhdx}


def write_raw(disk: Disk, file: IO[bytes], progress: Progress | None = None) -> None:
    """Write a disk's bytes into an empty file that stays sparse where the disk holds zeros; what
    lies in a file of the same filesystem as it is shares its blocks, where that can be.

    `progress` is told bytes of the virtual disk, which add up to its size.

    Raises: Truncated, Malformed, DiskFull.
    """
    watched = progress or Silent()
    sharing, done = Sharing(), 0
    with translated(Path(str(file.name))):
        for offset, length in disk.extents():
            end = offset + length
            while offset < end:
                count = min(PIECE_BYTES - offset % PIECE_BYTES, end - offset)
                place = place_of(disk, offset, count)
                if place is None or not sharing.share(*place, file.fileno(), offset, count):
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
    """Write a disk as `vhd` or `vhdx`, from a raw file in `scratch` that is removed again; equal
    disks give equal files.

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
        SEALS[form](path, bytes.fromhex(hex_of(virtual_digest(disk)))[:16])
    finally:
        raw.unlink(missing_ok=True)
