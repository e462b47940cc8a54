"""Files kept under the digest of their content, shared by every image whose repositories name
them."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from regild.errors import DigestMismatch, Malformed
from regild.host.files import open_new, translated
from regild.model.digest import Digest, hex_of


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
        """The file with a digest, if it is here, read and found whole; a damaged one is removed."""
        path = self.place(digest, suffix)
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
                read = file.tell()
        except OSError:
            return None
        if found == hex_of(digest) and size in (None, read):
            return path
        path.unlink(missing_ok=True)
        return None


def check_digest(where: str, promised: Digest, found: Digest) -> None:
    """Compare two digests.

    Raises: DigestMismatch.
    """
    if promised != found:
        raise DigestMismatch(where=where, why=f"{promised} was promised, {found} arrived")


_HEX = "0123456789abcdef"
