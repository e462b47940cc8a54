"""Files of a new package: something whose length is known before its bytes are written."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Protocol

from regild.errors import IntegrityError
from regild.host.reflink import Sharing
from regild.model.digest import Digest
from regild.model.progress import Progress, Silent
from regild.ovf.member import Member

Bytes = bytes
"""The type, inside classes that have a length of the same name."""
CHUNK_BYTES = 1 << 20


class Stored(Protocol):
    """A file that is ready to be written, from begin to end, once."""

    @property
    def bytes(self) -> int:
        """Its exact length, known before it is written."""

    def write_to(
        self,
        file: IO[Bytes],
        hash_update: Callable[[memoryview], object] | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Write all bytes from the file's current position on, and show each part to
        `hash_update`."""


@dataclass(frozen=True)
class Copied:
    """A file that is taken over as it is: a member of the old package, or a file of the job."""

    members: tuple[Member, ...]
    is_ours: bool = False
    """Files of the job, which nobody else writes: what was hashed is still there when its blocks
    are shared."""

    @property
    def bytes(self) -> int:
        """The length of all parts."""
        return sum(member.bytes for member in self.members)

    def write_to(
        self,
        file: IO[Bytes],
        hash_update: Callable[[memoryview], object] | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Copy the bytes; stretches of zeros stay holes of the new file, and files of the job are
        shared with it where the filesystem can.

        Raises: Truncated, MissingFile, NotPermitted.
        """
        watched = progress or Silent()
        zeros = Bytes(CHUNK_BYTES)
        for member in self.members:
            sharing, at = Sharing(), member.offset
            with self._opened(member) as source:
                for chunk in member.chunks(CHUNK_BYTES):
                    if hash_update is not None:
                        hash_update(memoryview(chunk))
                    if chunk == zeros or (source and _shares(sharing, source, at, file, chunk)):
                        file.seek(len(chunk), 1)
                    else:
                        file.write(chunk)
                    at += len(chunk)
                    watched.advance(len(chunk))

    def _opened(self, member: Member) -> contextlib.AbstractContextManager[IO[Bytes] | None]:
        """A file of the job, to be shared; nothing for those of others."""
        return member.path.open("rb") if self.is_ours else contextlib.nullcontext()


def _shares(sharing: Sharing, source: IO[Bytes], at: int, file: IO[Bytes], chunk: Bytes) -> bool:
    return sharing.share(source.fileno(), at, file.fileno(), file.tell(), len(chunk))


@dataclass(frozen=True)
class Written:
    """A small file whose bytes are at hand."""

    content: Bytes

    @property
    def bytes(self) -> int:
        """Its length."""
        return len(self.content)

    def write_to(
        self,
        file: IO[Bytes],
        hash_update: Callable[[memoryview], object] | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Write the bytes."""
        if hash_update is not None:
            hash_update(memoryview(self.content))
        file.write(self.content)


def write_hashed(stored: Stored, file: IO[Bytes], progress: Progress) -> Digest:
    """Write a file at the current position and return the SHA-256 of what was written.

    Raises: IntegrityError when it did not have the length that it announced.
    """
    state = hashlib.sha256()
    begin = file.tell()
    stored.write_to(file, state.update, progress)
    written = file.tell() - begin
    if written != stored.bytes:
        raise IntegrityError(
            where="a file of the new package",
            why=f"it has {written} bytes and announced {stored.bytes}",
        )
    return Digest("sha256:" + state.hexdigest())
