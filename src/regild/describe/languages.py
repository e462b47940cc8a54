"""Software that came past the package manager, in its own language's way: Python distributions,
packages of npm, gems, Java archives, and Go programs.

One walk (`regild.describe.walk`) serves all of them. Names and versions come from listings where
they can, else from the one small file of each package that says so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from regild.describe.evidence import Evidence, Unreadable, unknown
from regild.describe.findings import Findings
from regild.describe.go_programs import read_go
from regild.describe.jars import ENDINGS, as_file, read_jar
from regild.describe.walk import Folder, walk
from regild.errors import Malformed, TooLarge
from regild.model.content import Package, Unknown
from regild.model.purl import package_url

NODE = "node_modules"
OPT = "/opt"

PACKAGES_LIMIT = 50_000
FILES_LIMIT = 2_000
"""How many package.json of one folder are read one by one where npm left no lockfile."""
NESTED_LIMIT = 8
JARS_LIMIT = 5_000
PROGRAMS_LIMIT = 20_000
"""Files that could be programs, of which the first bytes are read."""
PROGRAM_BYTES_MIN = 256 << 10
"""Go's runtime alone takes more."""
LOCK_LIMIT = 16 << 20
JSON_LIMIT = 1 << 20

NO_PROGRAMS = frozenset(
    {
        *("a", "bz2", "c", "class", "conf", "cpp", "css", "csv", "d", "db", "deb", "gif", "go"),
        *("gz", "h", "html", "ico", "jar", "jpg", "js", "json", "log", "md", "mo", "o", "pdf"),
        *("php", "pl", "png", "po", "ps1", "py", "pyc", "rb", "rpm", "rst", "sh", "so", "sql"),
        *("svg", "tar", "tgz", "ts", "ttf", "txt", "war", "woff", "woff2", "xml", "xz", "yaml"),
        *("yml", "zip", "zst"),
    }
)
"""Endings of files that are not looked into."""

_LOCK = ".package-lock.json"
_NODE_NAME = re.compile(r"(?:@[A-Za-z0-9._~-]{1,100}/)?[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,213}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]{0,127}")
_GEM = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]{0,127}?)-(?P<version>[0-9][A-Za-z0-9]*(?:\.[A-Za-z0-9]+)*)"
    r"(?:-[a-z][a-z0-9_.-]{0,63})?\.gemspec"
)
_DISTRIBUTION = re.compile(
    r"([A-Za-z0-9][A-Za-z0-9._]{0,127})-([A-Za-z0-9][A-Za-z0-9.!+_]{0,63}?)"
    r"(?:\.dist-info|(?:-py[0-9.]{1,8})?(?:-[a-z0-9_-]{1,60})?\.egg-info)"
)


def read_languages(evidence: Evidence, known: Findings) -> Findings:
    """Packages of types pypi, npm, gem, maven and golang."""
    found = _Found(evidence)
    # The folders of /opt that are nobody's were found before, as applications.
    unowned = [
        f"{OPT}/{one.where.split('/')[2]}"
        for one in known.applications
        if one.where.startswith(f"{OPT}/")
    ]
    for folder in walk(evidence, unowned, found.unknowns):
        found.look(folder)
        if len(found.packages) > PACKAGES_LIMIT:
            why = f"there are more than {PACKAGES_LIMIT} packages; others are not known"
            found.unknowns.append(Unknown(folder.path, why))
            break
    return Findings(packages=tuple(found.packages), unknowns=tuple(found.unknowns))


class _Found:
    """What the walk came upon so far."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._jars = self._programs = self._modules = 0
        self.packages: dict[Package, None] = {}
        self.unknowns: list[Unknown] = []

    def look(self, folder: Folder) -> None:
        """Let every reader see a folder."""
        names = (*folder.folders, *folder.files)
        if any(name.endswith(".dist-info") or _DISTRIBUTION.fullmatch(name) for name in names):
            self._take(
                folder.path, lambda: _distributions(self._evidence, folder.path, self.unknowns)
            )
        if folder.name in ("specifications", "default") and any(map(_GEM.fullmatch, folder.files)):
            self._take(folder.path, lambda: _gems(self._evidence, folder.path))
        if folder.name == NODE:
            self._take(folder.path, lambda: self._node(folder.path))
        elif NODE in folder.folders:
            inner = f"{folder.path}/{NODE}"
            self._take(inner, lambda: self._node(inner))
        for name in folder.files:
            path = f"{folder.path}/{name}"
            if name.endswith(ENDINGS):
                self._take(path, partial(self._jar, path))
            elif name.rpartition(".")[2].lower() not in NO_PROGRAMS:
                self._take(path, partial(self._program, path))

    def _take(self, path: str, read: Callable[[], Iterable[Package]]) -> None:
        """Keep what a reader finds; from what it cannot read on, it is unknown."""
        try:
            for package in read():
                self.packages.setdefault(package)
                if len(self.packages) > PACKAGES_LIMIT:
                    return
        except Unreadable as error:
            self.unknowns.append(unknown(error, path))

    def _jar(self, path: str) -> Iterator[Package]:
        node = self._evidence.find(path)
        if node is None or not node.bytes:
            return
        self._jars += 1
        if self._jars > JARS_LIMIT:
            raise TooLarge(where=path, why=f"there are more than {JARS_LIMIT} archives")
        part = self._evidence.part
        file = as_file(lambda offset, count: part(path, offset, count), node.bytes)
        yield from read_jar(file, node.bytes, path)

    def _program(self, path: str) -> Iterator[Package]:
        self._programs += 1
        if self._programs == PROGRAMS_LIMIT + 1:
            raise TooLarge(where=path, why=f"it is one of more than {PROGRAMS_LIMIT} programs")
        if self._programs > PROGRAMS_LIMIT:
            return
        node = self._evidence.find(path)
        if node is not None and node.bytes >= PROGRAM_BYTES_MIN and node.mode & 0o111:
            yield from read_go(lambda at, count: self._evidence.part(path, at, count), path)

    def _node(self, folder: str, depth: int = 0) -> Iterator[Package]:
        """What npm put into a folder: by its lockfile, else package by package."""
        if _LOCK in self._evidence.names(folder):
            yield from _locked(self._evidence, folder)
            return
        for path in _node_folders(self._evidence, folder):
            # A link, or a damaged folder, may lead back to where it stands.
            self._modules += 1
            if self._modules == PACKAGES_LIMIT + 1:
                raise TooLarge(where=path, why=f"it is one of more than {PACKAGES_LIMIT} packages")
            if self._modules > PACKAGES_LIMIT:
                return
            try:
                content = self._evidence.find_bytes(f"{path}/package.json", JSON_LIMIT)
                if content is None:
                    continue
                stated = _object(content, f"{path}/package.json")
                yield _node_package(stated.get("name"), stated.get("version"), path)
                inner = f"{path}/{NODE}"
                if depth < NESTED_LIMIT and self._evidence.find(inner) is not None:
                    yield from self._node(inner, depth + 1)
            except Unreadable as error:
                self.unknowns.append(unknown(error, path))


def _distributions(evidence: Evidence, folder: str, odd: list[Unknown]) -> Iterator[Package]:
    """Python distributions (core metadata specifications, "Recording installed projects"); name
    and version stand in the folder's name, so the listing is the witness. What has the ending
    without them goes to `odd`."""
    for entry in evidence.names(folder):
        match = _DISTRIBUTION.fullmatch(entry)
        if match:
            name = re.sub(r"[-_.]+", "-", match[1]).lower()
            url = package_url("pypi", name, match[2])
            yield _package("pypi", name, match[2], url, f"{folder}/{entry}")
        elif entry.endswith(".dist-info") and not entry.startswith("~"):
            # pip leaves what it was removing under a tilde, and passes over it itself.
            odd.append(Unknown(f"{folder}/{entry}", "its name is no name and version"))


def _gems(evidence: Evidence, folder: str) -> Iterator[Package]:
    """Gems; name and version stand in the file's name."""
    for name in evidence.names(folder):
        gem = _GEM.fullmatch(name)
        if gem:
            url = package_url("gem", gem["name"], gem["version"])
            yield _package("gem", gem["name"], gem["version"], url, f"{folder}/{name}")


def _node_folders(evidence: Evidence, folder: str) -> Iterator[str]:
    """The folders of packages; those with a scope stand in a folder of it.

    Raises: TooLarge.
    """
    count = 0
    for name in evidence.names(folder):
        if name.startswith("."):
            continue
        scope = evidence.names(f"{folder}/{name}") if name.startswith("@") else ("",)
        for part in scope:
            count += 1
            if count > FILES_LIMIT:
                raise TooLarge(where=folder, why=f"it holds more than {FILES_LIMIT} packages")
            yield f"{folder}/{name}/{part}".rstrip("/")


def _locked(evidence: Evidence, folder: str) -> Iterator[Package]:
    path = f"{folder}/{_LOCK}"
    stated = _object(evidence.find_bytes(path, LOCK_LIMIT) or b"", path).get("packages")
    if not isinstance(stated, dict):
        raise Malformed(where=path, why="it lists no packages")
    for place, one in stated.items():
        if not isinstance(one, dict) or one.get("link") is True:
            continue
        name = one.get("name") or place.rpartition("node_modules/")[2]
        yield _node_package(name, one.get("version"), path)


def _object(content: bytes, path: str) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Malformed(where=path, why="it is not JSON") from error
    if not isinstance(found, dict):
        raise Malformed(where=path, why="it is no JSON object")
    return found


def _node_package(name: object, version: object, where: str) -> Package:
    if not isinstance(name, str) or not _NODE_NAME.fullmatch(name):
        raise Malformed(where=where, why="a package of npm has no valid name")
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        raise Malformed(where=where, why=f"the package {name} of npm has no valid version")
    scope, _, bare = name.rpartition("/")
    url = package_url("npm", bare, version, namespace=scope)
    return _package("npm", name, version, url.replace("/@", "/%40"), where)


def _package(type: str, name: str, version: str, url: str, where: str) -> Package:
    return Package(
        type=type,
        name=name,
        version=version,
        source=name,
        source_version=version,
        purl=url,
        where=where,
    )
