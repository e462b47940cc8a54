"""Which packages an rpm repository offers: primary.xml (createrepo_c; libsolv's repo_rpmmd).

It is verified before it comes here, and looked through once by a parser that takes no document type
and no entities; where each name's entries lie is kept beside it, so that a plan reads a few
kilobytes of some hundred megabytes.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element

import msgspec

from regild.errors import Malformed, TooLarge
from regild.feeds.advisories.elements import read_elements
from regild.feeds.cache import Cache
from regild.feeds.places import Places, keep_places
from regild.feeds.repomd import is_inside
from regild.feeds.survey import Surveyor
from regild.model.content import Value
from regild.model.digest import Digest

PRIMARY_SUFFIX = ".primary.xml"
TABLE_SUFFIX = ".primary"
ENTRIES_LIMIT = 1_000_000
ENTRY_LIMIT = 16 << 20

_HEAD = (
    b'<metadata xmlns="http://linux.duke.edu/metadata/common"'
    b' xmlns:rpm="http://linux.duke.edu/metadata/rpm">'
)
_NAME_DEPTH = 3

Table = dict[str, list[tuple[int, int]]]
"""For each package name, where its entries begin and end."""
_TABLE = msgspec.msgpack.Decoder(Table)


class RpmOffer(Value, frozen=True):
    """One version of one package that an rpm repository offers."""

    name: str
    version: str
    """Epoch, version and release; an epoch of 0 is left out."""
    arch: str
    href: str
    """The package file's path below `base` or the repository's address."""
    base: str
    digest: Digest
    bytes: int
    installed_bytes: int
    source: str
    source_version: str
    needs: tuple[str, ...]
    """Names in its requirements and recommendations."""
    provides: tuple[str, ...]


class PrimaryIndex:
    """One verified primary.xml of the cache."""

    def __init__(self, path: Path, places: Places[tuple[int, int]], where: str) -> None:
        self.path = path
        self._places = places
        self._where = where

    @property
    def names(self) -> Iterator[str]:
        """The names of all packages in it."""
        return iter(self._places)

    def offers(self, name: str) -> Iterator[RpmOffer]:
        """What it offers under a name.

        Raises: Malformed, TooLarge.
        """
        places = self._places.find(name)
        if not places:
            return
        with self.path.open("rb") as file:
            for begin, end in places:
                file.seek(begin)
                yield read_offer(file.read(end - begin), self._where)


def open_primary(cache: Cache, digest: Digest, where: str) -> PrimaryIndex:
    """The index with a digest that is in the cache; its table is made where there is none.

    Raises: Malformed, TooLarge.
    """
    path, kept = cache.place(digest, PRIMARY_SUFFIX), cache.place(digest, TABLE_SUFFIX)
    return PrimaryIndex(path, keep_places(kept, _TABLE, lambda: make_table(path, where)), where)


def make_table(path: Path, where: str) -> Table:
    """Where each name's entries lie in a primary.xml.

    Raises: Malformed, TooLarge.
    """
    surveyor = _Surveyor(where)
    surveyor.read(path)
    return surveyor.table


class _Surveyor(Surveyor):
    """Notes where entries begin and end."""

    def __init__(self, where: str) -> None:
        super().__init__(where)
        self.table: Table = {}
        self._begin = self._count = 0
        self._name: str | None = None
        self.parser.buffer_text = True

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Note where a package begins."""
        super().start(name, attributes)
        if self.depth == 2 and name == "package":
            self._begin, self._name = self.parser.CurrentByteIndex, None
            self._count += 1
            if self._count > ENTRIES_LIMIT:
                raise TooLarge(where=self.where, why=f"it has more than {ENTRIES_LIMIT} packages")
        elif self.depth == _NAME_DEPTH and name == "name":
            if self._name is not None:
                raise Malformed(where=self.where, why="a package has two names")
            self._name = ""
            self.parser.CharacterDataHandler = self._text

    def _text(self, text: str) -> None:
        self._name = (self._name or "") + text

    def end(self, name: str) -> None:
        """Note where a package ends."""
        if self.depth == _NAME_DEPTH and name == "name":
            self.parser.CharacterDataHandler = None
        elif self.depth == 2 and name == "package":
            end = self.parser.CurrentByteIndex + len(b"</package>")
            if not self._name or end - self._begin > ENTRY_LIMIT:
                raise Malformed(where=self.where, why="a package has no name, or no end")
            self.table.setdefault(self._name.strip(), []).append((self._begin, end))
        super().end(name)


def read_offer(entry: bytes, where: str) -> RpmOffer:
    """Read one package of a primary.xml and check what is used of it.

    Raises: Malformed, TooLarge.
    """
    whole = io.BytesIO(_HEAD + entry + b"</metadata>")
    (package, *others) = read_elements(whole, frozenset({"package"}), where) or [None]
    if package is None or others:
        raise Malformed(where=where, why="an entry is not one package")
    name, arch = _text(package, "name"), _text(package, "arch")
    version = package.find("version")
    evr = _evr(version) if version is not None else ""
    location, checksum, size = (package.find(tag) for tag in ("location", "checksum", "size"))
    href = location.get("href", "") if location is not None else ""
    base = location.get("base", "") if location is not None else ""
    digits = _text(package, "checksum").lower()
    kind = checksum.get("type", "") if checksum is not None else ""
    if not (_is_word(name) and _is_word(arch) and _is_word(evr)):
        raise Malformed(where=where, why=f"its entry {name[:60]!r} names no package and version")
    if not is_inside(href) or kind not in ("sha256", "sha512") or not digits.isalnum():
        raise Malformed(where=where, why=f"its entry of {name} has no file with a digest")
    source, source_version = _source(_text(package, "format/sourcerpm"), name, evr)
    relations = ("format/requires/entry", "format/recommends/entry")
    return RpmOffer(
        name=name,
        version=evr,
        arch=arch,
        href=href,
        base=base[:2000],
        digest=Digest(f"{kind}:{digits}"),
        bytes=_number(size, "package"),
        installed_bytes=_number(size, "installed"),
        source=source,
        source_version=source_version,
        needs=_names(package, *relations),
        provides=(*_names(package, "format/provides/entry"), *_files(package)),
    )


def _evr(element: Element) -> str:
    return evr_of(element.get("epoch", "0"), element.get("ver", ""), element.get("rel", ""))


def evr_of(epoch: str, version: str, release: str) -> str:
    """Epoch, version and release as one text; an epoch of 0 is left out."""
    plain = f"{version}-{release}" if release else version
    return plain if epoch in ("", "0") else f"{epoch}:{plain}"


def _source(file: str, name: str, evr: str) -> tuple[str, str]:
    """Name and version of the source package, by the file that it came in."""
    stem = file.removesuffix(".rpm").removesuffix(".src").removesuffix(".nosrc")
    parts = stem.rsplit("-", 2)
    if len(parts) != 3 or not all(parts):
        return name, evr.partition(":")[2] or evr
    return parts[0], f"{parts[1]}-{parts[2]}"


def _names(package: Element, *paths: str) -> tuple[str, ...]:
    found = (one.get("name", "") for path in paths for one in package.iterfind(path))
    return tuple(dict.fromkeys(name for name in found if name))


def _files(package: Element) -> Iterator[str]:
    """Its paths, as far as this index names them."""
    yield from (one.text.strip() for one in package.iterfind("format/file") if one.text)


def _text(element: Element, path: str) -> str:
    found = element.find(path)
    return (found.text or "").strip() if found is not None else ""


def _number(element: Element | None, name: str) -> int:
    text = element.get(name, "0") if element is not None else "0"
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0


def _is_word(text: str) -> bool:
    return 0 < len(text) <= 255 and text.isprintable() and not set(text) & set(" /")
