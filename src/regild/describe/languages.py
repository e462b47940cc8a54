"""Software that came past the package manager: Node.js packages (package.json, npm's hidden
lockfile), Ruby gems (specifications), snaps and flatpaks.

Looked at are only places that no distribution's package owns, by their listings and at most one
small file for each package; the tree is not searched.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from regild.describe.evidence import Evidence, Unreadable, unknown
from regild.describe.findings import Findings
from regild.errors import Malformed, TooLarge
from regild.model.content import Application, Package, Unknown
from regild.model.purl import package_url

NODE = "/usr/local/lib/node_modules"
OPT = "/opt"
GEMS = ("/var/lib/gems", "/usr/local/lib/ruby/gems")
SNAPS = "/var/lib/snapd/snaps"
FLATPAKS = ("/var/lib/flatpak/app", "/var/lib/flatpak/runtime")

PACKAGES_LIMIT = 20_000
FILES_LIMIT = 2_000
"""How many package.json are read one by one where npm left no lockfile."""
LOCK_LIMIT = 16 << 20
JSON_LIMIT = 1 << 20

_LOCK = ".package-lock.json"
_NODE_NAME = re.compile(r"(?:@[A-Za-z0-9._~-]{1,100}/)?[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,213}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]{0,127}")
_GEM = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]{0,127}?)-(?P<version>[0-9][A-Za-z0-9]*(?:\.[A-Za-z0-9]+)*)"
    r"(?:-[a-z][a-z0-9_.-]{0,63})?\.gemspec"
)
_RUBY = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){1,2}")
_SNAP = re.compile(r"([a-z0-9][a-z0-9_-]{0,63})_x?([0-9]{1,9})\.snap")
_FLATPAK = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+){1,30}")


def read_languages(evidence: Evidence, known: Findings) -> Findings:
    """Packages of npm and gem, and applications of snap and flatpak."""
    unknowns: list[Unknown] = []
    packages: list[Package] = []
    applications: list[Application] = []
    # The folders of /opt that are nobody's were found before, as applications.
    folders = [f"{OPT}/{one.where.split('/')[2]}" for one in known.applications]
    trees = (NODE, *(f"{folder}/node_modules" for folder in folders))
    found: list[tuple[str, Callable[[Evidence, str], Iterator[Package]]]] = [
        *((path, _node) for path in trees),
        *((path, _gems) for path in GEMS),
    ]
    for path, read in found:
        try:
            packages.extend(islice(read(evidence, path), PACKAGES_LIMIT + 1 - len(packages)))
            if len(packages) > PACKAGES_LIMIT:
                raise TooLarge(where=path, why=f"there are more than {PACKAGES_LIMIT} packages")
        except Unreadable as error:
            unknowns.append(unknown(error, path))
    for path, list_ in ((SNAPS, _snaps), *((path, _flatpaks) for path in FLATPAKS)):
        try:
            applications.extend(list_(evidence, path))
        except Unreadable as error:
            unknowns.append(unknown(error, path))
    return Findings(
        packages=tuple(dict.fromkeys(packages)),
        applications=tuple(applications),
        unknowns=tuple(unknowns),
    )


def _node(evidence: Evidence, folder: str) -> Iterator[Package]:
    """What npm put into a folder: by its lockfile, else package by package."""
    names = evidence.names(folder)
    if _LOCK in names:
        yield from _locked(evidence, folder)
        return
    files = 0
    for name in names:
        if name.startswith("."):
            continue
        scope = evidence.names(f"{folder}/{name}") if name.startswith("@") else ("",)
        for path in (f"{folder}/{name}/{part}".rstrip("/") for part in scope):
            files += 1
            if files > FILES_LIMIT:
                raise TooLarge(where=folder, why=f"it holds more than {FILES_LIMIT} packages")
            content = evidence.find_bytes(f"{path}/package.json", JSON_LIMIT)
            if content is not None:
                stated = _object(content, f"{path}/package.json")
                yield _node_package(stated.get("name"), stated.get("version"), path)


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


def _gems(evidence: Evidence, folder: str) -> Iterator[Package]:
    """The gems of every Ruby below a folder; name and version stand in the file's name."""
    for ruby in evidence.names(folder):
        if not _RUBY.fullmatch(ruby):
            continue
        for name in evidence.names(f"{folder}/{ruby}/specifications"):
            gem = _GEM.fullmatch(name)
            if gem:
                where = f"{folder}/{ruby}/specifications/{name}"
                url = package_url("gem", gem["name"], gem["version"])
                yield _package("gem", gem["name"], gem["version"], url, where)


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


def _snaps(evidence: Evidence, folder: str) -> Iterator[Application]:
    """Each snap once; its file says a revision and no version."""
    newest: dict[str, tuple[int, str]] = {}
    for name in evidence.names(folder):
        snap = _SNAP.fullmatch(name)
        if snap:
            newest[snap[1]] = max(newest.get(snap[1], (-1, "")), (int(snap[2]), name))
    for name, (_, file) in newest.items():
        yield Application(name=name, version="", where=f"{folder}/{file}")


def _flatpaks(evidence: Evidence, folder: str) -> Iterator[Application]:
    for name in evidence.names(folder):
        if _FLATPAK.fullmatch(name):
            yield Application(name=name, version="", where=f"{folder}/{name}")
