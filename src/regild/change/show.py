"""SHOW: serve the files that were left in the image, out of it, as a tree that never changes.

A nested, confined stage beside the guest's commands: it is handed the disk and an opened /dev/fuse,
and answers what the kernel asks of the lowest layer of their overlay. Folders are only the way to
those files; the tree above has them as the guest has them. When it dies, whoever reads is told so
by the kernel; what went wrong is told again when the stage is ended, so that no change goes on
from content that was not there.
"""

from __future__ import annotations

import bisect
import errno
import functools
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from regild.change.extract import open_part
from regild.change.left import Left
from regild.change.papers import read_paper
from regild.change.tree import Part
from regild.errors import Malformed, RegildError
from regild.host.fuse import ROOT, Server, Told
from regild.image.disk import Disk
from regild.image.ext import INLINE, ExtVolume, Inode, Run
from regild.image.formats import disk_of
from regild.image.window import Window
from regild.model.json import from_json
from regild.model.progress import Progress

OF_IMAGE, OF_FOLDER = 1 << 62, 1 << 61
"""Above the inode numbers of other filesystems: no two files of the layers shall seem to be one."""
MAPS_MAX = 64


def main(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """The stage: serve the files that `left` tells of through the device in file descriptor
    `device`, until the pipe `end` is closed.

    Raises: whatever went wrong with reading what was asked for.
    """
    parts = from_json(tuple[Part, ...], request["parts"])
    left = read_paper(tuple[Left, ...], Path(request["left"]), "what was left")
    disk = disk_of(Window(request["disk"], request["where"], request["offset"], request["bytes"]))
    shown = Shown(disk, parts, left)
    server = Server(request["device"], shown)
    server.serve(request["end"])
    if isinstance(server.failed, RegildError):
        raise server.failed
    if server.failed is not None:
        raise Malformed(where=request["where"], why=f"its files cannot be shown: {server.failed}")
    return {"requests": server.requests, "bytes_shown": shown.bytes_read}


class Shown:
    """The files that were left, by the paths that the guest knows them by."""

    def __init__(self, disk: Disk, parts: Iterable[Part], left: Iterable[Left]) -> None:
        self.bytes_read = 0
        self._disk, self._parts = disk, {part.mount: part for part in parts}
        self._order = {mount: place for place, mount in enumerate(self._parts)}
        self._folders: dict[int, dict[bytes, int]] = {ROOT: {}}
        self._files: dict[int, Left] = {}
        self._last = ROOT
        for one in left:
            self._take(one)
        self._volume = functools.cache(self._opened)
        self._mapped = functools.lru_cache(MAPS_MAX)(self._read_map)

    def find(self, folder: int, name: bytes) -> int:
        """The number of what stands in a folder under a name; 0 for nothing."""
        return self._folders.get(folder, {}).get(name, 0)

    def tell(self, number: int) -> Told:
        """What it is; a file is told as one that was taken out would be."""
        if number not in self._files:
            return Told(self._inode_number(number), stat.S_IFDIR | 0o755, 2)
        left = self._files[number]
        inode, runs = self._mapped(number)
        return Told(
            number=self._inode_number(number),
            mode=inode.mode,
            links=len(left.names),
            uid=inode.uid,
            gid=inode.gid,
            size=inode.size,
            # As ext4 tells it: tar(1) and others take what holds nothing for one hole.
            held=inode.size if inode.flags & INLINE else sum(run.length for run in runs),
            mtime_ns=inode.mtime_ns,
        )

    def names(self, folder: int, begin: int) -> Iterator[tuple[bytes, int, int]]:
        """What stands in a folder, from some place in its order on."""
        for name, number in islice(self._folders.get(folder, {}).items(), begin, None):
            kind = stat.S_IFREG if number in self._files else stat.S_IFDIR
            yield name, self._inode_number(number), kind

    def read(self, number: int, offset: int, length: int) -> bytes:
        """A part of a file; zeros where it has holes, less only at its end."""
        inode, runs = self._mapped(number)
        length = max(min(length, inode.size - offset), 0)
        self.bytes_read += length
        volume = self._volume(self._files[number].mount)
        if inode.flags & INLINE:
            return next(piece for _, piece in volume.read_content(inode))[offset:][:length]
        found, end = bytearray(length), offset + length
        for run in islice(runs, _first_after(runs, offset), None):
            begin, until = max(run.logical, offset), min(run.logical + run.length, end)
            if begin >= until:
                break
            piece = volume.device.read(run.physical + begin - run.logical, until - begin)
            found[begin - offset : until - offset] = piece
        return bytes(found)

    def seek(self, number: int, offset: int, hole: bool) -> int:
        """Where the next hole, or else the next content begins.

        Raises: OSError ENXIO where there is none.
        """
        inode, runs = self._mapped(number)
        if offset >= inode.size:
            raise OSError(errno.ENXIO, "beyond its end")
        if inode.flags & INLINE:
            return inode.size if hole else offset
        at = offset
        for run in islice(runs, _first_after(runs, offset), None):
            if not hole:
                at = max(offset, run.logical)
                break
            if run.logical > at:
                break
            at = run.logical + run.length
        else:
            at = at if hole else inode.size
        if at >= inode.size and not hole:
            raise OSError(errno.ENXIO, "nothing but a hole")
        return min(at, inode.size)

    def attributes(self, number: int) -> Mapping[bytes, bytes]:
        """Those that the file would wear if it had been taken out."""
        left = self._files.get(number)
        return {os.fsencode(row.name): row.value for row in left.attributes} if left else {}

    def _take(self, left: Left) -> None:
        """Give a file its number, and all its names a place.

        Raises: Malformed where a file stands in the way.
        """
        self._last += 1
        number = self._last
        self._files[number] = left
        for name in left.names:
            *above, last = os.fsencode(left.mount.rstrip("/") + name).strip(b"/").split(b"/")
            folder = self._folders[ROOT]
            for step in above:
                folder = self._below(folder, step, name)
            if folder.setdefault(last, number) != number:
                raise Malformed(where=name, why="two files were left there")

    def _below(self, folder: dict[bytes, int], step: bytes, name: str) -> dict[bytes, int]:
        if step not in folder:
            self._last += 1
            folder[step] = self._last
            self._folders[self._last] = {}
        found = self._folders.get(folder[step])
        if found is None:
            raise Malformed(where=name, why="it was left below a file")
        return found

    def _inode_number(self, number: int) -> int:
        left = self._files.get(number)
        if left is None:
            return OF_IMAGE | OF_FOLDER | number
        return OF_IMAGE | self._order[left.mount] << 32 | left.number

    def _opened(self, mount: str) -> ExtVolume:
        return open_part(self._disk, self._parts[mount])

    def _read_map(self, number: int) -> tuple[Inode, list[Run]]:
        left = self._files[number]
        volume = self._volume(left.mount)
        inode = volume.read_inode(left.number)
        return inode, volume.read_runs(inode)


def _first_after(runs: list[Run], offset: int) -> int:
    """The place of the first run that ends behind an offset."""
    return bisect.bisect_right(runs, offset, key=lambda run: run.logical + run.length)
