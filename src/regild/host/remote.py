"""A file on a server, read in pieces where they lie: HTTP ranges, or an object of S3.

The address is the user's own; those that an image names never come here unasked. Blocks are fetched
as they are needed, more at once where reading goes on, and kept in bounded memory; a file that
becomes another while it is read is an error. RFC 9110, clause 14 (ranges) and 8.8 (validators).
"""

from __future__ import annotations

import io
import re
from collections import OrderedDict
from collections.abc import Iterable
from functools import cache
from pathlib import Path, PosixPath
from typing import Any, BinaryIO, Protocol, TypeVar, cast
from urllib.parse import urlsplit

from regild.errors import LibraryMissing, Truncated
from regild.host.objects import ask_store
from regild.host.patience import patiently

BLOCK_BYTES = 32 << 10
HELD_BLOCKS = 2048
"""64 MiB."""
FIRST_BYTES = 256 << 10
"""What is fetched of every file: enough for an envelope with its descriptor."""
HEAD_BLOCKS = 48
"""1.5 MiB: who reads on behind the first bytes needs the tables of the disk and of its volumes,
which most formats keep there. Measured (docs/adr/0023)."""
TAIL_BLOCKS = 10
"""320 KiB, brought as soon as anything of them is asked for: a disk's footer, the tables before it,
and what was written last."""
STEP_BLOCKS = 4
STEP_MOST_BLOCKS = 128
"""How far a request reaches anywhere else; it doubles while reading goes straight on."""
_T = TypeVar("_T")
_SCHEME = re.compile(r"(https?|s3):/+")
_addresses: dict[str, str] = {}
_approved: frozenset[str] = frozenset()


class Address(PosixPath):
    """A file on a server where a path is expected. It reads as its address, without what may be
    secret in it: user, password and query."""

    def __str__(self) -> str:
        return _SCHEME.sub(r"\1://", super().__str__(), count=1)

    def __reduce__(self) -> tuple[Any, ...]:
        """To another process it goes with what is secret in it, or nothing could be read there."""
        return _brought, (str(self), _addresses.get(str(self), str(self)))


class Store(Protocol):
    """Where a remote file lies."""

    @property
    def size(self) -> int:
        """Its bytes, all of them."""

    @property
    def modified(self) -> int:
        """When it was changed last, in seconds since 1970; 0 where its server does not say."""

    @property
    def begin(self) -> bytes:
        """What it begins with, as far as that came along with its size."""

    def fetch(self, begin: int, end: int) -> bytes:
        """The bytes from `begin` to before `end`."""


def read_place(text: str) -> Path:
    """What a user names: a file of this machine, or `https://`, `http://` or `s3://` and a
    file's address."""
    if not _SCHEME.match(text) or Path(text).exists():
        return Path(text)
    return _place_of(text)


def _place_of(text: str) -> Path:
    """An address as a path; what may be secret in it is kept aside."""
    split = urlsplit(text)
    shown = f"{split.scheme}://{split.netloc.rpartition('@')[2]}{split.path}"
    place = Address(shown)
    number = 1
    while _addresses.setdefault(str(place), text) != text:
        number += 1
        place = Address(f"{shown}?{number}")
    return place


def _brought(shown: str, whole: str) -> Address:
    """An address that comes from another process, which has told it apart from its others."""
    _addresses[shown] = whole
    return Address(shown)


def approve(hosts: Iterable[str] | None) -> list[str]:
    """Let the addresses that images themselves name be read at these servers and at no others:
    `name` or `name:port`, as they are given back."""
    global _approved
    _approved = frozenset(host.lower() for host in hosts or ())
    return list(hosts or ())


def approved_hosts() -> tuple[str, ...]:
    """The servers that are approved, for another process to do so too."""
    return tuple(sorted(_approved))


def approved(address: str) -> Path | None:
    """The place behind an address that an image names, where its server was approved."""
    try:
        split = urlsplit(address)
        names = {split.hostname or "", f"{split.hostname}:{split.port}"}
    except ValueError:
        return None
    return _place_of(address) if "@" not in split.netloc and names & _approved else None


def address_of(path: Path) -> str | None:
    """The address behind a path, as `str(path)` shows it; None for a file of this machine."""
    return str(path) if isinstance(path, Address) else None


def open_remote(address: str) -> RemoteFile:
    """A file on a server, by what `address_of` gave; the same one, with what was read of it, for
    the life of this process.

    Raises: MissingFile, NotPermitted, Unreachable, AddressRefused, UnsupportedError for a server
    without ranges, LibraryMissing where S3 needs a library that is not installed.
    """
    return _open_whole(_addresses.get(address, address), address)


@cache
def _open_whole(whole: str, address: str) -> RemoteFile:
    store = _Object(whole, address) if address.startswith("s3:") else _Web(whole, address)
    return RemoteFile(address, store)


def modified_at(path: Path) -> int:
    """When a file was changed last, here or on a server, in seconds since 1970.

    Raises: as `open_remote`, and OSError for a file that is here.
    """
    address = address_of(path)
    return open_remote(address).modified if address else int(path.stat().st_mtime)


def open_bytes(path: Path) -> BinaryIO:
    """A file for reading by position, here or on a server; close it after use.

    Raises: as `open_remote`, and OSError for a file that is here.
    """
    if address := address_of(path):
        return cast(BinaryIO, RemoteStream(open_remote(address)))
    return path.open("rb", buffering=0)


class RemoteFile:
    """A file that lies elsewhere; blocks of it are here."""

    def __init__(self, address: str, store: Store) -> None:
        self.address = address
        self._store = store
        self.size = store.size
        self.modified = store.modified
        self.bytes_read = 0
        """What was fetched."""
        self.requests = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._step = STEP_BLOCKS
        self._next = -1
        if store.begin:
            self._keep(0, store.begin)

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes.

        Raises: Truncated outside of the file; as `open_remote`; DigestMismatch when it changed.
        """
        if offset < 0 or length < 0 or offset + length > self.size:
            why = f"{length} bytes at {offset} are needed, and it holds {self.size}"
            raise Truncated(where=self.address, why=why)
        first, last = offset // BLOCK_BYTES, -(-(offset + length) // BLOCK_BYTES)
        parts = [self._block(number, last) for number in range(first, last)]
        begin = offset - first * BLOCK_BYTES
        return b"".join(parts)[begin : begin + length]

    def _block(self, number: int, last: int) -> bytes:
        if number not in self._blocks:
            self._fetch(number, last)
        self._blocks.move_to_end(number)
        return self._blocks[number]

    def _fetch(self, first: int, last: int) -> None:
        """Bring blocks that are not here, at least those before `last`, in one request."""
        if first < HEAD_BLOCKS:
            last = max(last, HEAD_BLOCKS if self._blocks else FIRST_BYTES // BLOCK_BYTES)
        elif first >= (tail := max(HEAD_BLOCKS, -(-self.size // BLOCK_BYTES) - TAIL_BLOCKS)):
            first, last = self._first_absent(tail, first), tail + TAIL_BLOCKS
        self._step = min(STEP_MOST_BLOCKS, self._step * 2) if first == self._next else STEP_BLOCKS
        last = min(max(last, first + self._step), first + HELD_BLOCKS // 2)
        end = first + 1
        while end < last and end not in self._blocks:
            end += 1
        begin, stop = first * BLOCK_BYTES, min(end * BLOCK_BYTES, self.size)
        content = self._store.fetch(begin, stop)
        if len(content) != stop - begin:
            why = f"{len(content)} bytes came where {stop - begin} were asked for"
            raise Truncated(where=self.address, why=why)
        self._next = end
        self._keep(first, content)

    def _first_absent(self, least: int, number: int) -> int:
        """The first of the blocks from `least` on that are not here up to this one."""
        while number > least and number - 1 not in self._blocks:
            number -= 1
        return number

    def _keep(self, first: int, content: bytes) -> None:
        self.requests += 1
        self.bytes_read += len(content)
        for at in range(0, len(content), BLOCK_BYTES):
            self._blocks[first + at // BLOCK_BYTES] = content[at : at + BLOCK_BYTES]
        while len(self._blocks) > HELD_BLOCKS:
            self._blocks.popitem(last=False)


class RemoteStream(io.RawIOBase):
    """A remote file as Python reads files."""

    def __init__(self, file: RemoteFile) -> None:
        self._file = file
        self._at = 0

    def readable(self) -> bool:
        """It is there to be read."""
        return True

    def seekable(self) -> bool:
        """It can be read anywhere."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place; where one is then."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._file.size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def tell(self) -> int:
        """Where one is."""
        return self._at

    def read(self, size: int | None = -1, /) -> bytes:
        """The next bytes; fewer only at the end."""
        left = max(0, self._file.size - self._at)
        count = left if size is None or size < 0 else min(size, left)
        content = self._file.read(self._at, count)
        self._at += count
        return content


class _Web:
    """A file at a server, asked for patiently; its first bytes come with what tells its size."""

    def __init__(self, address: str, where: str) -> None:
        from regild.host.web import WebFile

        self._file = WebFile(address, where)
        self.begin = self.fetch(0, FIRST_BYTES)

    @property
    def size(self) -> int:
        """Its bytes, all of them."""
        return self._file.size

    @property
    def modified(self) -> int:
        """When it was changed last, in seconds since 1970; 0 where its server does not say."""
        from email.utils import parsedate_to_datetime

        try:
            return int(parsedate_to_datetime(self._file.modified).timestamp())
        except (ValueError, OverflowError):
            return 0

    def fetch(self, begin: int, end: int) -> bytes:
        """The bytes from `begin` to before `end`, as far as the file reaches.

        Raises: as `WebFile.try_fetch`, and Unreachable.
        """
        return patiently(self._file.where, lambda: self._file.try_fetch(begin, end))


class _Object:
    """An object of S3, through fsspec; each range is asked for under the tag seen first."""

    def __init__(self, address: str, where: str) -> None:
        try:
            import fsspec
            import s3fs  # noqa: F401 - fsspec asks for it only when the first byte is read
        except ImportError as error:
            why = f"to read {where}"
            raise LibraryMissing(where="s3fs", why=why, extra="remote") from error
        self.begin = b""
        self.where = where
        self._file: Any = ask_store(where, lambda: _opened(fsspec, address))
        self.size = int(self._file.size)
        self.modified = int(self._file.details["LastModified"].timestamp())

    def fetch(self, begin: int, end: int) -> bytes:
        """The bytes from `begin` to before `end`.

        Raises: as `open_remote`; DigestMismatch.
        """

        def ask() -> bytes:
            self._file.seek(begin)
            return bytes(self._file.read(end - begin))

        return ask_store(self.where, ask)


def _opened(fsspec: Any, address: str) -> Any:
    system, path = fsspec.core.url_to_fs(address)
    return system.open(path, "rb", cache_type="none")
