"""Guests on real filesystems, small, built by mke2fs, mkfs.vfat and mtools without root."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.image.disks import blank, tool
from tests.image.test_volumes import gpt

OS_RELEASE = 'ID=debian\nVERSION_ID="12"\n'
STATUS = "Package: a\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n\n"

FIRST = uuid.UUID(int=1)
FILES = {"etc/os-release": OS_RELEASE, "var/lib/dpkg/status": STATUS}


@dataclass
class Part:
    """One partition: what it is made with and what it holds."""

    kind: str = "ext4"
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    label: str = ""
    own: uuid.UUID = FIRST
    mebibytes: int = 8
    content: bytes = b""
    """Written over its begin, for what has no tool."""


def tree_of(folder: Path, part: Part) -> Path:
    for name, content in part.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    for name, target in part.links.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)
    return folder


def volume(path: Path, part: Part) -> Path:
    """The bytes of one partition."""
    blank(path, part.mebibytes << 20)
    folder = path.with_suffix(".tree")
    folder.mkdir()
    tree_of(folder, part)
    if part.kind.startswith("ext"):
        options = ["-q", "-F", "-t", part.kind, "-U", part.own, "-L", part.label, "-b", "1024"]
        tool("mke2fs", *options, "-d", folder, path)
    elif part.kind == "vfat":
        serial = f"{part.own.int & 0xFFFFFFFF:08X}"
        tool("mkfs.vfat", "-i", serial, "-n", part.label or "ESP", path)
        for top in sorted(folder.iterdir()):
            tool("mcopy", "-s", "-i", path, top, f"::{top.name}")
    with path.open("r+b") as file:
        file.write(part.content)
    return path


def disk_of(folder: Path, parts: Sequence[Part], kinds: Sequence[uuid.UUID] = ()) -> Path:
    """A GPT disk with these partitions, one behind the other."""
    from tests.image.test_volumes import LINUX

    sectors = 2048
    entries = []
    for index, part in enumerate(parts):
        count = part.mebibytes << 11
        kind = kinds[index] if index < len(kinds) else LINUX
        entries.append((kind, sectors, sectors + count - 1, part.label))
        sectors += count
    content = gpt(entries, size=(sectors + 2048) * 512).content
    path = folder / "disk.raw"
    path.write_bytes(content)
    with path.open("r+b") as file:
        for index, (part, entry) in enumerate(zip(parts, entries, strict=True)):
            file.seek(entry[1] * 512)
            file.write(volume(folder / f"part{index}", part).read_bytes())
    return path


def set_dirty(path: Path, offset: int) -> None:
    """Mark the ext filesystem at `offset` as one whose journal must be replayed."""
    with path.open("r+b") as file:
        file.seek(offset + 1024 + 0x60)
        features = struct.unpack("<I", file.read(4))[0]
        file.seek(offset + 1024 + 0x60)
        file.write(struct.pack("<I", features | 0x4))
