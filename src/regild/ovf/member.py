"""A file of a package where its bytes lie: a region of the OVA, or a file of the folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from regild.errors import TooLarge, Truncated
from regild.host.files import translated
from regild.host.remote import open_bytes

Bytes = bytes
"""The type, inside a class that has a length of the same name."""


class Member(msgspec.Struct, frozen=True):
    """One file of a package, read in place."""

    name: str
    path: Path
    """The OVA, or the file itself."""
    offset: int
    bytes: int

    def chunks(self, chunk_bytes: int = 1 << 20) -> Iterator[Bytes]:
        """The content from its start to its end, in pieces.

        Raises: Truncated when the file became shorter, MissingFile, NotPermitted.
        """
        with translated(self.path), open_bytes(self.path) as file:
            file.seek(self.offset)
            left = self.bytes
            while left:
                chunk = file.read(min(chunk_bytes, left))
                if not chunk:
                    raise Truncated(where=self.name, why=f"{left} of its bytes are missing")
                left -= len(chunk)
                yield chunk

    def read(self, limit: int) -> Bytes:
        """The whole content of a small member.

        Raises: TooLarge when it holds more than `limit` bytes, Truncated, MissingFile,
        NotPermitted.
        """
        if self.bytes > limit:
            raise TooLarge(where=self.name, why=f"{self.bytes} bytes, {limit} are accepted")
        return b"".join(self.chunks())
