"""What files and disks hold, as digests made by other people's tools."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def raw_digest(disk: Path, folder: Path) -> str:
    """Of the bytes that a guest sees, as qemu-img reads the disk."""
    flat = folder / f"{disk.name}.flat"
    subprocess.run(["qemu-img", "convert", "-O", "raw", disk, flat], check=True)
    return sha256(flat)
