"""What macOS says of itself: its version, the receipts of installers, and the bundles of programs.

Property lists are read by plistlib, which refuses entities, within sizes that keep it cheap. Tried
on trees that were made for it only: no disk of a real Mac was at hand.
"""

from __future__ import annotations

import plistlib
import re
from collections.abc import Iterator
from typing import Any
from xml.parsers.expat import ExpatError

from regild.describe.apt_sources import strip_credentials
from regild.describe.evidence import Evidence, Unreadable, unknown
from regild.describe.findings import Findings
from regild.errors import Malformed
from regild.model.content import Application, Package, Platform, Source, Unknown
from regild.model.purl import package_url

VERSION = "/System/Library/CoreServices/SystemVersion.plist"
DATA = "/System/Volumes/Data"
"""Where everything that changes stands since 10.15; before that, in the root itself."""
RECEIPTS = "/private/var/db/receipts"
PROGRAMS = "/Applications"
UPDATE_SETTINGS = "/Library/Preferences/com.apple.SoftwareUpdate.plist"

LIST_LIMIT = 1 << 20
TEXT_LIMIT = 300

_VERSION = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){0,3}")
_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,254}")
_RELEASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_() -]{0,99}")

Stated = dict[str, Any]


def read_macos(evidence: Evidence, known: Findings) -> Findings:
    """Version, receipts and programs of macOS; nothing for other guests."""
    unknowns: list[Unknown] = []
    try:
        stated = _property_list(evidence, VERSION)
        if stated is None:
            return Findings()
        platform = _platform(stated)
    except Unreadable as error:
        return Findings(unknowns=(unknown(error, VERSION),), databases=(VERSION,))
    packages: dict[str, Package] = {}
    applications: list[Application] = []
    sources: list[Source] = []
    for root in ("", DATA):
        for package in _each(evidence, f"{root}{RECEIPTS}", _receipts, unknowns):
            packages.setdefault(package.where.removeprefix(DATA), package)
        applications += _each(evidence, f"{root}{PROGRAMS}", _programs, unknowns)
        sources += _each(evidence, f"{root}{UPDATE_SETTINGS}", _sources, unknowns)
    if not packages and not unknowns:
        unknowns.append(Unknown(RECEIPTS, "there is no receipt of what was installed"))
    return Findings(
        platform=platform,
        packages=tuple(packages.values()),
        applications=tuple(applications),
        sources=tuple(sources),
        unknowns=tuple(unknowns),
        databases=(VERSION,),
    )


def parse(content: bytes, where: str) -> Stated:
    """A property list whose top is a dictionary.

    Raises: Malformed.
    """
    try:
        stated = plistlib.loads(content)
    except (ExpatError, ValueError, LookupError, TypeError, ArithmeticError) as error:
        raise Malformed(where=where, why="it is no property list") from error
    except (RecursionError, AttributeError, MemoryError) as error:
        # plistlib unpacks without asking what it unpacks.
        raise Malformed(where=where, why="it is no sound property list") from error
    if not isinstance(stated, dict):
        raise Malformed(where=where, why="it is a property list without names")
    return stated


def _property_list(evidence: Evidence, path: str) -> Stated | None:
    content = evidence.find_bytes(path, LIST_LIMIT)
    return None if content is None else parse(content, path)


def _platform(stated: Stated) -> Platform:
    version, build = _text(stated, "ProductVersion"), _text(stated, "ProductBuildVersion")
    if not _VERSION.fullmatch(version):
        raise Malformed(where=VERSION, why="its ProductVersion is not a version")
    name = " ".join(filter(None, (_text(stated, "ProductName"), version)))
    return Platform(family="macos", id="macos", version=version, name=name, build=build)


def _each(evidence: Evidence, path: str, read: Any, unknowns: list[Unknown]) -> list[Any]:
    """What a reader finds at a place; from what cannot be read on, it is unknown."""
    found = []
    try:
        for one in read(evidence, path):
            if isinstance(one, Unknown):
                unknowns.append(one)
            else:
                found.append(one)
    except Unreadable as error:
        unknowns.append(unknown(error, path))
    return found


def _receipts(evidence: Evidence, folder: str) -> Iterator[Package | Unknown]:
    """One package for each receipt; one that cannot be read is unknown by itself."""
    for name in evidence.names(folder):
        if not name.endswith(".plist"):
            continue
        path = f"{folder}/{name}"
        try:
            stated = _property_list(evidence, path) or {}
        except Unreadable as error:
            yield unknown(error, path)
            continue
        identifier = _text(stated, "PackageIdentifier")
        version = _text(stated, "PackageVersion")
        if not _IDENTIFIER.fullmatch(identifier) or not _RELEASE.fullmatch(version):
            yield Unknown(path, "the receipt says neither name nor version")
            continue
        yield Package(
            type="macos",
            name=identifier,
            version=version,
            source=identifier,
            source_version=version,
            purl=package_url("generic", identifier, version, namespace="macos"),
            where=path,
        )


def _programs(evidence: Evidence, folder: str) -> Iterator[Application | Unknown]:
    """The bundles directly in a folder."""
    for name in evidence.names(folder):
        path = f"{folder}/{name}/Contents/Info.plist"
        if not name.endswith(".app") or evidence.find(path) is None:
            continue
        try:
            stated = _property_list(evidence, path) or {}
        except Unreadable as error:
            yield unknown(error, path)
            continue
        shown = _text(stated, "CFBundleName") or name.removesuffix(".app")
        version = _text(stated, "CFBundleShortVersionString") or _text(stated, "CFBundleVersion")
        yield Application(name=shown, version=version, where=path, recipe="bundle")


def _sources(evidence: Evidence, path: str) -> Iterator[Source]:
    """The server that was put in place of Apple's."""
    stated = _property_list(evidence, path) or {}
    address = _text(stated, "CatalogURL")
    if address:
        plain, removed = strip_credentials(address)
        options = ("credentials=removed",) if removed else ()
        yield Source(type="softwareupdate", uri=plain, suite="", options=options, where=path)


def _text(stated: Stated, name: str) -> str:
    """A text of a property list, without what would disturb a terminal."""
    value = stated.get(name)
    text = value if isinstance(value, str) else ""
    return "".join(sign for sign in text[:TEXT_LIMIT] if sign.isprintable()).strip()
