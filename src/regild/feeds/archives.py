"""The package files of a plan: fetched into a cache by digest, each checked before it counts.

Of most packages an index has the digest of the file; of those of apk that of its control part."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

from regild.errors import InputError, NotOffered, Truncated
from regild.feeds import apk_file
from regild.feeds.cache import check_digest
from regild.feeds.policy import SitePolicy, decide, reach_of
from regild.host.fetch import Arrived, Fetcher
from regild.host.files import digest_file, mark_used, open_new, translated
from regild.model.digest import Digest, algorithm_of, hex_of
from regild.model.plan import Archive
from regild.model.progress import Progress, Shared

AT_ONCE = 4
FOLDER = "archives"
PIECE_BYTES = 1 << 20


def fetch_archives(
    archives: Iterable[Archive], policy: SitePolicy, cache: Path, progress: Progress
) -> dict[Digest, Path]:
    """Every archive as a file of the cache, by its digest; `progress` is told bytes.

    Raises: FeedUnreachable, NotOffered, SourceRefused, DigestMismatch, Truncated, TooLarge,
    DiskFull.
    """
    folder = cache / FOLDER
    with translated(folder):
        folder.mkdir(parents=True, exist_ok=True)
    wanted = {one.digest: one for one in archives}
    told = Shared(progress)
    with Fetcher(reach_of(policy)) as fetcher, ThreadPoolExecutor(AT_ONCE) as pool:
        fetched = pool.map(
            lambda one: _fetched(one, folder, policy, fetcher, told), wanted.values()
        )
        return dict(zip(wanted, fetched, strict=True))


def _fetched(
    archive: Archive, folder: Path, policy: SitePolicy, fetcher: Fetcher, progress: Progress
) -> Path:
    """One archive: from the cache if it is whole there, else from its source."""
    path = folder / (hex_of(archive.digest) + _suffix(archive.name))
    if path.is_file() and _is_whole(path, archive):
        mark_used(path)
        progress.advance(archive.bytes)
        return path
    with open_new(path) as file:
        for place in decide(archive.uri, policy):
            arrived = fetcher.fetch(
                place.url, file, archive.bytes, approved=place.approved, advance=progress.advance
            )
            if arrived is not None:
                _check(archive, arrived, _found(file, arrived, archive))
                return path
        raise NotOffered(where=archive.uri, why="it is in the index and not on the server")


def measure(path: Path, archive: Archive) -> Digest:
    """What a file has for the digest that an index names an archive by.

    Raises: MissingFile; of a package of apk that is none, Malformed, Truncated, TooLarge,
    DigestMismatch.
    """
    if archive.name.endswith(apk_file.SUFFIX):
        with translated(path), path.open("rb") as file:
            return apk_file.measure(file, archive)
    return digest_file(path, algorithm=algorithm_of(archive.digest))


def _is_whole(path: Path, archive: Archive) -> bool:
    try:
        return measure(path, archive) == archive.digest
    except InputError:
        return False


def _found(file: IO[bytes], arrived: Arrived, archive: Archive) -> Digest:
    """The digest of what arrived as the index has it; the file has no name yet."""
    algorithm = algorithm_of(archive.digest)
    is_apk = archive.name.endswith(apk_file.SUFFIX)
    if algorithm == "sha256" and not is_apk:
        return arrived.digest
    file.seek(0)
    if is_apk:
        return apk_file.measure(file, archive)
    digest = hashlib.new(algorithm)
    while piece := file.read(PIECE_BYTES):
        digest.update(piece)
    return Digest(f"{algorithm}:{digest.hexdigest()}")


def _suffix(name: str) -> str:
    """What a package's name ends in; anything else of it stays out of the cache."""
    found = re.search(r"\.[a-z]{3}\Z", name)
    return found[0] if found else ""


def _check(archive: Archive, arrived: Arrived, found: Digest) -> None:
    """Compare what came with what the index promised.

    Raises: Truncated, DigestMismatch.
    """
    if arrived.bytes < archive.bytes:
        why = f"{archive.bytes} bytes were promised, {arrived.bytes} arrived"
        raise Truncated(where=archive.uri, why=why)
    check_digest(archive.uri, archive.digest, found)
