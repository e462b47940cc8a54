"""What Alpine's package database says (apk-tools, `lib/apk/db/installed`): one block of `X:value`
lines for each package, blocks parted by empty lines."""

from __future__ import annotations

import re
from collections.abc import Iterator

from regild.describe.evidence import Evidence, Unreadable, unknown
from regild.describe.findings import Findings
from regild.describe.native import with_architecture
from regild.errors import Malformed, TooLarge
from regild.model.apk_blocks import PLACES
from regild.model.content import Package, Platform, Unknown
from regild.model.purl import package_url

DATABASE_LIMIT = 128 << 20
PACKAGES_LIMIT = 100_000

_NAME = re.compile(r"[A-Za-z0-9._][A-Za-z0-9._+-]{0,254}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~:-]{0,254}")
_ARCH = re.compile(r"[A-Za-z0-9_-]{0,62}")
_BROKEN = re.compile(r"[A-Za-z]{0,20}")
_WANTED = {b"P": _NAME, b"V": _VERSION, b"A": _ARCH, b"o": _NAME, b"f": _BROKEN}
BROKEN = {"f": "broken-files", "s": "broken-script", "x": "broken-xattrs"}
"""What apk notes of a package that did not come in whole; other letters tell of something else."""

_Block = dict[bytes, str]


def read_apk(evidence: Evidence, known: Findings) -> Findings:
    """The packages of apk's database; from the first damage on they are Unknown."""
    packages: dict[tuple[str, str, str], Package] = {}
    unknowns: list[Unknown] = []
    databases: list[str] = []
    for path in PLACES:
        try:
            content = evidence.find_bytes(path, DATABASE_LIMIT)
            if content is None:
                continue
            databases.append(path)
            for block in _blocks(content, path):
                package = _package(block, known.known_platform, path)
                packages.setdefault((package.name, package.version, package.arch), package)
        except Unreadable as error:
            databases.append(path)
            unknowns.append(unknown(error, path))
    if databases and not packages and not unknowns:
        unknowns.append(Unknown(where=databases[0], why="the database lists no package"))
    return Findings(
        platform=with_architecture(known.known_platform, packages.values(), "apk-tools"),
        packages=tuple(packages.values()),
        unknowns=tuple(unknowns),
        databases=tuple(dict.fromkeys(databases)),
    )


def _blocks(content: bytes, path: str) -> Iterator[_Block]:
    """The fields of each package that say who it is, checked.

    Raises: Malformed, TooLarge.
    """
    *lines, rest = content.split(b"\n")
    block: _Block = {}
    found = 0
    for number, line in enumerate((*lines, b"") if not rest else lines, start=1):
        if not line:
            if block:
                found += 1
                _check_whole(block, found, f"{path}:{number}", path)
                yield block
                block = {}
            continue
        key, colon, value = line.partition(b":")
        if not colon or len(key) != 1:
            raise Malformed(where=f"{path}:{number}", why="it is no field of a package")
        if key in _WANTED:
            text = value.decode(errors="replace")
            if key in block or not _WANTED[key].fullmatch(text):
                raise Malformed(where=f"{path}:{number}", why="it is not valid, or stands twice")
            block[key] = text
        else:
            block.setdefault(b"", "")
    if rest:
        raise Malformed(where=path, why="it ends in the middle of a line")


def _check_whole(block: _Block, found: int, where: str, path: str) -> None:
    if b"P" not in block or b"V" not in block:
        raise Malformed(where=where, why="the package before it has no name or no version")
    if found > PACKAGES_LIMIT:
        raise TooLarge(where=path, why=f"it lists more than {PACKAGES_LIMIT} packages")


def _package(block: _Block, platform: Platform, path: str) -> Package:
    name, version, arch = block[b"P"], block[b"V"], block.get(b"A", "")
    distro = f"{platform.id}-{platform.version}".strip("-")
    return Package(
        type="apk",
        name=name,
        version=version,
        arch=arch,
        source=block.get(b"o", name),
        source_version=version,
        purl=package_url("apk", name, version, namespace=platform.id, arch=arch, distro=distro),
        state=next((BROKEN[sign] for sign in block.get(b"f", "") if sign in BROKEN), "installed"),
        where=path,
    )
