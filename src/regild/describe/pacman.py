"""What pacman's database says (alpm, `local/NAME-VERSION/desc`): `%FIELD%` lines, each with its
values below and an empty line after them."""

from __future__ import annotations

import re
from itertools import pairwise

from regild.describe.evidence import Evidence, Unreadable, unknown
from regild.describe.findings import Findings
from regild.describe.native import with_architecture
from regild.errors import Malformed
from regild.model.content import Package, Platform, Unknown
from regild.model.purl import package_url

FOLDER = "/var/lib/pacman/local"
DESCRIPTION_LIMIT = 1 << 20
TOTAL_LIMIT = 128 << 20
"""All descriptions together; a full desktop has about 3 MB of them."""

_VERSION_FILE = "ALPM_DB_VERSION"
_FORMAT = "9"
"""The only version of the format since pacman 4.2 (2014)."""
_ENTRY = re.compile(r"(?P<name>[A-Za-z0-9@._+-]{1,255})-(?P<version>[^-/\s]{1,255}-[^-/\s]{1,64})")
_FIELD = re.compile(r"%([A-Z0-9]+)%")
_WORD = re.compile(r"[!-~]{1,512}")


def read_pacman(evidence: Evidence, known: Findings) -> Findings:
    """The packages of pacman's database; one that cannot be read is Unknown."""
    try:
        names = evidence.names(FOLDER)
        if not names:
            return Findings()
    except Unreadable as error:
        return Findings(unknowns=(unknown(error, FOLDER),), databases=(FOLDER,))
    packages: list[Package] = []
    unknowns: list[Unknown] = []
    room = TOTAL_LIMIT
    for name in names:
        path = f"{FOLDER}/{name}/desc"
        try:
            if name == _VERSION_FILE:
                _check_format(evidence)
                continue
            content = evidence.find_bytes(path, min(room, DESCRIPTION_LIMIT))
            room -= len(content or b"")
            packages.append(_package(content, name, path, known.known_platform))
        except Unreadable as error:
            unknowns.append(unknown(error, path))
            if room < DESCRIPTION_LIMIT:
                break
    if not packages and not unknowns:
        unknowns.append(Unknown(where=FOLDER, why="the database lists no package"))
    return Findings(
        platform=with_architecture(known.known_platform, packages, "pacman"),
        packages=tuple(packages),
        unknowns=tuple(unknowns),
        databases=(FOLDER,),
    )


def _check_format(evidence: Evidence) -> None:
    path = f"{FOLDER}/{_VERSION_FILE}"
    stated = (evidence.find_bytes(path, 64) or b"").decode(errors="replace").strip()
    if stated != _FORMAT:
        raise Malformed(where=path, why=f"the database is of version {stated}, not {_FORMAT}")


def _package(content: bytes | None, entry: str, path: str, platform: Platform) -> Package:
    if content is None:
        raise Malformed(where=path, why="a package without its description")
    fields = _fields(content, path)
    name, version, arch = (fields.get(key, "") for key in ("NAME", "VERSION", "ARCH"))
    if not _ENTRY.fullmatch(entry) or f"{name}-{version}" != entry:
        raise Malformed(where=path, why="its folder is named after another package")
    source = fields.get("BASE", name)
    return Package(
        type="alpm",
        name=name,
        version=version,
        arch=arch,
        source=source,
        source_version=version,
        purl=package_url("alpm", name, version, namespace=platform.id, arch=arch),
        auto=fields.get("REASON") == "1",
        where=path,
    )


def _fields(content: bytes, path: str) -> dict[str, str]:
    """The first value of each field that is used.

    Raises: Malformed.
    """
    wanted = ("NAME", "VERSION", "ARCH", "BASE", "REASON")
    lines = content.decode(errors="replace").split("\n")
    found: dict[str, str] = {}
    for line, below in pairwise(lines):
        match = _FIELD.fullmatch(line)
        if match is None or match[1] not in wanted:
            continue
        if match[1] in found or not _WORD.fullmatch(below):
            raise Malformed(where=path, why=f"its {match[1]} is not valid, or stands twice")
        found[match[1]] = below
    return found
