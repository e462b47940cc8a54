"""Putting somebody who reports into a test boot's guest: on the throw-away overlay, nowhere else.

Runs as a stage, confined, because libext2fs reads what a stranger wrote.
"""

from __future__ import annotations

import contextlib
import stat
from pathlib import Path
from typing import Any, Final

from regild.image.disk import Disk
from regild.image.ext import ExtVolume
from regild.image.formats import disk_of
from regild.image.overlay import Overlay
from regild.image.region import Region
from regild.image.window import Window
from regild.image.writeback import Writeback
from regild.model.progress import Progress
from regild.model.record import Inode
from regild.prove.health_script import FOLDER, SCRIPT, UNIT, UNIT_TEXT, WANTED

LABEL: Final = "security.selinux"


def main(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """The stage: make an overlay `throw_away` of each row of `disks`; with a `script`, put it and
    its unit into the ext filesystem that lies at the `places` of the disk number `boot`.

    Raises: UnsupportedFilesystem, ChangeError, Malformed, DiskFull.
    """
    for number, row in enumerate(request["disks"]):
        with contextlib.ExitStack() as stack:
            below = open_row(row, stack)
            overlay = stack.enter_context(Overlay.create(Path(row["throw_away"]), below))
            if request["script"] and number == request["boot"]:
                _dress(overlay, request)
                overlay.flush()
    return {}


def open_row(row: dict[str, Any], stack: contextlib.ExitStack) -> Disk | Overlay:
    """One of a request's disks, with the changes that were made to it."""
    disk = disk_of(Window(row["disk"], row["where"], row["offset"], row["bytes"]))
    if not row["overlay"]:
        return disk
    return stack.enter_context(Overlay.open(Path(row["overlay"]), disk))


def _dress(overlay: Overlay, request: dict[str, Any]) -> None:
    places = tuple((offset, length) for offset, length in request["places"])
    region = Region(overlay, places, "the guest's root")
    volume = ExtVolume(region, "the guest's root", writable=True)
    try:
        writing = _Dressing(Writeback(volume), request["now_ns"])
        writing.folder(str(Path(WANTED).parent))
        writing.file(UNIT, UNIT_TEXT.encode())
        writing.file(SCRIPT, request["script"].encode())
        writing.put(WANTED, Inode(kind="symlink", mode=0o777, target=UNIT))
        writing.writeback.flush()
    finally:
        volume.close()


class _Dressing:
    """Files of ours on their way into a filesystem, labelled like the folder that they are in."""

    def __init__(self, writeback: Writeback, now_ns: int) -> None:
        self.writeback, self.now_ns = writeback, now_ns
        volume, number = writeback.volume, writeback.find(FOLDER)
        found = volume.read_attributes(volume.read_inode(number)) if number else {}
        self.label = {LABEL: found[LABEL]} if LABEL in found else {}

    def folder(self, path: str) -> None:
        """A folder and those above it, as far as they are not there."""
        for place in (*map(str, reversed(Path(path).parents)), path):
            if place != "/" and self.writeback.find(place) is None:
                self.put(place, Inode(kind="directory", mode=0o755))

    def file(self, path: str, content: bytes) -> None:
        """A file of root's."""
        number = self.put(path, Inode(kind="file", mode=0o644))
        self.writeback.write_content(number, len(content), [content])

    def put(self, path: str, wanted: Inode) -> int:
        """Whatever is new at a path."""
        number = self.writeback.make(path, wanted)
        if not stat.S_ISLNK(self.writeback.volume.read_inode(number).mode):
            self.writeback.write_metadata(number, wanted, self.now_ns)
            self.writeback.write_attributes(number, {}, self.label)
        return number
