"""Wheels of Python in a folder, or at an index (PEP 503 in HTML, PEP 691 in JSON), and what each of
them needs.

An index is not signed: what it lists is believed as far as its address is, and everything that is
read after that is held against the digests that it lists. Distributions that would have to be built
are left out, because building runs their code. Source: PyPA specifications, "Simple repository
API", "Binary distribution format", "Core metadata".
"""

from __future__ import annotations

import html.parser
import io
import zipfile
from collections.abc import Iterable, Iterator
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path
from typing import IO
from urllib.parse import quote, unquote, urldefrag, urljoin, urlsplit

import msgspec
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from regild.errors import Malformed, MissingFile, NotOffered, TooLarge
from regild.feeds.cache import check_digest
from regild.feeds.policy import SitePolicy
from regild.feeds.recipes import fetch_files, find_bytes
from regild.host.files import digest_file
from regild.model.digest import Digest, sha256_of
from regild.model.plan import Archive
from regild.model.progress import Progress
from regild.model.recipe import Recipe, Wheel
from regild.model.recipe_rules import HEX

INDEX_BYTES_MAX = 64 << 20
METADATA_BYTES_MAX = 1 << 20
WHEEL_BYTES_MAX = 2 << 30
NEEDS_MAX = 1000
FILES_MAX = 20_000


class Wheels:
    """What a recipe's index offers; each question is asked once."""

    def __init__(
        self, recipe: Recipe, place: str, policy: SitePolicy, folder: Path, progress: Progress
    ) -> None:
        self._recipe, self._policy, self._cache, self._progress = recipe, policy, folder, progress
        self.place = place
        self._listed: dict[str, tuple[Wheel, ...]] = {}
        self._stated: dict[Digest, tuple[str, ...]] = {}
        self._folder: tuple[Wheel, ...] | None = None

    def wheels(self, name: str) -> tuple[Wheel, ...]:
        """The wheels of one distribution, by its normal name, in no order.

        Raises: MissingFile for a folder that is not there, Malformed, TooLarge, FeedUnreachable,
        SourceRefused.
        """
        if name not in self._listed:
            self._listed[name] = tuple(self._read(name))
        return self._listed[name]

    def needs(self, wheel: Wheel) -> tuple[str, ...]:
        """The requirements (PEP 508) that a wheel states.

        Raises: Malformed, DigestMismatch, TooLarge, and as `fetch_files`.
        """
        if wheel.file.digest not in self._stated:
            self._stated[wheel.file.digest] = self._needs(wheel)
        return self._stated[wheel.file.digest]

    def _read(self, name: str) -> Iterable[Wheel]:
        if "://" not in self.place:
            if self._folder is None:
                self._folder = self._in_folder()
            return [_with_python(one) for one in self._folder if one.name == name]
        where = f"{self.place.rstrip('/')}/{name}/"
        content = find_bytes(where, INDEX_BYTES_MAX, self._recipe, self._policy)
        return read_index(content, where, name) if content is not None else ()

    def _in_folder(self) -> tuple[Wheel, ...]:
        folder = Path(self._recipe.folder) / self.place
        if not folder.is_dir():
            raise MissingFile(where=str(folder), why="the recipe takes its wheels from there")
        paths = sorted(folder.glob("*.whl"))
        if len(paths) > FILES_MAX:
            raise TooLarge(where=str(folder), why=f"it holds more than {FILES_MAX} wheels")
        if self._recipe.origin == "image":
            why = "an image's own recipe takes no wheels from a folder: name an index"
            raise NotOffered(where=str(folder), why=why)
        found = []
        for path in paths:
            named = _named(path.name)
            if named is not None:
                uri = f"file://{quote(str(path))}"
                file = Archive(uri, path.name, digest_file(path), path.stat().st_size)
                found.append(Wheel(named[0], named[1], file, named[2]))
        return tuple(found)

    def _needs(self, wheel: Wheel) -> tuple[str, ...]:
        if wheel.metadata is not None:
            uri = f"{wheel.file.uri}.metadata"
            content = find_bytes(uri, METADATA_BYTES_MAX, self._recipe, self._policy)
            if content is not None:
                check_digest(uri, wheel.metadata, sha256_of(content))
                return read_needs(content, uri)
        wanted = [(wheel.file, self._recipe)]
        files = fetch_files(wanted, self._policy, self._cache, self._progress)
        with files[wheel.file.digest].open("rb") as file:
            return read_needs(read_metadata(file, wheel), wheel.file.name)


def read_index(content: bytes, where: str, name: str) -> tuple[Wheel, ...]:
    """The wheels that an index lists for one distribution; others, and what is only a source, are
    passed over.

    Raises: Malformed.
    """
    read = _json_rows if content[:1] == b"{" else _html_rows
    try:
        rows = tuple(read(content, where))
    # Of addresses that cannot be taken apart; and html.parser asserts that a page is well formed.
    except (ValueError, AssertionError) as error:
        raise Malformed(where=where, why=f"it cannot be read: {error}") from error
    found = []
    for row in rows:
        named = _named(row.name)
        if named is None or named[0] != name or not HEX.fullmatch(row.sha256):
            continue
        split = urlsplit(row.uri)
        if split.scheme not in ("http", "https") or not row.uri.isascii():
            continue
        size = row.bytes or 0
        file = Archive(row.uri, row.name, Digest(f"sha256:{row.sha256}"), size)
        metadata = Digest(f"sha256:{row.metadata}") if HEX.fullmatch(row.metadata) else None
        found.append(Wheel(*named[:2], file, named[2], row.requires, row.yanked, metadata))
        if len(found) > FILES_MAX:
            raise Malformed(where=where, why=f"it lists over {FILES_MAX} files")
    return tuple(found)


class _Row(msgspec.Struct):
    name: str
    uri: str
    sha256: str = ""
    requires: str = ""
    yanked: bool = False
    metadata: str = ""
    bytes: int | None = None


class _JsonFile(msgspec.Struct, rename="kebab"):
    filename: str
    url: str
    hashes: dict[str, str]
    requires_python: str | None = None
    yanked: bool | str = False
    core_metadata: bool | dict[str, str] | None = None
    size: int | None = None


class _JsonIndex(msgspec.Struct):
    files: list[_JsonFile]


def _json_rows(content: bytes, where: str) -> Iterator[_Row]:
    try:
        told = msgspec.json.decode(content, type=_JsonIndex)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(where=where, why=str(error)) from error
    for one in told.files:
        known = one.core_metadata if isinstance(one.core_metadata, dict) else {}
        yield _Row(
            one.filename,
            urljoin(where, one.url),
            one.hashes.get("sha256", ""),
            one.requires_python or "",
            bool(one.yanked),
            known.get("sha256", ""),
            one.size,
        )


def _html_rows(content: bytes, where: str) -> Iterator[_Row]:
    page = _Page()
    page.feed(content.decode(errors="replace"))
    page.close()
    for told in page.links:
        address, fragment = urldefrag(urljoin(where, told.get("href") or ""))
        known = told.get("data-core-metadata") or told.get("data-dist-info-metadata") or ""
        yield _Row(
            unquote(address.rpartition("/")[2]),
            address,
            fragment.removeprefix("sha256="),
            told.get("data-requires-python") or "",
            "data-yanked" in told,
            known.removeprefix("sha256="),
        )


class _Page(html.parser.HTMLParser):
    """The links of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep what a link says."""
        if tag == "a" and len(self.links) <= FILES_MAX:
            self.links.append(dict(attrs))


def _with_python(wheel: Wheel) -> Wheel:
    """A wheel of a folder with the Pythons that it says it runs on.

    Raises: Malformed, TooLarge.
    """
    path = Path(unquote(urlsplit(wheel.file.uri).path))
    with path.open("rb") as file:
        told = _headers(read_metadata(file, wheel))
    return msgspec.structs.replace(wheel, requires_python=str(told.get("Requires-Python", "")))


def _headers(content: bytes) -> Message:
    text = io.StringIO(content.decode(errors="replace"))
    return HeaderParser().parse(text, headersonly=True)


def _named(file: str) -> tuple[str, str, tuple[str, ...]] | None:
    """Name, version and tags that a wheel's file name states; None where it is no wheel's."""
    try:
        name, version, _, tags = parse_wheel_filename(file)
    except (InvalidWheelFilename, ValueError):
        return None
    return str(canonicalize_name(name)), str(version), tuple(sorted(map(str, tags)))


def read_metadata(file: IO[bytes], wheel: Wheel) -> bytes:
    """The metadata in a wheel; nothing is unpacked.

    Raises: Malformed, TooLarge.
    """
    where = wheel.file.name
    try:
        with zipfile.ZipFile(file) as archive:
            named = [one for one in archive.infolist() if one.filename.endswith("/METADATA")]
            named = [one for one in named if one.filename.count("/") == 1]
            if len(named) != 1:
                raise Malformed(where=where, why="it has no metadata, or more than one")
            with archive.open(named[0]) as inside:
                content = inside.read(METADATA_BYTES_MAX + 1)
    except (zipfile.BadZipFile, OSError, RuntimeError, ValueError, NotImplementedError) as error:
        raise Malformed(where=where, why=f"it is no wheel: {error}") from error
    except zipfile.zlib.error as error:  # type: ignore[attr-defined]  # zipfile imports zlib
        raise Malformed(where=where, why=f"it is no wheel: {error}") from error
    if len(content) > METADATA_BYTES_MAX:
        raise TooLarge(where=where, why=f"its metadata is over {METADATA_BYTES_MAX} bytes")
    return content


def read_needs(content: bytes, where: str) -> tuple[str, ...]:
    """The requirements in a wheel's metadata.

    Raises: Malformed.
    """
    needs = _headers(content).get_all("Requires-Dist") or []
    if len(needs) > NEEDS_MAX:
        raise Malformed(where=where, why=f"it states over {NEEDS_MAX} requirements")
    return tuple(str(one) for one in needs)
