"""The site's feeds of advisories, from files, folders and addresses, each read once and then kept.

The site names them, never an image. An address is fetched again when what was fetched is older than
the site wants.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import msgspec

from regild.errors import MissingFile, NotOffered, TooLarge
from regild.feeds.advisories.index import AdvisoryIndex, find_index, write_index
from regild.feeds.cache import Cache
from regild.feeds.policy import SitePolicy, decide, reach_of, with_options
from regild.host.fetch import Fetcher
from regild.host.files import digest_file, translated, write_whole
from regild.model.advisory import AdvisoryFeed, Match
from regild.model.content import Value
from regild.model.digest import Digest, canonical, hex_of, sha256_of
from regild.model.progress import Progress

if TYPE_CHECKING:
    from regild.feeds.advisories.kinds import Told

FOLDER = "advisories"
FILES_LIMIT = 500_000
HOURS = 6
"""How old a fetched feed may be before it is fetched again, unless the site says otherwise."""


class Kept(Value, frozen=True):
    """What was fetched from an address."""

    place: str
    digest: Digest
    fetched: str


class Known:
    """All advisories that the site's feeds hold."""

    def __init__(self, feeds: Sequence[tuple[AdvisoryFeed, AdvisoryIndex]]) -> None:
        self._indexes = tuple(index for _, index in feeds)
        self.feeds = tuple(feed for feed, _ in feeds)
        self._ecosystems = frozenset().union(*(one.summary.ecosystems for one in self._indexes))

    def __enter__(self) -> Known:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for index in self._indexes:
            index.close()

    def find(self, name: str) -> tuple[Match, ...]:
        """Every statement about packages of a name, in the order of the site's feeds."""
        return tuple(match for index in self._indexes for match in index.find(name))

    def about(self, name: str) -> tuple[Match, ...]:
        """Every statement of an advisory by its id or a CVE id, in the order of the site's
        feeds."""
        return tuple(match for index in self._indexes for match in index.about(name))

    def exploited(self, cves: Iterable[str]) -> tuple[str, ...]:
        """Those of some CVE ids that are known to be used in attacks."""
        asked = tuple(cves)
        found = {cve for index in self._indexes for cve in index.exploited(asked)}
        return tuple(cve for cve in asked if cve in found)

    def speaks_of(self, type: str, ecosystems: Iterable[str]) -> bool:
        """Whether any feed is about packages of a family in one of some ecosystems."""
        return any(f"{type}:{one}" in self._ecosystems for one in (*ecosystems, ""))


def read_advisories(
    places: Sequence[str],
    policy: SitePolicy,
    cache: Path,
    now: datetime,
    progress: Progress,
    hours: float = HOURS,
) -> Known:
    """What the feeds at some places say; one of which cannot be read is an error, never an empty
    answer.

    `now` is aware of its time zone; `hours` is the age at which an address is fetched again.

    Raises: MissingFile, NotPermitted, SourceRefused, FeedUnreachable, NotOffered, Malformed,
    TooLarge, Truncated, UnsupportedFormat, DiskFull.
    """
    if not places:
        return Known(())
    with translated(cache):
        cache.mkdir(parents=True, exist_ok=True)
    told = with_options(policy, allow=tuple(one for one in places if _is_address(one)))
    with Fetcher(reach_of(told)) as reader:
        desk = _Desk(told, Cache(cache), now, timedelta(hours=hours), progress, reader)
        return Known([desk.read(place) for place in places])


def _is_address(place: str) -> bool:
    return place.startswith(("http://", "https://"))


class _Desk:
    """Reads feeds one by one."""

    def __init__(
        self,
        policy: SitePolicy,
        cache: Cache,
        now: datetime,
        age: timedelta,
        progress: Progress,
        fetcher: Fetcher,
    ) -> None:
        self._policy, self._cache, self._now = policy, cache, now
        self._age, self._progress, self._fetcher = age, progress, fetcher

    def read(self, place: str) -> tuple[AdvisoryFeed, AdvisoryIndex]:
        """One feed, from its index where that is there already."""
        self._progress.step(f"Reading advisories of {place}")
        if _is_address(place):
            path, kept = self._address(place)
            fetched = kept.fetched
            digest = kept.digest
        else:
            digest, files = _digest_of(Path(place))
            path = find_index(self._cache, digest) or write_index(
                self._cache, digest, _read_all(files), place
            )
            fetched = ""
        index = AdvisoryIndex(path)
        said = index.summary
        feed = AdvisoryFeed(place, said.kinds, digest, said.date, fetched, said.advisories)
        return feed, index

    def _address(self, place: str) -> tuple[Path, Kept]:
        """The index of what an address holds, fetched where what was kept is too old."""
        note = _note(self._cache.folder, place)
        kept = read_kept(note)
        if kept is not None and self._is_fresh(kept):
            path = find_index(self._cache, kept.digest)
            if path is not None:
                return path, kept
        with tempfile.NamedTemporaryFile(dir=self._cache.folder) as file:
            digest = self._fetch(place, file)
            path = find_index(self._cache, digest) or write_index(
                self._cache, digest, _read_all([Path(file.name)], place), place
            )
        kept = Kept(place, digest, f"{self._now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}")
        with translated(note.parent):
            note.parent.mkdir(parents=True, exist_ok=True)
        write_whole(note, msgspec.json.encode(kept))
        return path, kept

    def _fetch(self, place: str, file: tempfile._TemporaryFileWrapper[bytes]) -> Digest:
        from regild.feeds.advisories.kinds import UNPACKED_LIMIT

        for address in decide(place, self._policy):
            arrived = self._fetcher.fetch(
                address.url,
                file.file,
                UNPACKED_LIMIT,
                approved=address.approved,
                advance=self._progress.advance,
            )
            if arrived is not None:
                file.flush()
                return arrived.digest
        why = "the server says that there is nothing"
        if self._policy.offline:
            why = (
                f"with an offline folder it is read from there, and {self._policy.offline} has none"
            )
        raise NotOffered(where=place, why=why)

    def _is_fresh(self, kept: Kept) -> bool:
        age = self._now - datetime.fromisoformat(kept.fetched)
        return timedelta() <= age < self._age


def last_fetched(place: str, cache: Path) -> AdvisoryFeed | None:
    """What was fetched from an address last; None where nothing was, or for a path."""
    kept = read_kept(_note(cache, place))
    path = find_index(Cache(cache), kept.digest) if kept else None
    if kept is None or path is None:
        return None
    index = AdvisoryIndex(path)
    try:
        said = index.summary
    finally:
        index.close()
    return AdvisoryFeed(place, said.kinds, kept.digest, said.date, kept.fetched, said.advisories)


def _note(cache: Path, place: str) -> Path:
    return cache / FOLDER / f"{hex_of(sha256_of(place.encode()))}.json"


def read_kept(note: Path) -> Kept | None:
    """What was fetched from an address last; None where nothing was."""
    try:
        kept = msgspec.json.decode(note.read_bytes(), type=Kept)
        datetime.fromisoformat(kept.fetched)
    except (OSError, ValueError):
        return None
    return kept


def _digest_of(place: Path) -> tuple[Digest, list[Path]]:
    """The digest of a file, or of a folder's files by name, and the files.

    Raises: MissingFile, TooLarge.
    """
    if not place.is_dir():
        return digest_file(place), [place]
    files = []
    for path in place.rglob("*"):
        if path.is_file() and not path.name.startswith("."):
            files.append(path)
        if len(files) > FILES_LIMIT:
            raise TooLarge(where=str(place), why=f"it holds more than {FILES_LIMIT} files")
    if not files:
        raise MissingFile(where=f"a file in {place}", why="the folder of advisories is empty")
    files.sort()
    rows = [(str(path.relative_to(place)), digest_file(path)) for path in files]
    return sha256_of(canonical(rows)), files


def _read_all(files: list[Path], where: str = "") -> Iterator[Told]:
    """All advisories of some files; errors name `where`, or else the file."""
    # The formats' readers are needed only for what was never read before.
    from regild.feeds.advisories.kinds import read_file

    for path in files:
        yield from read_file(path, where or str(path))
