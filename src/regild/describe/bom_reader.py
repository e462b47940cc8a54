"""A content from a bill of materials that somebody else wrote: CycloneDX or SPDX, as JSON.

For build tools that already have one. What a bill cannot say (sources, relations, keys, witnesses)
stays empty, and an Unknown says that nothing of it was seen on the disk.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from regild.errors import Malformed, TooLarge, UnsupportedFormat
from regild.model.content import Application, Content, Package, Platform, Unknown

MAX_BYTES = 64 << 20
MAX_COMPONENTS = 200_000

_DISTRO = re.compile(r"([a-z][a-z0-9._]*)-(.+)\Z")
_BUILT = re.compile(r"built (?:package )?from: (\S+)(?: (\S+))?")


def read_bom(content: bytes, where: str) -> Content:
    """What a bill of materials says of an image.

    Raises: TooLarge, Malformed, UnsupportedFormat.
    """
    if len(content) > MAX_BYTES:
        raise TooLarge(where=where, why=f"{len(content)} bytes, {MAX_BYTES} are accepted")
    try:
        bill = msgspec.json.decode(content)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Malformed(where=where, why=f"it is no JSON: {error}") from error
    if not isinstance(bill, dict):
        raise Malformed(where=where, why="it is no JSON object")
    if bill.get("bomFormat") == "CycloneDX":
        rows = [_from_cyclonedx(one) for one in _objects(bill, "components", where)]
    elif _text(bill, "spdxVersion").startswith("SPDX-2."):
        rows = [_from_spdx(one) for one in _objects(bill, "packages", where)]
    else:
        raise UnsupportedFormat(where=where, why="it is neither CycloneDX nor SPDX 2")
    return _content(rows, where)


class _Row(msgspec.Struct, frozen=True):
    """One component, in the words of neither format."""

    kind: str
    name: str
    version: str
    purl: str
    where: str
    facts: dict[str, str]


def _content(rows: list[_Row], where: str) -> Content:
    packages, applications = [], []
    distros: Counter[str] = Counter()
    arches: Counter[str] = Counter()
    system: _Row | None = None
    for row in rows:
        if row.kind == "operating-system":
            system = system or row
        elif row.purl:
            package, distro = _package(row, where)
            packages.append(package)
            distros[distro] += 1
            arches[package.arch] += package.arch not in ("", "all", "noarch")
        elif row.kind not in ("container", "file", "source"):
            applications.append(Application(row.name, row.version, row.where or where))
    if not packages and not applications:
        raise Malformed(where=where, why="it lists no package and no application")
    unknown = Unknown(
        "the disk", f"the content was taken from {where}, nothing of it was looked up"
    )
    return Content(
        platform=_platform(system, distros, arches),
        packages=tuple(
            sorted(packages, key=lambda one: (one.type, one.name, one.arch, one.version))
        ),
        applications=tuple(applications),
        unknowns=(unknown,),
    )


def _platform(system: _Row | None, distros: Counter[str], arches: Counter[str]) -> Platform:
    """The operating system as the bill names it, else as its packages' addresses do."""
    common = next((name for name, _ in distros.most_common() if name), "")
    named = _DISTRO.match(common)
    name, version = (system.name, system.version) if system else ("", "")
    facts = system.facts if system else {}
    family = next((one for one in ("windows", "macos") if name.startswith(one)), "linux")
    ubr = facts.get("regild:platform:ubr", "")
    return Platform(
        family=family if named or facts else "",
        id=name or (named[1] if named else ""),
        version=version or (named[2] if named else ""),
        codename=facts.get("regild:platform:codename", ""),
        arch=next((one for one, count in arches.most_common() if count), ""),
        kernels=tuple(facts.get("regild:platform:kernels", "").split()),
        edition=facts.get("regild:platform:edition", ""),
        build=facts.get("regild:platform:build", ""),
        ubr=int(ubr) if ubr.isascii() and ubr.isdigit() and len(ubr) < 10 else 0,
    )


def _package(row: _Row, where: str) -> tuple[Package, str]:
    """A package by its package URL, and the distribution that the address names.

    Raises: Malformed.
    """
    from packageurl import PackageURL

    try:
        url = PackageURL.from_string(row.purl)
    except ValueError as error:
        raise Malformed(where=where, why=f"{row.purl[:80]!r} is no package URL") from error
    qualifiers = url.qualifiers if isinstance(url.qualifiers, dict) else {}
    upstream, _, upstream_version = qualifiers.get("upstream", "").partition("@")
    source = row.facts.get("source") or upstream or url.name
    version = url.version or row.version
    package = Package(
        type=url.type,
        name=url.name,
        version=version,
        arch=qualifiers.get("arch", ""),
        source=source,
        source_version=row.facts.get("source-version") or upstream_version or version,
        purl=row.purl,
        where=row.where,
    )
    return package, qualifiers.get("distro", "")


def _from_cyclonedx(component: Mapping[str, Any]) -> _Row:
    facts = {_text(one, "name"): _text(one, "value") for one in _inner(component, "properties")}
    facts["source"] = facts.get("regild:package:source") or facts.get(
        "aquasecurity:trivy:SrcName", ""
    )
    facts["source-version"] = facts.get("regild:package:source-version", "")
    evidence = component.get("evidence")
    places = _inner(evidence, "occurrences") if isinstance(evidence, dict) else []
    return _Row(
        kind=_text(component, "type"),
        name=_text(component, "name"),
        version=_text(component, "version"),
        purl=_text(component, "purl"),
        where=_text(places[0], "location") if places else "",
        facts=facts,
    )


def _from_spdx(package: Mapping[str, Any]) -> _Row:
    built = _BUILT.match(_text(package, "sourceInfo"))
    purls = [
        _text(one, "referenceLocator")
        for one in _inner(package, "externalRefs")
        if _text(one, "referenceType") == "purl"
    ]
    comment = _text(package, "comment")
    return _Row(
        kind=_text(package, "primaryPackagePurpose").lower(),
        name=_text(package, "name"),
        version=_text(package, "versionInfo"),
        purl=purls[0] if purls else "",
        where=comment.removeprefix("evidence: ") if comment.startswith("evidence: ") else "",
        facts={"source": built[1], "source-version": built[2] or ""} if built else {},
    )


def _objects(bill: Mapping[str, Any], name: str, where: str) -> Iterator[Mapping[str, Any]]:
    listed = bill.get(name, [])
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise Malformed(where=where, why=f"its {name} are no list of objects")
    if len(listed) > MAX_COMPONENTS:
        raise TooLarge(where=where, why=f"it lists more than {MAX_COMPONENTS} {name}")
    yield from listed


def _inner(one: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    listed = one.get(name)
    return [x for x in listed if isinstance(x, dict)] if isinstance(listed, list) else []


def _text(one: Mapping[str, Any], name: str) -> str:
    value = one.get(name)
    return value if isinstance(value, str) else ""
