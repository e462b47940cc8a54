"""Files of repositories, brought here: where the site says that they are read, checked against what
vouches for them, unpacked into the cache."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from regild.errors import DigestMismatch, Malformed, NotOffered, PlanError, Truncated
from regild.feeds.cache import Cache
from regild.feeds.policy import SitePolicy, decide, looked_in, reach_of
from regild.host.decompress import UNPACKERS, open_unpacked
from regild.host.fetch import Fetcher
from regild.host.files import translated
from regild.model.content import Content, Source
from regild.model.digest import Digest
from regild.model.progress import Progress, Shared

UNPACKED_LIMIT = 2 << 30
"""Bytes of one index; the largest primary.xml of a distribution has 400 million."""
PIECE_BYTES = 1 << 18
SOURCES_LIMIT = 200
HASHES = ("sha256", "sha384", "sha512")
"""What a file may be vouched for by; weaker ones are not believed."""


class Found(NamedTuple):
    """Some bytes, and the address that they were really read from."""

    content: bytes
    place: str


class Promise(NamedTuple):
    """What is said of a file before it is read."""

    address: str
    digest: Digest
    bytes: int
    """-1 where nothing is said."""
    unpacked: Digest | None = None
    unpacked_bytes: int = -1


def sources_of(content: Content, kind: str) -> tuple[Source, ...]:
    """The sources of one kind that an image reads.

    Raises: PlanError when there are none, or more than anybody has.
    """
    sources = tuple(one for one in content.sources if one.type == kind and one.enabled)
    if not sources:
        raise PlanError(where="the image", why="it names no enabled package source")
    if len(sources) > SOURCES_LIMIT:
        raise PlanError(where="the image", why=f"it names more than {SOURCES_LIMIT} sources")
    return sources


@contextlib.contextmanager
def open_bringer(
    policy: SitePolicy, folder: Path, progress: Progress, fetcher: Fetcher | None
) -> Iterator[Bringer]:
    """A bringer into the cache in a folder; a fetcher of its own where none is given.

    Raises: NotPermitted, DiskFull.
    """
    with translated(folder):
        folder.mkdir(parents=True, exist_ok=True)
    progress.step("Reading the image's repositories")
    with fetcher or Fetcher(reach_of(policy)) as reader:
        yield Bringer(policy, Cache(folder), Shared(progress), reader)


class Bringer:
    """Reads repositories' files within a site's policy; safe to use from several threads."""

    def __init__(
        self, policy: SitePolicy, cache: Cache, progress: Progress, fetcher: Fetcher
    ) -> None:
        self.policy, self.cache, self.progress = policy, cache, progress
        self._fetcher = fetcher

    def find(self, uri: str, limit: int) -> Found | None:
        """The bytes at an address that an image names, None where there is nothing.

        Raises: SourceRefused, FeedUnreachable, TooLarge.
        """
        for place in decide(uri, self.policy):
            content = self._fetcher.find(place.url, limit, approved=place.approved)
            if content is not None:
                return Found(content, place.url)
        return None

    def bring(self, promise: Promise, suffix: str) -> Path:
        """The unpacked file of the cache, fetched where it is not there yet.

        Raises: NotOffered, DigestMismatch, Truncated, TooLarge, Malformed, SourceRefused,
        FeedUnreachable.
        """
        known = promise.unpacked
        if known is not None and known.startswith("sha256:"):
            size = promise.unpacked_bytes if promise.unpacked_bytes >= 0 else None
            if (path := self.cache.find(known, size, suffix)) is not None:
                return path
        with tempfile.TemporaryFile(dir=self.cache.folder) as packed:
            self._fetch(promise, packed)
            packed.seek(0)
            return self._unpack(promise, packed, suffix)

    def _fetch(self, promise: Promise, file: IO[bytes]) -> None:
        """The packed file, checked."""
        limit = promise.bytes if promise.bytes >= 0 else UNPACKED_LIMIT
        for place in decide(promise.address, self.policy):
            arrived = self._fetcher.fetch(
                place.url, file, limit, approved=place.approved, advance=self.progress.advance
            )
            if arrived is None:
                continue
            if arrived.bytes < promise.bytes:
                why = f"{promise.bytes} bytes were promised, {arrived.bytes} arrived"
                raise Truncated(where=place.url, why=why)
            file.seek(0)
            check_file(file, promise.digest, place.url)
            return
        raise NotOffered(where=promise.address, why="its repository promises it")

    def _unpack(self, promise: Promise, packed: IO[bytes], suffix: str) -> Path:
        """Unpack a fetched file into the cache under the digest of its content."""
        where = promise.address
        kind = Path(where).suffix if Path(where).suffix in UNPACKERS else ""
        # One byte more than promised is enough to know that it is not what was vouched for.
        limit = UNPACKED_LIMIT
        if promise.unpacked_bytes >= 0:
            limit = min(limit, promise.unpacked_bytes)
        with tempfile.NamedTemporaryFile(dir=self.cache.folder) as plain:
            reader = open_unpacked(kind, packed, where, limit)
            while piece := reader.read(PIECE_BYTES):
                plain.write(piece)
            plain.seek(0)
            if promise.unpacked is not None:
                check_file(plain, promise.unpacked, where)
                plain.seek(0)
            found = Digest(f"sha256:{hashlib.file_digest(plain, 'sha256').hexdigest()}")
            plain.seek(0)
            with self.cache.open_place(found, suffix) as file:
                while piece := plain.read(PIECE_BYTES):
                    file.write(piece)
        return self.cache.place(found, suffix)


def check_file(file: IO[bytes], promised: Digest, where: str) -> None:
    """Compare an open file, from where it stands, with its digest.

    Raises: DigestMismatch, Malformed for a digest that is not believed.
    """
    algorithm, _, digits = promised.partition(":")
    if algorithm not in HASHES:
        raise Malformed(where=where, why=f"it is vouched for by {algorithm[:20]} only")
    found = hashlib.file_digest(file, algorithm).hexdigest()  # type: ignore[arg-type]  # any file reads
    if found != digits:
        raise DigestMismatch(where=where, why=f"{promised} was promised, {found} arrived")


def first_of(
    addresses: Sequence[str], bringer: Bringer, name: str, limit: int
) -> tuple[str, Found]:
    """The first of some folders that holds a file, and the file.

    Raises: NotOffered, and what reading the last of them raised.
    """
    for address in addresses:
        if (found := bringer.find(f"{address.rstrip('/')}/{name}", limit)) is not None:
            return address.rstrip("/"), found
    address = f"{addresses[0].rstrip('/')}/{name}"
    why = f"it is not to be found in {looked_in(addresses[0], bringer.policy)}"
    raise NotOffered(where=address, why=why)
