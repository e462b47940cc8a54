"""A job's folder on this machine: locked while it is used, removed with all that a guest left.

Layout: `JOB/guest` belongs to the guest's root (the id map of `regild.host.namespace`), the rest
to the caller. The lock dies with the process (flock(2)), so a killed run never blocks the next.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from regild.errors import Busy, DiskFull, HostError, RegildError
from regild.host.files import home_folder, translated
from regild.host.namespace import IdMap, View, open_namespace

LOG_BYTES_MAX = 64 << 20
"""More than a guest's commands may say (`regild.host.run`)."""
RESERVE_BYTES = 256 << 20
"""What a guest must leave free on this machine."""
LOCK = "job.lock"
WORK = "work"
JOURNAL = "job.json"
"""What a job notes of how far it has come (`regild.agent.changing.journal`)."""
PACKAGES, REPOSITORY = "packages", "repository"
"""The files of a plan's packages as they were published, and as the guest is given them."""
HELD = (LOCK, JOURNAL, "guest", PACKAGES, REPOSITORY)
"""What is kept of a job that goes on."""
KEPT_AFTER_FAILURE = (".log", ".png")
GUEST_LOGS = ("guest.log", "console.log")
"""What the guest's commands said, and what a booted guest said on its console."""


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

    def clear(self, logs: bool = False) -> None:
        """Remove everything but the lock and, unless `logs`, the logs and pictures."""
        if self.guest.exists():
            _remove_guest(self)
        for path in self.path.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != LOCK and (logs or path.suffix not in KEPT_AFTER_FAILURE):
                path.unlink()

    def tidy(self) -> None:
        """Remove what a run that ended in the middle of writing left, and keep what it had made."""
        for path in self.path.iterdir():
            if path.name in HELD or path.suffix in KEPT_AFTER_FAILURE:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

    def make_guest(self) -> Path:
        """The folder that the guest's root may write to."""
        self.guest.mkdir(mode=0o755)
        if os.geteuid() == 0:
            os.chown(self.guest, *self.ids.owner)
        return self.guest


@contextlib.contextmanager
def open_scratch(
    folder: Path,
    name: str,
    ids: IdMap,
    keep: bool = False,
    goes_on: Callable[[Scratch], bool] = lambda scratch: False,
) -> Iterator[Scratch]:
    """A job's folder below `folder`, for this process alone; what an earlier run left is removed,
    unless `goes_on` says that the job can go on from there.

    When the work ends well the folder is removed unless `keep`, and when it was interrupted too;
    after an error its logs stay, and all of it where the job can go on. The error knows its log.

    Raises: Busy when another process has it, NotPermitted, DiskFull.
    """
    path = folder.absolute() / name  # stages have a root of their own
    with alone_in(path):
        scratch = Scratch(path, ids)
        if goes_on(scratch):
            scratch.tidy()
        else:
            scratch.clear(logs=True)
        try:
            yield scratch
        except Exception as error:
            if not keep and not goes_on(scratch):
                _keep_logs(scratch)
            if isinstance(error, RegildError):
                error.keep_log(_log_of(scratch))
            raise
        except BaseException:  # interrupted: there is nothing to look into
            if not keep:
                _remove(scratch)
            raise
        if not keep:
            _remove(scratch)


def _log_of(scratch: Scratch) -> str:
    """The log that tells most of what went wrong: what the guest's commands said, else its console,
    else that of the stages."""
    logs = [place / name for name in GUEST_LOGS for place in (scratch.guest, scratch.path)]
    for path in (*logs, scratch.path / "stages.log"):
        if path.is_file() and path.stat().st_size:
            return str(path)
    return ""


def _remove(scratch: Scratch) -> None:
    scratch.clear(logs=True)
    (scratch.path / LOCK).unlink()
    with contextlib.suppress(OSError):  # the next process has made its lock there already
        scratch.path.rmdir()


@contextlib.contextmanager
def alone_in(path: Path) -> Iterator[None]:
    """Have a folder for this process alone, made if it is not there; nobody else may even look
    into it.

    A guest's programs with the setuid bit lie below, and would give away the guest root's id.

    Raises: Busy when another process has it, NotPermitted, DiskFull.
    """
    lock = None
    try:
        with translated(path):
            while lock is None:
                lock = _try_lock(path)
        yield
    finally:
        if lock is not None:
            os.close(lock)


def _try_lock(path: Path) -> int | None:
    """Take a job's lock; None where its folder went away in between, because the job was done.

    Raises: Busy.
    """
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        path.mkdir()
    try:
        path.chmod(0o700)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        lock = os.open(path / LOCK, flags, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        why = "another regild works on the same image"
        raise Busy(where=str(path), why=why) from error
    if os.fstat(lock).st_nlink == 0:
        os.close(lock)
        return None
    return lock


def is_locked(path: Path) -> bool:
    """Whether somebody works in a job's folder right now."""
    try:
        lock = os.open(path / LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False


def check_room(folder: Path) -> None:
    """End a guest that fills this machine's disk while something is left for the others.

    Raises: DiskFull.
    """
    if free_bytes(folder) < RESERVE_BYTES:
        why = f"the guest left less than {RESERVE_BYTES >> 20} MiB free"
        raise DiskFull(where="the job's folder", why=why)


def free_bytes(folder: Path) -> int:
    """Room that is left in a folder's filesystem."""
    free = os.statvfs(folder)
    return free.f_bavail * free.f_frsize


def default_folder() -> Path:
    """Where jobs are kept when nobody says: /var/lib for root, the user's cache otherwise."""
    if os.geteuid() == 0:
        return Path("/var/lib/regild/jobs")
    return cache_folder() / "jobs"


def cache_folder() -> Path:
    """Where downloads are kept (XDG Base Directory Specification)."""
    if os.geteuid() == 0:
        return Path("/var/cache/regild")
    told = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(told) if told.startswith("/") else home_folder() / ".cache") / "regild"


def _keep_logs(scratch: Scratch) -> None:
    """After a failure: the guest's logs move up, everything else goes.

    It goes first, because a full disk may be what failed; then the logs find room, or are lost.
    """
    kept = {name: _read_log(scratch.guest / name) for name in GUEST_LOGS}
    scratch.clear()
    for name, content in kept.items():
        if content:
            with contextlib.suppress(OSError):
                (scratch.path / name).write_bytes(content)


def _read_log(log: Path) -> bytes:
    """A log that a stage left in the guest's folder; empty where there is none."""
    if not log.is_file() or log.is_symlink():
        return b""
    with log.open("rb") as file:
        return file.read(LOG_BYTES_MAX)


def _remove_guest(scratch: Scratch) -> None:
    """Remove the guest's folder; its content as the guest's root, who alone has the ids for it.

    By rm(1), which no depth of folders stops.

    Raises: HostError when something stays.
    """
    argv = ["/usr/bin/rm", "-rf", "--one-file-system", "--", str(scratch.guest)]
    log = scratch.path / "removal.log"
    view = View(writable=(scratch.guest,))
    with (
        log.open("wb") as errors,
        open_namespace(argv, scratch.ids, view, errors=errors) as process,
    ):
        process.wait()
    try:
        scratch.guest.rmdir()  # inside it is where the view begins, and so cannot go
    except OSError as error:
        why = f"what a guest left there cannot be removed: {error.strerror}"
        raise HostError(where=f"jobs in {scratch.path}", why=why) from error
    log.unlink()


@contextlib.contextmanager
def passing_folder(base: Path, prefix: str) -> Iterator[Path]:
    """A folder for one run, removed at its end; what runs left that were killed goes before.

    Raises: NotPermitted, DiskFull.
    """
    with translated(base):
        base.mkdir(parents=True, exist_ok=True)
        for path in base.glob(f"{prefix}*"):
            if path.is_dir() and not path.is_symlink() and (path / LOCK).exists():
                with contextlib.suppress(Busy), alone_in(path):
                    shutil.rmtree(path)
        path = Path(tempfile.mkdtemp(prefix=prefix, dir=base))
    with alone_in(path):
        (path / WORK).mkdir()
        try:
            yield path / WORK
        finally:
            shutil.rmtree(path)
