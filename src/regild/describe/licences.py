"""Under which licences the packages are, where the guest says so in a form made for machines.

That is Debian's copyright-format 1.0 (DEP-5) below /usr/share/doc, the databases of rpm, apk and
pacman, and the metadata of Python and npm. Texts are not read for what they might mean. Only a bill
of materials asks, since hundreds of files are read for it; a plan does not depend on the answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec

from regild.describe.evidence import Evidence, Unreadable
from regild.describe.rpm import FORMATS
from regild.image.tree import Guest
from regild.model.content import Package
from regild.model.rpm_header import Tags

Key = tuple[str, str, str, str]
"""Type, name, version and architecture of a package."""
Licences = Mapping[Key, tuple[str, ...]]
"""What each package states, sorted; one that states nothing usable is left out."""

FILE_LIMIT = 2 << 20
"""The longest copyright file of Debian 12 that was seen has 0.8 MB (chromium)."""
TOTAL_LIMIT = 128 << 20
STATED_LIMIT = 200
"""Licences of one package; the kernel's has 30."""
NAME_LIMIT = 200
DATABASE_LIMIT = 128 << 20
LICENSE = 1014
"""RPMTAG_LICENSE."""

_BLANK = re.compile(rb"\n[ \t]*\n")
_FORMAT = re.compile(rb"^Format:\s*https?://\S*copyright-format/1\.0/?[ \t]*$", re.M | re.I)
_FILES = re.compile(rb"^Files:", re.M | re.I)
_LICENSE = re.compile(rb"^License:[ \t]*(.*)$", re.M | re.I)
_HEADER = re.compile(rb"^(License(?:-Expression)?):[ \t]*([^\r\n]*)", re.M | re.I)


def key_of(package: Package) -> Key:
    """What a package is known by here."""
    return package.type, package.name, package.version, package.arch


def read_licences(guest: Guest, packages: Iterable[Package]) -> Licences:
    """The licences of some packages of a guest; what cannot be read is left out, since nothing but
    a list for people depends on it."""
    found: dict[Key, tuple[str, ...]] = {}
    room = _Room(Evidence(guest))
    for package in packages:
        read = READERS.get(package.type)
        stated = _names(read(room, package)) if read else ()
        if stated:
            found[key_of(package)] = stated
    return found


def _names(stated: Iterable[str]) -> tuple[str, ...]:
    """Names that a person can read, each once; none at all where there are too many."""
    plain = {" ".join(one.split()) for one in stated}
    good = {one for one in plain if one and len(one) <= NAME_LIMIT and one.isprintable()}
    return tuple(sorted(good)) if good == plain - {""} and len(good) <= STATED_LIMIT else ()


class _Room:
    """A guest's files within one limit for all of them; each is read once."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self._left = TOTAL_LIMIT
        self._tables: dict[str, Mapping[str, str]] = {}

    def read(self, path: str, limit: int = 0) -> bytes:
        """A file's bytes; nothing where it cannot be read."""
        try:
            content = self.evidence.peek(path, min(limit or FILE_LIMIT, self._left))
        except Unreadable:
            return b""
        self._left -= len(content)
        return content

    def table(
        self, path: str, made: Callable[[_Room, str], Iterator[tuple[str, str]]]
    ) -> Mapping[str, str]:
        """What a database says of every package, read once; nothing where it is damaged."""
        if path not in self._tables:
            try:
                self._tables[path] = dict(made(self, path))
            except Unreadable:
                self._tables[path] = {}
        return self._tables[path]


def _debian(room: _Room, package: Package) -> Iterator[str]:
    """The short names of a copyright file; none where one of its files has none.

    Not read with `deb822`, which takes the first line of a text for a name that is not there.
    """
    content = room.read(f"/usr/share/doc/{package.name}/copyright").replace(b"\r\n", b"\n")
    first, *others = _BLANK.split(content.strip(b"\n"))
    if not _FORMAT.search(first):
        return
    found = [_LICENSE.search(one) for one in others if _FILES.search(one)]
    names = [one[1].decode(errors="replace").strip() if one else "" for one in found]
    if all(names):
        yield from names


def _rpm(room: _Room, package: Package) -> Iterator[str]:
    name = f"{package.name} {package.version} {package.arch}"
    yield room.table(package.where, _rpm_table).get(name, "")


def _rpm_table(room: _Room, path: str) -> Iterator[tuple[str, str]]:
    read = dict(FORMATS)[path.rpartition("/")[2]]
    for where, blob in read(room.evidence, path):
        tags = Tags(blob, where)
        header = tags.identity
        arch = header.arch.replace("(none)", "")
        for stated in tags.texts(LICENSE)[:1]:
            yield f"{header.name} {header.evr} {arch}", stated


def _alpine(room: _Room, package: Package) -> Iterator[str]:
    yield room.table(package.where, _alpine_table).get(package.name, "")


def _alpine_table(room: _Room, path: str) -> Iterator[tuple[str, str]]:
    name = ""
    for line in room.read(path, DATABASE_LIMIT).decode(errors="replace").split("\n"):
        if line.startswith("P:"):
            name = line[2:]
        elif line.startswith("L:") and name:
            yield name, line[2:]
        elif not line:
            name = ""


def _arch(room: _Room, package: Package) -> Iterator[str]:
    _, found, rest = room.read(package.where).decode(errors="replace").partition("%LICENSE%\n")
    if found:
        yield from rest.partition("\n\n")[0].split("\n")


def _python(room: _Room, package: Package) -> Iterator[str]:
    """License-Expression, else License where it is a name and no text (PEP 639)."""
    head = room.read(package.where).replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    stated = {name.lower(): text for name, text in _HEADER.findall(head)}
    text = stated.get(b"license-expression") or stated.get(b"license", b"")
    yield text.decode(errors="replace").replace("UNKNOWN", "")


def _node(room: _Room, package: Package) -> Iterator[str]:
    try:
        told = msgspec.json.decode(room.read(package.where))
    except (ValueError, RecursionError):
        return
    if isinstance(told, dict) and told.get("name") == package.name:
        stated = told.get("license")
        yield stated if isinstance(stated, str) else ""


READERS: Mapping[str, Callable[[_Room, Package], Iterator[str]]] = {
    "deb": _debian,
    "rpm": _rpm,
    "apk": _alpine,
    "alpm": _arch,
    "pypi": _python,
    "npm": _node,
}
"""By the type of the package URL."""
