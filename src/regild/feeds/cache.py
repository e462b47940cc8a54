"""Files kept under the digest of their content, shared by every image whose repositories name
them."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from regild.errors import DigestMismatch, HostError, Malformed
from regild.host.files import mark_used, open_new, translated
from regild.model.digest import Digest, hex_of

MARK_SUFFIX = ".whole"
PLANS = "plans"
"""The folder, beside that of the files, in which plans are kept under their inputs."""
COARSE_NS = 2_000_000_000
"""No filesystem in use has a coarser clock (FAT: two seconds)."""
FINE_NS = 100_000_000
"""Ten ticks of the slowest kernel's clock, from which a filesystem takes its times that keeps more
than hundredths of seconds (exFAT keeps those; inode(7), time(7))."""
HUNDREDTH_NS = 10_000_000


class Cache:
    """A folder of files named by their SHA-256; a file is there whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def place(self, digest: Digest, suffix: str = "") -> Path:
        """Where a file is, or would be; with a suffix, what was made from it.

        Raises: Malformed when the digest is not a SHA-256.
        """
        digits = hex_of(digest)
        if digest != f"sha256:{digits}" or len(digits) != 64 or not set(digits) <= set(_HEX):
            raise Malformed(where="a digest", why=f"{digest[:80]!r} is not a SHA-256")
        return self.folder / "sha256" / digits[:2] / (digits + suffix)

    @contextlib.contextmanager
    def open_place(self, digest: Digest, suffix: str = "") -> Iterator[IO[bytes]]:
        """Write a new file; it is kept only when the block ends without an error.

        Raises: DiskFull, NotPermitted.
        """
        path = self.place(digest, suffix)
        with translated(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        with open_new(path) as file:
            yield file

    def find(self, digest: Digest, size: int | None = None, suffix: str = "") -> Path | None:
        """The file with a digest, if it is here and whole; a damaged one is removed.

        It is read and hashed, but for one that was found whole before and has not been touched
        since, as the filesystem tells.
        """
        path = self.place(digest, suffix)
        try:
            with path.open("rb") as file:
                state = os.fstat(file.fileno())
                if size in (None, state.st_size) and _is_untouched(path, state):
                    mark_used(_mark_of(path))
                    return path
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            return None
        if found == hex_of(digest) and size in (None, state.st_size):
            _mark(path, state)
            return path
        path.unlink(missing_ok=True)
        return None


def _identity(state: os.stat_result) -> bytes:
    """What changes with every write to a file; its change time cannot be set (inode(7))."""
    facts = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
    return " ".join(map(str, facts)).encode()


def _mark_of(path: Path) -> Path:
    return path.with_name(path.name + MARK_SUFFIX)


def _is_untouched(path: Path, state: os.stat_result) -> bool:
    """Whether a file was found whole in this very state."""
    try:
        return _mark_of(path).read_bytes() == _identity(state)
    except OSError:
        return False


def _mark(path: Path, state: os.stat_result) -> None:
    """Note that a file was found whole; not of one that was written just now, because another
    write in the same tick of the clock could not be told from that one."""
    with contextlib.suppress(OSError, HostError):
        mark = _mark_of(path)
        mark.unlink(missing_ok=True)
        with open_new(mark) as file:
            now = os.fstat(file.fileno()).st_mtime_ns
            if now - state.st_ctime_ns < _settled_ns(state):
                raise BlockingIOError
            file.write(_identity(state))


def _settled_ns(state: os.stat_result) -> int:
    """How old a file's last change has to be, so that another one would show."""
    return FINE_NS if state.st_ctime_ns % HUNDREDTH_NS else COARSE_NS


def check_digest(where: str, promised: Digest, found: Digest) -> None:
    """Compare two digests.

    Raises: DigestMismatch.
    """
    if promised != found:
        raise DigestMismatch(where=where, why=f"{promised} was promised, {found} arrived")


_HEX = "0123456789abcdef"
