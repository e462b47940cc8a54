"""What recipes say is available: versions in the recipe itself or in a list elsewhere that a digest
or a signature vouches for, and the files of a plan's errands.

A site's own recipe, and one from the command line, allow the addresses that they name, and the
folder that they lie in. One that came with an image allows nothing: its addresses are read within
the site's policy, as those of its sources are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO
from urllib.parse import quote, unquote, urljoin, urlsplit

import msgspec

from regild.errors import Malformed, NotOffered, Truncated
from regild.feeds.archives import AT_ONCE
from regild.feeds.bring import check_file
from regild.feeds.cache import check_digest
from regild.feeds.policy import Address, SitePolicy, decide, reach_of, with_options
from regild.feeds.seen import check_order, find_seen, keep_seen
from regild.host.fetch import Fetcher
from regild.host.files import mark_used, open_new, translated
from regild.model.content import Value
from regild.model.digest import Digest, hex_of, sha256_of
from regild.model.dsse import check_signed, read_signed
from regild.model.json import from_json
from regild.model.plan import Archive, FeedState
from regild.model.progress import Progress, Shared
from regild.model.recipe import ApplicationRelease, Recipe
from regild.model.recipe_rules import ADDRESS, FILE_NAME, RELEASES_MAX, VERSION

KIND = "application/vnd.regild.releases+json"
"""What is signed is a list of releases, and nothing else that the same key signs."""
INDEX_BYTES_MAX = 16 << 20
FOLDER = "recipes"
UNSAID_BYTES_MAX = 2 << 30
"""Of a file whose size no list states."""


class ReleaseList(Value, frozen=True, forbid_unknown_fields=True):
    """A list of releases as it stands in a file of its own."""

    releases: tuple[ApplicationRelease, ...]
    date: str = ""
    """When it was made (RFC 3339, UTC); an older one is refused later."""


@dataclass(frozen=True, slots=True)
class Offered:
    """What a recipe offers at one moment."""

    recipe: Recipe
    releases: tuple[ApplicationRelease, ...]
    """Their files with whole addresses."""
    index: Digest | None = None
    date: str = ""


def read_offered(recipe: Recipe, policy: SitePolicy, cache: Path, now: datetime) -> Offered:
    """The versions that a recipe knows of, or the list that it names does.

    Raises: NotOffered, SourceRefused, FeedUnreachable, TooLarge, Malformed, DigestMismatch,
    SignatureRefused, RolledBack.
    """
    if recipe.index is None:
        begin = f"file://{quote(recipe.folder)}/"
        return Offered(recipe, tuple(_placed(one, begin) for one in recipe.releases))
    where = _absolute(recipe.index.uri, f"file://{quote(recipe.folder)}/")
    content = find_bytes(where, INDEX_BYTES_MAX, recipe, policy)
    if content is None:
        raise NotOffered(where=where, why=f"the recipe {recipe.name} takes its versions from there")
    if recipe.index.digest is not None:
        check_digest(where, recipe.index.digest, sha256_of(content))
    else:
        content = _signed(content, recipe.index.key.encode(), where)
    listed = read_list(content, where)
    if recipe.index.digest is None:
        state = FeedState(where, f"recipe {recipe.name}", sha256_of(content), listed.date)
        check_order(find_seen(cache, where), state, where)
        keep_seen(cache, where, state, now)
    releases = tuple(_placed(one, where) for one in listed.releases)
    return Offered(recipe, releases, sha256_of(content), listed.date)


def _signed(content: bytes, key: bytes, where: str) -> bytes:
    """The list in a signed file.

    Raises: Malformed, SignatureRefused.
    """
    signed = read_signed(content, where)
    check_signed(signed, key, where)
    if signed.kind != KIND:
        raise Malformed(
            where=where, why=f"what is signed is no list of releases: {signed.kind[:60]}"
        )
    return signed.payload


def read_list(content: bytes, where: str) -> ReleaseList:
    """A list of releases; it follows the same rules as what stands in a recipe.

    Raises: Malformed.
    """
    listed = from_json(ReleaseList, content, where)
    if len(listed.releases) > RELEASES_MAX:
        raise Malformed(where=where, why=f"it lists over {RELEASES_MAX} releases")
    for one in listed.releases:
        if not VERSION.fullmatch(one.version):
            raise Malformed(where=where, why=f"{one.version[:40]!r} is no version")
        for file in one.files:
            named = FILE_NAME.fullmatch(file.name) is not None
            there = "://" not in file.uri or ADDRESS.fullmatch(file.uri) is not None
            digested = file.digest.startswith("sha256:") and len(hex_of(file.digest)) == 64
            if not (named and there and digested and file.bytes > 0):
                raise Malformed(where=where, why=f"a file of {one.version} is not well described")
    return listed


def own_files(recipe: Recipe) -> tuple[Archive, ...]:
    """The files of a recipe that has no releases, with whole addresses."""
    begin = f"file://{quote(recipe.folder)}/"
    return tuple(
        msgspec.structs.replace(one, uri=_absolute(one.uri, begin)) for one in recipe.files
    )


def _placed(release: ApplicationRelease, begin: str) -> ApplicationRelease:
    """A release with its files' addresses whole."""
    files = tuple(
        msgspec.structs.replace(one, uri=_absolute(one.uri, begin)) for one in release.files
    )
    return msgspec.structs.replace(release, files=files)


def _absolute(uri: str, begin: str) -> str:
    return uri if "://" in uri else urljoin(begin, quote(uri))


def find_bytes(uri: str, limit: int, recipe: Recipe, policy: SitePolicy) -> bytes | None:
    """The bytes at an address that a recipe names; None where there is nothing.

    Raises: SourceRefused, FeedUnreachable, TooLarge.
    """
    allowed = allowed_for(recipe, policy, (uri,))
    with open_fetcher(recipe, allowed) as fetcher:
        for place in _places(uri, recipe, allowed):
            content = fetcher.find(place.url, limit, approved=place.approved)
            if content is not None:
                return content
    return None


def allowed_for(recipe: Recipe, policy: SitePolicy, uris: Iterable[str]) -> SitePolicy:
    """A policy with what a recipe of the site, or of the command line, itself allows."""
    if recipe.origin == "image":
        return policy
    return with_options(policy, allow=[one for one in uris if ADDRESS.fullmatch(one)])


def open_fetcher(recipe: Recipe, policy: SitePolicy) -> Fetcher:
    """A reader of the network that also reads the recipe's own folder."""
    reach = reach_of(policy)
    return Fetcher(msgspec.structs.replace(reach, folders=(*reach.folders, Path(recipe.folder))))


def _places(uri: str, recipe: Recipe, policy: SitePolicy) -> Iterator[Address]:
    """Where to read an address: what lies beside the recipe there, all else as the site says."""
    if uri.startswith("file:"):
        path = Path(unquote(urlsplit(uri).path))
        if path.is_relative_to(recipe.folder):
            yield Address(uri, approved=True)
            return
    yield from decide(uri, policy)


def fetch_files(
    wanted: Iterable[tuple[Archive, Recipe]], policy: SitePolicy, cache: Path, progress: Progress
) -> dict[Digest, Path]:
    """Every file of some errands as a file of the cache, by its digest.

    Raises: FeedUnreachable, NotOffered, SourceRefused, DigestMismatch, Truncated, TooLarge,
    DiskFull.
    """
    folder = cache / FOLDER
    with translated(folder):
        folder.mkdir(parents=True, exist_ok=True)
    files = {one.digest: (one, recipe) for one, recipe in wanted}
    told = Shared(progress)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = pool.map(lambda row: _fetched(row[0], row[1], folder, policy, told), files.values())
        return dict(zip(files, found, strict=True))


def _fetched(
    file: Archive, recipe: Recipe, folder: Path, policy: SitePolicy, progress: Progress
) -> Path:
    """One file: from the cache if it is whole there, else from its place."""
    path = folder / hex_of(file.digest)
    if path.is_file() and _is(path, file.digest):
        mark_used(path)
        progress.advance(file.bytes)
        return path
    allowed = allowed_for(recipe, policy, (file.uri,))
    with open_fetcher(recipe, allowed) as fetcher, open_new(path) as new:
        for place in _places(file.uri, recipe, allowed):
            # Where nobody said how large it is, the digest alone says whether all of it came.
            arrived = fetcher.fetch(
                place.url,
                new,
                file.bytes or UNSAID_BYTES_MAX,
                approved=place.approved,
                advance=progress.advance,
            )
            if arrived is None:
                continue
            if arrived.bytes < file.bytes:
                why = f"{file.bytes} bytes were promised, {arrived.bytes} arrived"
                raise Truncated(where=file.uri, why=why)
            _check(new, file)
            return path
        raise NotOffered(where=file.uri, why=f"the recipe {recipe.name} promises it")


def _check(new: IO[bytes], file: Archive) -> None:
    new.flush()
    new.seek(0)
    check_file(new, file.digest, file.uri)


def _is(path: Path, digest: Digest) -> bool:
    """Whether a file has a digest, of whichever algorithm."""
    algorithm, _, digits = digest.partition(":")
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest() == digits
