"""A repository's Packages index: which versions of which packages it offers (Debian repository
format, "Packages" indices; deb-control(5)).

The index is verified before it comes here. It is read in place: a table of where each name's
entries begin is made once and kept beside it, so that a plan reads a few kilobytes of fifty
megabytes.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec

from regild.errors import Malformed, TooLarge
from regild.feeds.cache import Cache
from regild.feeds.places import Places, keep_places
from regild.model.content import Value
from regild.model.digest import Digest

ENTRIES_LIMIT = 1_000_000
STANZA_LIMIT = 1 << 20
INDEX_SUFFIX = ".packages"
KNOWN_LIMIT = 2000
"""Names of which the entries are kept once they were read."""
NEEDS = ("pre-depends", "depends", "recommends")
TABLE_SUFFIX = ".names"

_ENTRY = re.compile(rb"^Package:[ \t]*([^\s]+)[ \t]*$", re.MULTILINE)
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9+.-]{0,254}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+~:-]{0,254}")
_ARCH = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_SOURCE = re.compile(rf"({_NAME.pattern})(?: \(({_VERSION.pattern})\))?")
_NAMED = re.compile(r"(?:^|[,|])\s*([^\s(:\[<,|]+)")
"""The name at the beginning of each alternative of a relation field (deb-control(5))."""
_HEX = re.compile(r"[0-9a-f]{64}")

Table = dict[str, list[int]]
"""For each package name the offsets of its entries; names are read in lower case, as dpkg and apt
read them."""
_TABLE = msgspec.msgpack.Decoder(Table)


class Offer(Value, frozen=True):
    """One version of one package that a repository offers."""

    name: str
    version: str
    arch: str
    filename: str
    """The package file's path below the repository's address."""
    bytes: int
    digest: Digest
    source: str
    source_version: str
    installed_kib: int
    needs: tuple[str, ...]
    """Names in Pre-Depends, Depends and Recommends, in this order, alternatives included."""
    provides: tuple[str, ...]
    stanza: str
    """The entry itself, as the signed index has it."""


class PackageIndex:
    """One verified Packages file of the cache."""

    def __init__(self, path: Path, places: Places[int], where: str) -> None:
        self.path = path
        self._places = places
        self._where = where
        self._known: dict[str, tuple[Offer, ...]] = {}

    @property
    def names(self) -> Iterator[str]:
        """The names of all packages in it."""
        return iter(self._places)

    def offers(self, name: str) -> Iterator[Offer]:
        """What it offers under a name; images of one suite ask for the same ones.

        Raises: Malformed.
        """
        found = self._known.get(name)
        if found is None:
            if len(self._known) >= KNOWN_LIMIT:
                self._known.clear()
            found = self._known[name] = tuple(self._read(name))
        return iter(found)

    def _read(self, name: str) -> Iterator[Offer]:
        starts = self._places.find(name)
        if not starts:
            return
        with self.path.open("rb") as file:
            for start in starts:
                yield read_offer(self._entry(file, start), self._where)

    def _entry(self, file: IO[bytes], start: int) -> bytes:
        """The bytes of the entry that begins at an offset."""
        file.seek(start)
        lines = []
        room = STANZA_LIMIT
        while (line := file.readline(room)) and line != b"\n":
            room -= len(line)
            if room <= 0:
                raise TooLarge(where=self._where, why=f"its entry at byte {start} does not end")
            lines.append(line)
        return b"".join(lines)


def open_index(cache: Cache, digest: Digest, where: str) -> PackageIndex:
    """The index with a digest that is in the cache; its table of names is made where there is
    none.

    Raises: Malformed, TooLarge.
    """
    path, kept = cache.place(digest, INDEX_SUFFIX), cache.place(digest, TABLE_SUFFIX)
    return PackageIndex(path, keep_places(kept, _TABLE, lambda: make_table(path, where)), where)


def make_table(path: Path, where: str) -> Table:
    """Where each name's entries begin in a Packages file.

    Raises: Malformed, TooLarge.
    """
    table: Table = {}
    if path.stat().st_size == 0:
        return table
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        for count, match in enumerate(_ENTRY.finditer(text)):
            if count >= ENTRIES_LIMIT:
                raise TooLarge(where=where, why=f"it lists more than {ENTRIES_LIMIT} packages")
            begin = match.start()
            if begin and text[begin - 2 : begin] != b"\n\n":
                before = text.rfind(b"\n\n", 0, begin)
                begin = before + 2 if before >= 0 else 0
            try:
                table.setdefault(match[1].decode("ascii").lower(), []).append(begin)
            except UnicodeDecodeError as error:
                raise Malformed(where=where, why="a package's name is not ASCII") from error
    return table


def read_offer(stanza: bytes, where: str) -> Offer:
    """Read one entry of a Packages file and check what is used of it.

    Raises: Malformed.
    """
    text = stanza.decode(errors="replace").rstrip("\n") + "\n"
    fields = dict(_fields(text))
    name, version, arch = (fields.get(key, "") for key in ("package", "version", "architecture"))
    if not (_NAME.fullmatch(name) and _VERSION.fullmatch(version) and _ARCH.fullmatch(arch)):
        raise Malformed(where=where, why=f"its entry {name[:60]!r} names no package and version")
    filename, digits = fields.get("filename", ""), fields.get("sha256", "").lower()
    size, installed = (fields.get(key, "0") for key in ("size", "installed-size"))
    if not _is_inside(filename) or not _HEX.fullmatch(digits) or not size.isdecimal():
        raise Malformed(where=where, why=f"its entry of {name} has no file with a size and digest")
    source = _SOURCE.fullmatch(fields.get("source", ""))
    return Offer(
        name=name.lower(),
        version=version,
        arch=arch,
        filename=filename,
        bytes=int(size[:15]),
        digest=Digest(f"sha256:{digits}"),
        source=source[1] if source else name.lower(),
        source_version=(source[2] if source else "") or version,
        installed_kib=int(installed[:12]) if installed.isdecimal() else 0,
        needs=_names(fields, *NEEDS),
        provides=_names(fields, "provides"),
        stanza=text,
    )


def _fields(text: str) -> Iterator[tuple[str, str]]:
    """The fields of an entry by lower-case name, continued lines joined."""
    name, value = "", ""
    for line in text.split("\n"):
        if line.startswith((" ", "\t")):
            value += "\n" + line
            continue
        if name:
            yield name, value
        name, _, value = line.partition(":")
        name, value = name.lower(), value.strip()
    if name:
        yield name, value


def _names(fields: dict[str, str], *relations: str) -> tuple[str, ...]:
    """The package names in some relation fields (deb-control(5)), each once."""
    found = (name for one in relations for name in _NAMED.findall(fields.get(one, "")))
    return tuple(dict.fromkeys(found))


def _is_inside(filename: str) -> bool:
    """Whether a path stays below the repository's address and means the same in every URL."""
    return (
        0 < len(filename) <= 1000
        and filename.isascii()
        and filename.isprintable()
        and not filename.startswith("/")
        and not set(filename) & set(" ?#\\")
        and ".." not in filename.split("/")
        and "%2e" not in filename.lower()
    )
