"""What differs between a disk and its overlay, apart from what is on record: nothing, or a fault.

Runs as a stage (`regild.host.stage`), because it reads a stranger's filesystems through libext2fs.
Every path of both sides is compared by its inode; contents are compared where blocks of the file
were changed. It knows nothing of how the change was made, and so checks whoever made it.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

from regild.errors import InputError, IntegrityError, UnsupportedError
from regild.image.disk import Disk
from regild.image.ext import ExtVolume, Inode
from regild.image.filecheck import check_filesystem
from regild.image.formats import disk_of
from regild.image.overlay import Overlay
from regild.image.region import Region
from regild.image.spans import Places
from regild.image.window import Window
from regild.model.content import Value
from regild.model.json import from_json, to_json
from regild.model.plan import Difference
from regild.model.progress import Progress

FOUND_MAX = 1000
"""Differences told of one filesystem; the first would be enough to refuse."""


class Area(Value, frozen=True):
    """One ext2/3/4 filesystem of the guest: where it is mounted and where it lies."""

    mount: str
    places: Places


def main(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """The stage: compare the disk in file descriptor `disk` with the `overlay` above it.

    `areas` are its filesystems, `known` the paths on record; e2fsck judges each too, with the file
    `scratch` to work in. Answers `touched` and `filesystems`, both differences, and `bytes_read` of
    the disk. Where no overlay is named, only e2fsck is asked.

    Raises: Malformed for the overlay itself, ToolMissing.
    """
    areas = from_json(tuple[Area, ...], request["areas"])
    known = frozenset(request["known"])
    base = disk_of(Window(request["disk"], request["where"], request["offset"], request["bytes"]))
    touched: list[Difference] = []
    unclean: list[Difference] = []
    wanted = "for changes that are not on record" if request["overlay"] else "over the filesystems"
    progress.step(f"Looking {wanted}", None)
    with _laid_over(base, request["overlay"]) as disk:
        for area in areas:
            try:
                inodes = None
                if isinstance(disk, Overlay):
                    comparison = _Comparison(base, disk, area, known)
                    touched += comparison.run()
                    inodes = comparison.seen
                unclean += _judged(disk, area, Path(request["scratch"]), inodes)
            except (InputError, UnsupportedError) as error:
                what = f"the filesystem of {area.mount}"
                unclean.append(Difference(what, "one that can be read", error.why))
    found = {"touched": to_json(touched, 0), "filesystems": to_json(unclean, 0)}
    return {**found, "bytes_read": base.bytes_read}


def _laid_over(base: Disk, overlay: str) -> AbstractContextManager[Disk | Overlay]:
    return Overlay.open(Path(overlay), base) if overlay else nullcontext(base)


class _Comparison:
    """One filesystem on both sides."""

    def __init__(self, base: Disk, overlay: Overlay, area: Area, known: frozenset[str]) -> None:
        self.overlay, self.area, self.known = overlay, area, known
        self.region = Region(overlay, area.places, area.mount)
        self.before, self.after = _opened(base, area), _opened(overlay, area)
        self.was: dict[int, Inode] = {}
        self.seen: dict[int, Inode] = {}
        """The inodes in use, before and after; the same one where its bytes are the same."""
        self._names: dict[int, list[tuple[str, int]]] = {}

    def run(self) -> list[Difference]:
        """What differs and is not known, sorted by path."""
        try:
            return list(islice(self._differences(), FOUND_MAX))
        finally:
            self.before.close()
            self.after.close()

    def _differences(self) -> Iterator[Difference]:
        self.was = {one.number: one for one in self.before.read_inodes()}
        self.seen = {one.number: one for one in self.after.read_inodes(self.was)}
        was = dict(self.before.walk(self.was, self._names_before))
        seen = dict(self.after.walk(self.seen, self._names_after))
        for path in sorted(was.keys() | seen.keys()):
            place = self.area.mount.rstrip("/") + path
            if place not in self.known:
                told = self._compare(was.get(path), seen.get(path))
                if told is not None:
                    yield Difference(place, *told)

    def _names_before(self, folder: Inode) -> list[tuple[str, int]]:
        found = self._names[folder.number] = self.before.read_names(folder)
        return found

    def _names_after(self, folder: Inode) -> list[tuple[str, int]]:
        """The names in a folder, read anew unless neither its inode nor a block of it changed."""
        known = self._names.get(folder.number)
        is_same = known is not None and self.was.get(folder.number) is folder
        if known is not None and is_same and not self._may_differ(folder, folder):
            return known
        return self.after.read_names(folder)

    def _compare(self, was: Inode | None, seen: Inode | None) -> tuple[str, str] | None:
        """What a path was and is, in words; None where it is the same."""
        if was is None or seen is None:
            return ("absent", "added") if was is None else ("as before", "absent")
        for facts in (_facts, _times):
            if was.raw != seen.raw and facts(was) != facts(seen):
                return facts(was), facts(seen)
        if stat.S_ISLNK(was.mode):
            ends = self.before.read_target(was), self.after.read_target(seen)
            return None if ends[0] == ends[1] else (f"link to {ends[0]}", f"link to {ends[1]}")
        if self.before.read_attributes(was) != self.after.read_attributes(seen):
            return "attributes as before", "others"
        if stat.S_ISREG(was.mode) and self._may_differ(was, seen):
            digests = _digest(self.before, was), _digest(self.after, seen)
            return None if digests[0] == digests[1] else digests
        return None

    def _may_differ(self, was: Inode, seen: Inode) -> bool:
        """Whether a file or folder lies elsewhere now, or in blocks that were changed."""
        runs = self.after.read_runs(seen)
        if was.block != seen.block or was.flags != seen.flags:
            return True
        if not seen.is_mapped_inside and self.before.read_runs(was) != runs:
            return True
        places = (self.region.on_disk(run.physical, run.length) for run in runs)
        return any(self.overlay.touches(*place) for pieces in places for place in pieces)


def _opened(disk: Disk | Overlay, area: Area) -> ExtVolume:
    where = f"the filesystem of {area.mount}"
    return ExtVolume(Region(disk, area.places, where), where)


def _facts(inode: Inode) -> str:
    """Type, mode, owner and size; folders grow and shrink by themselves."""
    is_folder = stat.S_ISDIR(inode.mode)
    size = "" if is_folder else f", {inode.size} bytes, {inode.links} names"
    device = (
        f", device {inode.device}" if stat.S_ISCHR(inode.mode) or stat.S_ISBLK(inode.mode) else ""
    )
    return f"mode {inode.mode:06o}, owner {inode.uid}:{inode.gid}{size}{device}"


def _times(inode: Inode) -> str:
    return f"changed at {inode.mtime_ns // 10**9}"


def _digest(volume: ExtVolume, inode: Inode) -> str:
    """The digest of a file's content, holes read as zeros."""
    found, done = hashlib.sha256(), 0
    for offset, piece in volume.read_content(inode):
        found.update(bytes(offset - done))
        found.update(piece)
        done = offset + len(piece)
    found.update(bytes(max(inode.size - done, 0)))
    return f"sha256:{found.hexdigest()}"


def _judged(
    disk: Disk | Overlay, area: Area, scratch: Path, inodes: dict[int, Inode] | None
) -> list[Difference]:
    """What e2fsck says of one filesystem."""
    volume = _opened(disk, area)
    try:
        check_filesystem(volume, scratch, inodes.values() if inodes is not None else None)
    except IntegrityError as error:
        return [Difference(f"the filesystem of {area.mount}", "clean", error.why)]
    finally:
        volume.close()
    return []
