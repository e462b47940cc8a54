"""XFS and btrfs, which only a kernel can write: a user-mode one mounts copies of the volumes.

What a volume holds is copied into a sparse file, once; the kernel reads the tree out of it. For
writing it changes that file, and what differs goes into the overlay of the disk, at the places
where the volume lies. Nothing here needs a right on this machine.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from regild.change.inside import Room, Visit
from regild.change.papers import read_paper
from regild.change.tree import Part, below, within
from regild.errors import IntegrityError, Malformed
from regild.host.run import run
from regild.host.uml import run_in_kernel
from regild.image.disk import Disk
from regild.image.grains import GRAIN_BYTES
from regild.image.overlay import Overlay
from regild.image.region import Region
from regild.image.spans import Places, joined, outside
from regild.model.json import from_json, to_json
from regild.model.record import Entry, Inode

CHECKERS: Final = {
    "xfs": ("xfs_repair", "-n", "-f"),
    "btrfs": ("btrfs", "check", "--readonly"),
}
"""What judges a filesystem in a file, without changing it; the file comes last."""
SAID_BYTES: Final = 400
PIECE_BYTES = 1 << 20
BLOCK_BYTES = 4096
_SUM = struct.Struct("<Q32s")
"""A grain's number and the digest of what it held."""
SECONDS_MAX = 3600
ANSWER_BYTES_MAX = 1 << 30


def read_out(
    disk: Disk, parts: Sequence[Part], parts_of_all: tuple[Part, ...], job: Path
) -> tuple[list[Path], dict[str, Room]]:
    """Have the kernel read volumes out: a file with each one's tree, and their free room by mount.

    Raises: as `run_in_kernel`; UnsupportedFilesystem where the kernel does not mount one, DiskFull.
    """
    folder, places = _folder(job), places_of(parts)
    drives = [str(copy) for copy in keep_copies(disk, parts, job)]
    visits = [replace(_visit(part, places), hiding=hidden_by(part, parts_of_all)) for part in parts]
    rooms = _run(visits, drives, folder)
    told = {part.mount: room for part, room in zip(parts, rooms, strict=True)}
    return [folder / f"{number}.tree" for number in range(len(parts))], told


def keep_copies(disk: Disk, parts: Sequence[Part], job: Path) -> list[Path]:
    """Copy the volumes of some parts for `write_in`, with what tells later which grains changed.

    Raises: DiskFull, Malformed.
    """
    volumes, copies = job / "volumes", []
    volumes.mkdir()
    for number, place in enumerate(places_of(parts)):
        copy = volumes / f"{number}.raw"
        copy_volume(disk, place, copy)
        sums = b"".join(_SUM.pack(*row) for row in sums_of(copy).items())
        copy.with_suffix(".sums").write_bytes(sums)
        copies.append(copy)
    return copies


def write_in(
    overlay: Overlay,
    parts: Sequence[Part],
    entries_of: Callable[[Part], list[Entry]],
    job: Path,
) -> dict[str, list[Inode]]:
    """Have the kernel write each volume's entries, and take over what changed; what stands at the
    entries' paths afterwards, by mount.

    Raises: as `run_in_kernel`; GuestFull, IntegrityError.
    """
    folder, visits, places = _folder(job), [], places_of(parts)
    for number, part in enumerate(parts):
        local = [_within(part, entry) for entry in entries_of(part)]
        listed = job / f"{number}.entries"
        listed.write_text(to_json(local, indent=0))
        files = {"entries": str(listed), "content": str(job / "content")}
        visits.append(replace(_visit(part, places), **files))
    copies = [job / "volumes" / f"{number}.raw" for number in range(len(places))]
    _run(visits, [str(one) for one in copies], folder)
    found = {}
    for number, part in enumerate(parts):
        left = folder / f"{number}.found"
        found[part.mount] = list(read_paper(tuple[Inode, ...], left, "the user-mode kernel"))
    kinds = {part.on_disk: part.filesystem for part in parts}
    for place, copy in zip(places, copies, strict=True):
        judge(kinds[place], copy)
        _take_over(overlay, place, copy)
    shutil.rmtree(folder)
    return found


def judge(filesystem: str, volume: Path) -> None:
    """Have the filesystem's own tool look at a volume.

    Raises: IntegrityError with its words, ToolMissing.
    """
    line: list[str | Path] = [*CHECKERS[filesystem], volume]
    finished = run(line, purpose=f"to check {filesystem} filesystems", check=False)
    if finished.code != 0:
        why = f"{line[0]} finds: {finished.tail[-SAID_BYTES:]}"
        raise IntegrityError(where=f"the {filesystem} filesystem", why=why)


def hidden_by(part: Part, parts: tuple[Part, ...]) -> tuple[str, ...]:
    """The folders of a volume that others hide, as it calls them, with a slash at the end."""
    return tuple(
        within(part, other.mount) + "/"
        for other in parts
        if other != part and below(part.mount, other.mount)
    )


def places_of(parts: Sequence[Part]) -> list[Places]:
    """The volumes of some parts; those of one btrfs share one."""
    return list(dict.fromkeys(part.on_disk for part in parts))


def _visit(part: Part, places: list[Places]) -> Visit:
    return Visit(part.mount, places.index(part.on_disk), part.filesystem, part.options)


def copy_volume(disk: Disk, places: Places, path: Path) -> None:
    """Copy what a volume holds into a sparse file; the filesystem's own free blocks too, as far as
    the disk stores them."""
    held = list(joined(disk.extents()))
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        os.ftruncate(handle, sum(length for _, length in places))
        begin = 0
        for place in places:
            for offset, length in outside([place], outside([place], held)):
                for at in range(offset, offset + length, PIECE_BYTES):
                    piece = disk.read(at, min(PIECE_BYTES, offset + length - at))
                    if piece.count(0) != len(piece):
                        os.pwrite(handle, piece, begin + at - place[0])
            begin += place[1]
    finally:
        os.close(handle)


def _folder(job: Path) -> Path:
    folder = job / "kernel"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def _run(visits: list[Visit], drives: list[str], folder: Path) -> tuple[Room, ...]:
    told = run_in_kernel(
        "regild.change.inside",
        {"visits": to_json(visits, indent=0)},
        drives,
        folder,
        purpose=f"to mount {' and '.join(sorted({visit.filesystem for visit in visits}))}",
        timeout_seconds=SECONDS_MAX,
    )
    rooms = from_json(tuple[Room, ...], str(told.get("rooms")), "the user-mode kernel")
    if len(rooms) != len(visits):
        raise Malformed(where="the user-mode kernel", why="it did not do all that it was told")
    return rooms


def _within(part: Part, entry: Entry) -> Entry:
    link = within(part, entry.link_to) if entry.link_to else ""
    return replace(entry, path=within(part, entry.path), link_to=link)


def sums_of(path: Path) -> dict[int, bytes]:
    """The digests of a sparse file's grains by number, but for those that are zeros."""
    found: dict[int, bytes] = {}
    handle = os.open(path, os.O_RDONLY)
    try:
        at, size = 0, os.fstat(handle).st_size
        while at < size:
            try:
                at = os.lseek(handle, at, os.SEEK_DATA) // GRAIN_BYTES * GRAIN_BYTES
            except OSError:  # ENXIO: nothing but a hole
                break
            content = os.pread(handle, GRAIN_BYTES, at)
            if content.count(0) != len(content):
                found[at // GRAIN_BYTES] = hashlib.sha256(content).digest()
            at += GRAIN_BYTES
    finally:
        os.close(handle)
    return found


def _take_over(overlay: Overlay, places: Places, copy: Path) -> None:
    """Write into the overlay what the kernel changed in a volume's copy, block by block."""
    region = Region(overlay, places, copy.name)
    was, now = dict(_SUM.iter_unpack(copy.with_suffix(".sums").read_bytes())), sums_of(copy)
    with copy.open("rb", buffering=0) as file:
        for number in sorted(was.keys() | now.keys()):
            if was.get(number) != now.get(number):
                offset = number * GRAIN_BYTES
                content = os.pread(file.fileno(), GRAIN_BYTES, offset)
                _write_different(region, offset, content)


def _write_different(region: Region, offset: int, content: bytes) -> None:
    before = region.read(offset, len(content))
    for at in range(0, len(content), BLOCK_BYTES):
        piece = content[at : at + BLOCK_BYTES]
        if piece != before[at : at + BLOCK_BYTES]:
            region.write(offset + at, piece)
