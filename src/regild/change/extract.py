"""EXTRACT: take the guest's tree out of its disk, as a folder with the guest's owners and modes.

Runs as a stage (`regild.host.stage`), in a name space where the guest's ids are ours to give. What
a name space cannot make (device nodes, some attributes) is named in the answer, so that nobody
takes its absence for a change.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from regild.change.dress import dress
from regild.change.inside import Room
from regild.change.left import LEFT, Fitting, Left, worth_leaving
from regild.change.stream import FIXED
from regild.change.tree import Part, below, within
from regild.change.unpack import Unpacking
from regild.errors import DiskFull, Malformed, TooLarge
from regild.host.run import run
from regild.image.disk import Disk
from regild.image.ext import ROOT, ExtVolume, Inode, Run
from regild.image.formats import disk_of
from regild.image.overlay import Overlay
from regild.image.region import Region
from regild.image.window import Window
from regild.model.content import Value
from regild.model.json import from_json, to_json
from regild.model.progress import Progress

LOST_MAX = 10_000
FITTED = ".regild"
"""A name in a folder that holds nothing yet."""
TAKEN = "taken.json"
"""The file beside the tree that says what was learned while it was taken out (`Taken`)."""


def main(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """The stage: extract every writable part below `tree` from the disk in file descriptor `disk`.

    With `again` the tree of an earlier try goes. With `leave` in the request, what is data stays
    in the image (`regild.change.left`) where that is so many bytes or more, and the file
    `left.json` beside the tree tells of it. What is taken out may be `memory_bytes`, where that is
    in the request.

    Raises: Malformed, TooLarge, UnsupportedFilesystem, DiskFull.
    """
    parts = from_json(tuple[Part, ...], request["parts"])
    tree = Path(request["tree"])
    if request.get("again"):
        run(["rm", "-rf", "--", tree], purpose="to remove what a first try took out")
    tree.mkdir(mode=0o755, exist_ok=True)
    if any(tree.iterdir()):
        raise Malformed(where=str(tree), why="it is not empty")
    disk = disk_of(Window(request["disk"], request["where"], request["offset"], request["bytes"]))
    progress.step("Taking the guest's files out", None)
    taken = _Taken(request.get("leave", 0), request.get("memory_bytes"))
    sent = _read_by_kernel(disk, parts, tree.parent, taken)
    for part in parts:
        if part.by_library:
            _extract_part(disk, part, parts, tree, taken, progress)
        elif part.by_kernel:
            _unpack_part(sent[part.mount], part, tree, taken, progress)
    told = {
        "bytes_read": disk.bytes_read,
        "bytes_taken": taken.bytes_taken,
        "bytes_left": taken.bytes_left,
        "largest_left": taken.largest_left,
    }
    found = Taken(taken.rooms, tuple(taken.fixed), **told)
    (tree.parent / TAKEN).write_text(to_json(found, indent=0))
    (tree.parent / LEFT).unlink(missing_ok=True)
    if taken.left:
        (tree.parent / LEFT).write_text(to_json(taken.left, indent=0))
        size = taken.bytes_left >> 20
        progress.note(f"{len(taken.left):,} files with {size:,} MiB of data stay in the image")
    return {"lost": taken.lost[:LOST_MAX], **told}


class Taken(Value, frozen=True):
    """What was learned of the guest's filesystems while their files were taken out."""

    rooms: dict[str, Room]
    """What is free, by mount point, for those that a kernel read."""
    fixed: tuple[str, ...]
    """Paths that the guest made immutable, or to be appended to only."""
    bytes_read: int = 0
    """Of the disk, by the library."""
    bytes_taken: int = 0
    """Content that the library took out."""
    bytes_left: int = 0
    """Content that was left in the image."""
    largest_left: int = 0
    """Content of the largest file of these."""


class _Taken:
    """The same while it grows, what cannot be made here: (path, what), and what is left in the
    image, if that is wanted."""

    def __init__(self, leave: int = 0, most_bytes: int | None = None) -> None:
        self.leave, self.most_bytes = leave, most_bytes
        self.left: list[Left] = []
        self.bytes_left = self.bytes_taken = self.largest_left = 0
        self.lost: list[list[str]] = []
        self.fixed: list[str] = []
        self.rooms: dict[str, Room] = {}


def _read_by_kernel(
    disk: Disk, parts: tuple[Part, ...], job: Path, taken: _Taken
) -> dict[str, Path]:
    """Have a user-mode kernel read out what only a kernel reads; each one's stream by mount."""
    asked = [part for part in parts if part.by_kernel]
    if not asked:
        return {}
    from regild.change.kernel import read_out

    streams, rooms = read_out(disk, asked, parts, job)
    taken.rooms.update(rooms)
    return {part.mount: path for part, path in zip(asked, streams, strict=True)}


def _unpack_part(stream: Path, part: Part, tree: Path, taken: _Taken, progress: Progress) -> None:
    """Make what the kernel sent of one filesystem below its mount point."""
    check_mount_point(tree, part.mount)
    where = part.volume or part.mount
    base = str(tree) + ("" if part.mount == "/" else part.mount)
    with _translated(where), stream.open("rb") as source:
        unpacking = Unpacking(base, part.mount, where, progress)
        unpacking.run(source)
    stream.unlink()
    taken.lost += unpacking.lost
    taken.fixed += unpacking.fixed


def open_part(disk: Disk | Overlay, part: Part, writable: bool = False) -> ExtVolume:
    """Open one of the guest's filesystems, which sees nothing of the disk but its own volume."""
    where = part.volume or part.mount
    return ExtVolume(Region(disk, part.on_disk, where), where, writable)


def _extract_part(
    disk: Disk,
    part: Part,
    parts: tuple[Part, ...],
    tree: Path,
    taken: _Taken,
    progress: Progress,
) -> None:
    """Take one filesystem out below its mount point."""
    check_mount_point(tree, part.mount)
    volume = open_part(disk, part)
    try:
        with _translated(volume.where):
            most = taken.most_bytes and taken.most_bytes - taken.bytes_taken
            extraction = Extraction(volume, part, parts, tree, progress, taken.leave, most)
            taken.lost += extraction.run()
            taken.fixed += extraction.fixed
            taken.left += extraction.left
            taken.bytes_left += extraction.bytes_left
            taken.largest_left = max(taken.largest_left, extraction.largest_left)
            taken.bytes_taken += extraction.bytes_taken
    finally:
        volume.close()


def check_mount_point(tree: Path, mount: str) -> None:
    """Refuse a mount point that leads over a link, or that the filesystem above does not have.

    Raises: Malformed.
    """
    place = str(tree)
    for name in mount.strip("/").split("/"):
        place = f"{place}/{name}" if name else place
        if not os.path.lexists(place) or not stat.S_ISDIR(os.lstat(place).st_mode):
            raise Malformed(where=mount, why="it is mounted where the guest has no folder")


class Extraction:
    """One filesystem on its way into a folder: folders, files, links, and last what they wear."""

    def __init__(
        self,
        volume: ExtVolume,
        part: Part,
        parts: tuple[Part, ...],
        tree: Path,
        progress: Progress,
        leave: int = 0,
        most_bytes: int | None = None,
    ) -> None:
        """Data of `leave` bytes or more are left where they are (0: none are); the rest may be
        `most_bytes`."""
        self.volume, self.part, self.progress = volume, part, progress
        self.leave, self.most_bytes = leave, most_bytes
        self.left: list[Left] = []
        self.bytes_left = self.bytes_taken = self.largest_left = 0
        self._unread = volume.blocks * volume.block_bytes
        self.base = str(tree) + ("" if part.mount == "/" else part.mount)
        self.hiding = tuple(
            within(part, other.mount) + "/"
            for other in parts
            if other != part and below(part.mount, other.mount)
        )
        self.lost: list[list[str]] = []
        self.fixed: list[str] = []

    def run(self, wanted: frozenset[str] | None = None) -> list[list[str]]:
        """Extract everything, or only the `wanted` paths with all folders above them; returns
        (path, what) of what could not be made here."""
        paths: dict[int, list[str]] = {}
        inodes: dict[int, Inode] = {}
        for path, inode in self.volume.walk():
            paths.setdefault(inode.number, []).append(path)
            inodes[inode.number] = inode
            if inode.flags & FIXED:
                self.fixed.append(self.part.mount.rstrip("/") + path)
        by_kind = self._sort(inodes, paths, wanted)
        files = self._leave(by_kind.pop(stat.S_IFREG, []), paths)
        folders = [(paths[i.number][0], i) for i in by_kind.pop(stat.S_IFDIR, [])]
        folders.sort(key=lambda row: row[0].count("/"))
        for name, _ in folders:
            os.mkdir(self.base + name, 0o700)
        self._make_files(files, paths)
        # Links come after everything that is written through a path, so that none is followed.
        links = by_kind.pop(stat.S_IFLNK, [])
        for inode in [*(i for rest in by_kind.values() for i in rest), *links]:
            self._make_special(paths[inode.number], inode)
        for name, inode in reversed(folders):
            self._dress(name, inode)
        self._dress("", self.volume.read_inode(ROOT))
        return self.lost

    def _sort(
        self,
        inodes: dict[int, Inode],
        paths: dict[int, list[str]],
        wanted: frozenset[str] | None,
    ) -> dict[int, list[Inode]]:
        """Inodes by type, without names that another filesystem hides or nobody wants."""
        by_kind: dict[int, list[Inode]] = {}
        for inode in inodes.values():
            names = paths[inode.number]
            if not stat.S_ISDIR(inode.mode) and inode.links != len(names):
                why = f"{names[0]!r} has {len(names)} names and counts {inode.links}"
                raise Malformed(where=self.volume.where, why=why)
            if self.hiding:
                paths[inode.number] = names = [n for n in names if not n.startswith(self.hiding)]
            if wanted is not None:
                paths[inode.number] = names = [n for n in names if n in wanted]
            if names:
                by_kind.setdefault(stat.S_IFMT(inode.mode), []).append(inode)
        return by_kind

    def _leave(self, files: list[Inode], paths: dict[int, list[str]]) -> list[Inode]:
        """Note the files that are left where they are; those that are taken out."""
        mount = self.part.mount
        stays = worth_leaving(files, paths, mount, self.leave) if self.leave else frozenset()
        if not stays:
            return files
        fitting = Fitting(self.volume, f"{self.base}/{FITTED}")
        for inode in files:
            if inode.number in stays:
                names = tuple(paths[inode.number])
                worn, lost = fitting.wear(inode, names[0])
                held = sum(run.length for run in self._runs(inode))
                self.bytes_left += held
                self.largest_left = max(self.largest_left, held)
                self.left.append(Left(mount, inode.number, names, worn))
                self.lost += [[mount.rstrip("/") + names[0], name] for name in lost]
        return [inode for inode in files if inode.number not in stays]

    def _runs(self, inode: Inode) -> list[Run]:
        """Where a file's data lie, which no other file may share."""
        runs = self.volume.read_runs(inode)
        self._unread -= sum(run.length for run in runs)
        if self._unread < 0:
            raise Malformed(where=self.volume.where, why="its files share blocks")
        return runs

    def _make_files(self, files: list[Inode], paths: dict[int, list[str]]) -> None:
        """Write regular files in the order in which their data lie on the disk."""
        placed = []
        for inode in files:
            runs = self._runs(inode)
            self.bytes_taken += sum(run.length for run in runs)
            placed.append((runs[0].physical if runs else 0, inode, runs))
        if self.most_bytes is not None and self.bytes_taken > self.most_bytes:
            why = f"the guest's files need {self.bytes_taken >> 20} MiB"
            raise DiskFull(where="memory", why=why)
        placed.sort(key=lambda row: row[0])
        for _, inode, runs in placed:
            names = paths[inode.number]
            self._write(self.base + names[0], inode, runs)
            for other in names[1:]:
                os.link(self.base + names[0], self.base + other, follow_symlinks=False)
            self._dress(names[0], inode)
            self.progress.advance(inode.size)

    def _write(self, path: str, inode: Inode, runs: list[Run]) -> None:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
        try:
            end = 0
            for offset, content in self.volume.read_content(inode, runs):
                os.pwrite(handle, content, offset)
                end = offset + len(content)
            if end != inode.size:
                os.ftruncate(handle, inode.size)
        finally:
            os.close(handle)

    def _make_special(self, names: list[str], inode: Inode) -> None:
        """A link, pipe or socket; a device node cannot be made in a name space."""
        kind, path = stat.S_IFMT(inode.mode), self.base + names[0]
        if kind == stat.S_IFLNK:
            os.symlink(self.volume.read_target(inode), path)
        elif kind in (stat.S_IFIFO, stat.S_IFSOCK):
            os.mknod(path, kind | 0o600)
        else:
            self.lost += [[self.part.mount.rstrip("/") + name, "device"] for name in names]
            return
        for other in names[1:]:
            os.link(path, self.base + other, follow_symlinks=False)
        self._dress(names[0], inode)

    def _dress(self, name: str, inode: Inode) -> None:
        """Owner, mode, attributes and times."""
        lost = dress(
            self.base + name,
            name,
            self.volume.where,
            mode=inode.mode,
            owner=(inode.uid, inode.gid),
            mtime_ns=inode.mtime_ns,
            attributes=self.volume.read_attributes(inode),
        )
        self.lost += [[self.part.mount.rstrip("/") + name, attribute] for attribute in lost]


@contextlib.contextmanager
def _translated(where: str) -> Iterator[None]:
    """What the system says to a hostile filesystem's wishes, in regild's errors."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(where="the job's folder", why="the guest's files need more") from error
        if error.errno in (errno.EFBIG, errno.ENAMETOOLONG, errno.EMLINK):
            why = f"{error.strerror} ({error.filename or 'a file'})"
            raise TooLarge(where=where, why=why) from error
        raise Malformed(where=where, why=f"{error.filename}: {error.strerror}") from error
