"""Clear what a site wants no image to hold, in the merged tree, once all commands have ended.

The guest's programs made this tree: no link of theirs is followed, and nothing is opened but
folders, by handles.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from regild.change.dpkg_owners import open_folder
from regild.change.seal import EMPTIED, PLACES, cleared_by
from regild.model.plan import Seal

DEPTH_MAX = 100


def clear(root: Path, seal: Iterable[Seal]) -> None:
    """Remove the files of some parts of an image below a root; `/etc/machine-id` is emptied."""
    for one in seal:
        for place in PLACES[one]:
            folder = open_folder(root, place)
            if folder is not None:
                try:
                    _clear_folder(folder, f"/{place}", one, 0)
                finally:
                    os.close(folder)


def _clear_folder(folder: int, path: str, seal: Seal, depth: int) -> None:
    """The files of one folder and of those in it."""
    for name in sorted(os.listdir(folder)):
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        child = f"{path}/{name}"
        if stat.S_ISDIR(status.st_mode):
            if depth < DEPTH_MAX and seal in ("caches", "logs", "temporary"):
                _clear_below(folder, name, child, seal, depth)
        elif cleared_by(child, (seal,)):
            if child == EMPTIED and not stat.S_ISREG(status.st_mode):
                continue  # a link somewhere else is the site's own way
            os.unlink(name, dir_fd=folder)
            if child == EMPTIED:
                _make_empty(folder, name, status)


def _clear_below(folder: int, name: str, path: str, seal: Seal, depth: int) -> None:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    inside = os.open(name, flags, dir_fd=folder)
    try:
        _clear_folder(inside, path, seal, depth + 1)
    finally:
        os.close(inside)


def _make_empty(folder: int, name: str, status: os.stat_result) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    handle = os.open(name, flags, 0o600, dir_fd=folder)
    try:
        os.fchown(handle, status.st_uid, status.st_gid)
        os.fchmod(handle, stat.S_IMODE(status.st_mode))
        os.utime(handle, ns=(status.st_atime_ns, status.st_mtime_ns))
    finally:
        os.close(handle)
