"""ACQUIRE: what a booted guest changed, put into an upper directory as the record's stage reads it.

A nested, confined stage. Of each filesystem two states are walked, the disk's and that which the
guest left; what differs is taken out into the upper directory, what is gone becomes a whiteout.
From there on all is as if the guest's scripts had run apart: the same record, gate and writing.
Whatever a guest wrote to its disk past its own filesystem is not seen here and so not taken over.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from regild.change.extract import Extraction, open_part
from regild.change.record import STAYED, mark_of
from regild.change.seal import is_trace
from regild.change.tree import Part, below, within
from regild.errors import RecordRefused
from regild.image.ext import ExtVolume, Inode
from regild.image.formats import disk_of
from regild.image.overlay import Overlay
from regild.image.window import Window
from regild.model.json import from_json
from regild.model.progress import Progress


def main(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """The stage: fill `upper` with what differs between the disk and its overlay `booted`.

    Raises: Malformed, TooLarge, UnsupportedFilesystem where the guest left one unclean,
    RecordRefused for what cannot be recorded, DiskFull.
    """
    parts = from_json(tuple[Part, ...], request["parts"])
    upper = Path(request["upper"])
    base = disk_of(Window(request["disk"], request["where"], request["offset"], request["bytes"]))
    progress.step("Reading what the booted guest changed")
    paths = 0
    with Overlay.open(Path(request["booted"]), base) as booted:
        for part in parts:
            if part.by_library:
                before, after = open_part(base, part), open_part(booted, part, writable=True)
                try:
                    paths += _acquire(before, after, part, parts, upper, progress)
                finally:
                    before.close()
                    after.close()
    return {"paths": paths}


def _acquire(
    before: ExtVolume,
    after: ExtVolume,
    part: Part,
    parts: tuple[Part, ...],
    upper: Path,
    progress: Progress,
) -> int:
    """Take over what differs on one filesystem; how many paths."""
    others = [
        within(part, one.mount) for one in parts if one != part and below(part.mount, one.mount)
    ]
    hidden = tuple(f"{mount}/" for mount in others)
    root = within_upper(part)
    old = {path: _essence(inode) for path, inode in before.walk() if not path.startswith(hidden)}
    kinds: dict[str, int] = {}
    wanted: set[str] = set()
    stayed: set[str] = set()
    for path, inode in after.walk():
        if not path.startswith(hidden):
            kinds[path] = stat.S_IFMT(inode.mode)
            was = old.get(path)
            if was != _essence(inode) and not is_trace(root + path):
                wanted.add(path)
                if was and stat.S_ISREG(inode.mode) and was[0] == _identity(inode):
                    stayed.add(path)
    gone = [
        path
        for path in old
        if path not in kinds and _is_folder(_above(path), kinds) and not is_trace(root + path)
    ]
    for path in (*wanted, *gone, *others):
        while path := _above(path):
            wanted.add(path)
    if not wanted and not gone:
        return 0
    place = Path(f"{upper}{root}")
    place.mkdir(exist_ok=True)
    lost = Extraction(after, part, parts, upper, progress).run(frozenset(wanted))
    _refuse_lost(lost)
    for path in wanted & stayed:
        os.setxattr(f"{place}{path}", STAYED, mark_of(root + path))
    for path in gone:
        os.mknod(f"{place}{path}", stat.S_IFCHR | 0o600, os.makedev(0, 0))
    return len(wanted) + len(gone)


def within_upper(part: Part) -> str:
    """A part's mount point as the end of a folder's path."""
    return "" if part.mount == "/" else part.mount


def _essence(inode: Inode) -> tuple[object, ...]:
    """What shows that an inode was changed by the guest's kernel, which cannot keep its change
    time: that is at offset 12, its nanoseconds at 132."""
    whole = inode.mode, inode.uid, inode.gid, inode.size, inode.mtime_ns, inode.links
    return (_identity(inode), *whole, inode.block, inode.raw[12:16], inode.raw[132:136])


def _identity(inode: Inode) -> tuple[int, bytes]:
    """What another file in its place would not have: number and generation."""
    return inode.number, inode.raw[100:104]


def _above(path: str) -> str:
    return path.rpartition("/")[0]


def _is_folder(path: str, kinds: dict[str, int]) -> bool:
    return not path or kinds.get(path) == stat.S_IFDIR


def _refuse_lost(lost: list[list[str]]) -> None:
    """Refuse what a name space cannot make: leaving it out would change the file.

    Raises: RecordRefused.
    """
    if lost:
        (path, what), *_ = lost
        raise RecordRefused(where=path, why=f"the guest gave it a {what} that is not taken over")
