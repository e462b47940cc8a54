"""Read an image's apt repositories: signed release, verified indexes, all kept by digest (Debian
repository format; apt-secure(8)).

Every byte that is believed hangs on a signature by one of the image's own keys: the release file
names the digest of each index, an index the digest of each package file.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import IO

from msgspec.structs import replace

from regild.errors import (
    Ambiguous,
    DigestMismatch,
    FeedUnreachable,
    Malformed,
    NotKnownThen,
    NotOffered,
    PlanError,
    SourceRefused,
    Truncated,
)
from regild.feeds.available import Available, Index, Repository, release_address
from regild.feeds.bring import Found
from regild.feeds.cache import Cache, check_digest
from regild.feeds.keys import trust_of
from regild.feeds.packages import INDEX_SUFFIX, open_index
from regild.feeds.past import INLINE, SIGNATURE, TEXT, Files, find_past, keep_past
from regild.feeds.policy import SitePolicy, decide, looked_in, reach_of, signers_of
from regild.feeds.release import RELEASE_LIMIT, Listed, ReleaseFile, check_release, read_release
from regild.feeds.seen import check_age, check_order, find_seen, keep_seen
from regild.feeds.signature import Signed, verify_cleartext, verify_detached
from regild.host.decompress import UNPACKERS, open_unpacked
from regild.host.fetch import Arrived, Fetcher
from regild.host.files import translated
from regild.model.content import Content, Source
from regild.model.digest import sha256_of
from regild.model.plan import FeedState
from regild.model.progress import Progress, Shared

INDEX_LIMIT = 2 << 30
"""Unpacked bytes of one index; Debian's largest has 60 million."""
SOURCES_LIMIT = 200
THREADS = 4

_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+~_-]*(/[A-Za-z0-9][A-Za-z0-9.+~_-]*)*")
_FLAT = re.compile(r"/|(\./)?([A-Za-z0-9][A-Za-z0-9.+~_-]*/)*")


def refresh(
    content: Content,
    policy: SitePolicy,
    cache: Path,
    now: datetime,
    progress: Progress,
    fetcher: Fetcher | None = None,
) -> Available:
    """What the image's own sources offer now; indexes that the cache holds are not fetched again.

    `now` is aware of its time zone.

    Raises: PlanError when the image names no source, SourceRefused, RedirectRefused,
    FeedUnreachable, AccessDenied, BadSignature, UnknownKey, NotYetValid, Expired, RolledBack,
    WrongRelease, DigestMismatch, Truncated, Malformed, TooLarge, Ambiguous, NotKnownThen.
    """
    sources = merged_sources(content.sources, content.planning.architectures)
    with translated(cache):
        cache.mkdir(parents=True, exist_ok=True)
    progress.step("Reading the image's repositories")
    with fetcher or Fetcher(reach_of(policy)) as reader, ThreadPoolExecutor(THREADS) as threads:
        desk = _Desk(content, policy, Cache(cache), now, Shared(progress), reader)
        return Available(tuple(threads.map(desk.repository, sources)))


def merged_sources(sources: Iterable[Source], architectures: tuple[str, ...]) -> tuple[Source, ...]:
    """The enabled apt sources, each address and suite once, with the architectures to read.

    Raises: PlanError when there is none, Ambiguous, Malformed.
    """
    found: dict[tuple[str, str], Source] = {}
    for source in sources:
        if source.type != "apt" or not source.enabled:
            continue
        _check_words(source)
        wanted = source.architectures or architectures
        # `all` is not asked for by itself: it comes with every other.
        mine = replace(source, architectures=tuple(arch for arch in wanted if arch != "all"))
        key = (source.uri.rstrip("/"), source.suite)
        if (other := found.get(key)) is None:
            found[key] = mine
        elif other.signed_by != mine.signed_by:
            why = f"it names other keys for {source.uri} than {other.where}"
            raise Ambiguous(where=source.where, why=why)
        else:
            found[key] = replace(
                other,
                components=_union(other.components, mine.components),
                architectures=_union(other.architectures, mine.architectures),
            )
    if not found:
        raise PlanError(where="the image", why="it names no enabled package source")
    if len(found) > SOURCES_LIMIT:
        raise Malformed(where="the image", why=f"it names more than {SOURCES_LIMIT} sources")
    return tuple(found.values())


def _check_words(source: Source) -> None:
    """Refuse names that are more than names, before they become part of an address.

    Raises: Malformed.
    """
    flat = source.suite.endswith("/")
    words = [*source.components, *source.architectures, *(() if flat else (source.suite,))]
    wrong = [word for word in words if len(word) > 200 or not _WORD.fullmatch(word)]
    if flat and not _FLAT.fullmatch(source.suite):
        wrong.append(source.suite)
    if not flat and not source.components:
        wrong.append("no component")
    if wrong:
        raise Malformed(where=source.where, why=f"{wrong[0][:80]!r} is not a name in a source")


def _union(one: tuple[str, ...], two: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*one, *two)))


def statement_folders(source: Source, content: Content, policy: SitePolicy) -> tuple[str, ...]:
    """The folder that the release file of a source lies in."""
    return (release_address(source),)


def _check_allowed(source: Source, policy: SitePolicy) -> None:
    """A refused address is the first thing to say, and as the image itself names it.

    Raises: SourceRefused.
    """
    try:
        decide(release_address(source), policy)
    except SourceRefused as error:
        named = error.where.removesuffix(f"/dists/{source.suite}/")
        raise SourceRefused(where=named, why=error.why) from error


class _Desk:
    """Reads repositories one by one; used by several threads."""

    def __init__(
        self,
        content: Content,
        policy: SitePolicy,
        cache: Cache,
        now: datetime,
        progress: Progress,
        fetcher: Fetcher,
    ) -> None:
        self._keyrings = content.planning.keyrings
        self._policy, self._cache, self._now = policy, cache, now
        self._progress, self._fetcher = progress, fetcher

    def repository(self, source: Source) -> Repository:
        """Read one repository."""
        where = f"{source.uri} {source.suite}"
        _check_allowed(source, self._policy)
        if self._policy.as_of:
            return self._as_of(source, where)
        files, place = self._release_files(source, where)
        signed = self._verified(files, source, where)
        release = read_release(signed.text, where)
        check_release(release, source, self._now, where)
        check_age(release, self._now, self._policy.max_age_days, where)
        state = _state(source, release, signed)
        if not self._policy.accept_older:
            check_order(find_seen(self._cache.folder, place), state, where)
        indexes = tuple(self._indexes(source, release, where))
        keep_seen(self._cache.folder, place, state, self._now)
        keep_past(self._cache.folder, release_address(source), state.date, files)
        return Repository(source, release, signed.text, state, indexes)

    def _as_of(self, source: Source, where: str) -> Repository:
        """A repository as it was at the wanted moment, if that can be known.

        Raises: NotKnownThen.
        """
        top, moment = release_address(source), self._policy.as_of
        files = find_past(self._cache.folder, top, moment, RELEASE_LIMIT)
        try:
            now, _ = self._release_files(source, where)
            shown = read_release(self._verified(now, source, where).text, where)
            if shown.date is not None and _moment(shown.date) <= moment:
                files = now
        except FeedUnreachable:
            if files is None:
                raise
        if files is None:
            why = f"it is younger than {moment}, and this cache has seen no older state of it"
            raise NotKnownThen(where=where, why=why)
        signed = self._verified(files, source, where)
        release = read_release(signed.text, where)
        check_release(release, source, datetime.fromisoformat(moment), where)
        try:
            indexes = tuple(self._indexes(source, release, where))
        except (FeedUnreachable, DigestMismatch, Truncated) as error:
            why = f"its indexes of {_moment(release.date)} are neither in the cache nor on offer"
            raise NotKnownThen(where=where, why=why) from error
        return Repository(source, release, signed.text, _state(source, release, signed), indexes)

    def _release_files(self, source: Source, where: str) -> tuple[Files, str]:
        """The release file, in whichever of its two forms the repository has, and the address that
        it was read from."""
        top = release_address(source)
        if (whole := self._find(f"{top}{INLINE}", RELEASE_LIMIT)) is not None:
            return {INLINE: whole.content}, whole.place
        text = self._find(f"{top}{TEXT}", RELEASE_LIMIT)
        signature = self._find(f"{top}{SIGNATURE}", RELEASE_LIMIT)
        if text is None or signature is None:
            why = f"{looked_in(top, self._policy)} has no InRelease and no signed Release of it"
            raise FeedUnreachable(where=where, why=why)
        return {TEXT: text.content, SIGNATURE: signature.content}, text.place

    def _verified(self, files: Files, source: Source, where: str) -> Signed:
        trust = trust_of(source, self._keyrings, signers_of(source.uri, self._policy))
        if INLINE in files:
            return verify_cleartext(files[INLINE], trust, self._now, where)
        return verify_detached(files[TEXT], files[SIGNATURE], trust, self._now, where)

    def _indexes(self, source: Source, release: ReleaseFile, where: str) -> Iterator[Index]:
        top = release_address(source)
        for path in index_paths(source, release):
            variants = [
                (listed, suffix)
                for suffix in UNPACKERS
                if (listed := release.files.get(path + suffix)) is not None
            ]
            if not variants:
                self._progress.note(f"{where} has no {path}, which the image asks for")
                continue
            packed = sorted(variants, key=lambda variant: variant[0].bytes)
            plain = release.files.get(path)
            key = (plain or packed[0][0]).digest
            if plain is None or self._cache.find(key, plain.bytes, INDEX_SUFFIX) is None:
                self._fetch_index(top + path, packed, release, where)
            yield Index(path, open_index(self._cache, key, where), key)

    def _fetch_index(
        self, address: str, variants: list[tuple[Listed, str]], release: ReleaseFile, where: str
    ) -> None:
        """Bring an index into the cache, in the smallest form that the mirror has."""
        plain = next((listed for listed, suffix in variants if not suffix), None)
        key = plain or variants[0][0]
        for listed, suffix in variants:
            with tempfile.TemporaryFile(dir=self._cache.folder) as packed:
                if self._fetch_listed(address + suffix, listed, release, packed):
                    self._unpack(packed, suffix, address, key, plain is not None)
                    return
        raise NotOffered(where=address, why=f"{where} promises it")

    def _fetch_listed(
        self, address: str, listed: Listed, release: ReleaseFile, file: IO[bytes]
    ) -> bool:
        """Fetch a file that the release vouches for and check it; False where it is absent.

        Raises: DigestMismatch, Truncated.
        """
        folder = address.rpartition("/")[0]
        hashed = f"{folder}/by-hash/SHA256/{listed.digest.partition(':')[2]}"
        for place in ([hashed] if release.by_hash else []) + [address]:
            arrived = self._copy(place, file, listed.bytes)
            if arrived is None:
                continue
            if arrived.bytes < listed.bytes:
                why = f"{listed.bytes} bytes were promised, {arrived.bytes} arrived"
                raise Truncated(where=place, why=why)
            check_digest(place, listed.digest, arrived.digest)
            file.seek(0)
            return True
        return False

    def _unpack(
        self, packed: IO[bytes], suffix: str, address: str, listed: Listed, known: bool
    ) -> None:
        """Unpack a fetched index into the cache.

        Raises: DigestMismatch, TooLarge, Truncated, Malformed.
        """
        # One byte more than promised is enough to know that it is not what was signed.
        limit = listed.bytes if known else INDEX_LIMIT
        reader = open_unpacked(suffix, packed, address, min(limit, INDEX_LIMIT))
        digest = hashlib.sha256()
        with self._cache.open_place(listed.digest, INDEX_SUFFIX) as file:
            while piece := reader.read(1 << 18):
                digest.update(piece)
                file.write(piece)
            if known and digest.hexdigest() != listed.digest.partition(":")[2]:
                raise DigestMismatch(where=address, why="it unpacks to other bytes than promised")

    def _find(self, uri: str, limit: int) -> Found | None:
        for place in decide(uri, self._policy):
            content = self._fetcher.find(place.url, limit, approved=place.approved)
            if content is not None:
                return Found(content, place.url)
        return None

    def _copy(self, uri: str, file: IO[bytes], limit: int) -> Arrived | None:
        for place in decide(uri, self._policy):
            arrived = self._fetcher.fetch(
                place.url, file, limit, approved=place.approved, advance=self._progress.advance
            )
            if arrived is not None:
                return arrived
        return None


def _state(source: Source, release: ReleaseFile, signed: Signed) -> FeedState:
    return FeedState(
        uri=source.uri,
        suite=source.suite,
        digest=sha256_of(signed.text),
        date=_moment(release.date),
        valid_until=_moment(release.valid_until),
        signed_by=signed.keys,
        label=release.label,
        codename=release.codename,
        security=release.security,
    )


def index_paths(source: Source, release: ReleaseFile) -> Iterator[str]:
    """The Packages files that a source asks for, below its release's folder."""
    if source.suite.endswith("/"):
        yield "Packages"
        return
    # As apt does: the packages for all architectures stand apart only where the release says so.
    apart = ("all",) if "all" in release.architectures and not release.all_within else ()
    for component in source.components:
        for arch in (*source.architectures, *apart):
            yield f"{component}/binary-{arch}/Packages"


def _moment(time: datetime | None) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%SZ}" if time else ""
