"""A job's folder on this machine: locked while it is used, removed with all that a guest left.

Layout: `JOB/guest` belongs to the guest's root (the id map of `regild.host.namespace`), the rest
to the caller. The lock dies with the process (flock(2)), so a killed run never blocks the next.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from regild.errors import Busy
from regild.host.files import translated
from regild.host.namespace import IdMap, View, open_namespace


@dataclass(frozen=True, slots=True)
class Scratch:
    """A job's folder: `path` is the caller's, `guest` the guest root's."""

    path: Path
    ids: IdMap

    @property
    def guest(self) -> Path:
        """Where the guest's tree, overlay and record are."""
        return self.path / "guest"

    def folder(self, name: str) -> Path:
        """A new, empty folder of the caller's in the job."""
        made = self.path / name
        made.mkdir(mode=0o755)
        return made

    def clear(self) -> None:
        """Remove everything but the lock and the logs; a guest's files by the guest's root."""
        if self.guest.exists():
            _remove_inside(self)
        for path in self.path.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.suffix not in (".lock", ".log"):
                path.unlink()

    def make_guest(self) -> Path:
        """The folder that the guest's root may write to."""
        self.guest.mkdir(mode=0o755)
        if os.geteuid() == 0:
            os.chown(self.guest, *self.ids.owner)
        return self.guest


@contextlib.contextmanager
def open_scratch(folder: Path, name: str, ids: IdMap, keep: bool = False) -> Iterator[Scratch]:
    """A job's folder below `folder`, for this process alone; what an earlier run left is removed.

    When the work ends well the folder is removed unless `keep`; after an error its logs stay.

    Raises: Busy when another process has it, NotPermitted, DiskFull.
    """
    path = folder / name
    with translated(path):
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
    with (path / "job.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Busy(where=str(path), why="another regild works on the same image") from error
        scratch = Scratch(path, ids)
        scratch.clear()
        try:
            yield scratch
        except BaseException:
            if not keep:
                _keep_logs(scratch)
            raise
        if not keep:
            scratch.clear()
            shutil.rmtree(path)


def default_folder() -> Path:
    """Where jobs are kept when nobody says: /var/lib for root, the user's cache otherwise."""
    if os.geteuid() == 0:
        return Path("/var/lib/regild/jobs")
    return cache_folder() / "jobs"


def cache_folder() -> Path:
    """Where downloads are kept (XDG Base Directory Specification)."""
    if os.geteuid() == 0:
        return Path("/var/cache/regild")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "regild"


def _keep_logs(scratch: Scratch) -> None:
    """After a failure: the guest's log moves up, everything else goes."""
    log = scratch.guest / "guest.log"
    if log.is_file() and not log.is_symlink():
        shutil.copyfile(log, scratch.path / "guest.log")
    scratch.clear()


def _remove_inside(scratch: Scratch) -> None:
    """Remove the guest's folder as its owner, whose ids an ordinary user has only inside."""
    view = View(writable=(scratch.path,))
    argv = ["/usr/bin/rm", "-rf", "--one-file-system", str(scratch.guest)]
    if os.geteuid() == 0:
        shutil.rmtree(scratch.guest)
        return
    log = scratch.path / "removal.log"
    with (
        log.open("wb") as errors,
        open_namespace(argv, scratch.ids, view, errors=errors) as process,
    ):
        process.wait()
