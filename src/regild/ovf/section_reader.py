"""The section of a content descriptor as values (the content descriptor, clauses 7 to 12; R9).

Elements and attributes that this version does not know are passed over, so that every later 1.y is
read; what it does know is checked against its own digests before it is believed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Literal, cast

from regild.errors import DigestMismatch, Malformed, UnsupportedFormat
from regild.model.appliance import (
    Binding,
    BomReference,
    Descriptor,
    Maintenance,
    ReceiptReference,
)
from regild.model.content import (
    Application,
    Content,
    Package,
    Planning,
    Platform,
    Source,
    Unknown,
    VolumeSpace,
    Witness,
)
from regild.model.digest import Digest
from regild.model.uri import without_credentials
from regild.ovf import names
from regild.ovf.letters import from_letters, from_words
from regild.ovf.markup import Element
from regild.ovf.planning_state import unpack_planning
from regild.ovf.section_writer import expand_purl, row_digest

_VERSION = re.compile(r"(\d{1,3})\.(\d{1,3})\Z")
_DIGEST = re.compile(r"(?:sha256:[0-9a-f]{64}|(?!sha256:)[A-Za-z0-9-]{1,32}:[0-9a-f]{32,128})\Z")
_NUMBER = re.compile(r"\d{1,18}\Z")
_TRUTH: Final = {"": False, "false": False, "0": False, "true": True, "1": True}
_LOCATIONS: Final = ("sidecar", "package", "none")


def read_section(section: Element, where: str) -> Descriptor:
    """Read a `ContentDescriptorSection` element.

    Raises: UnsupportedFormat for another generation, Malformed, TooLarge, DigestMismatch.
    """
    version = _VERSION.match(_text(section, "schemaVersion"))
    if version is None:
        raise Malformed(where=where, why="its content descriptor does not say its schemaVersion")
    if version[1] != "1":
        raise UnsupportedFormat(where=where, why=f"its content descriptor has version {version[0]}")
    image = _only(section, "Image", where)
    return Descriptor(
        content=_content(section, where),
        bindings=tuple(_binding(one, where) for one in _all(section, "Binding")),
        bom=_bom(_only(section, "Bom", where), where),
        receipt=_receipt(_only(section, "Receipt", where), where),
        line=_text(image, "line"),
        generation=_number(image, "generation", where) if image is not None else 0,
        parent=_text(image, "parent"),
        created=_text(image, "created"),
        tool=_text(image, "tool"),
        maintenance=_maintenance(_only(section, "Maintenance", where)),
    )


def read_digest(text: str, where: str) -> Digest:
    """A digest as it is written: the algorithm, a colon, lower-case hexadecimal digits.

    Raises: Malformed.
    """
    if not _DIGEST.match(text):
        raise Malformed(where=where, why=f"{text[:80]!r} is not a digest")
    return Digest(text)


def _content(section: Element, where: str) -> Content:
    return Content(
        platform=_platform(_only(section, "Platform", where), where),
        packages=tuple(_packages(section, where)),
        applications=tuple(_application(one) for one in _all(section, "Application")),
        sources=tuple(_source(one, where) for one in _all(section, "Source")),
        unknowns=tuple(
            Unknown(where=_text(one, "where"), why=_text(one, "why"))
            for one in _all(section, "Unknown")
        ),
        planning=_planning(_only(section, "PlanningState", where), where),
        volumes=tuple(_volume(one, where) for one in _all(section, "VolumeSpace")),
        witnesses=tuple(_witness(one, where) for one in _all(section, "Witness")),
    )


def _packages(section: Element, where: str) -> Iterator[Package]:
    for group in _all(section, "Packages"):
        elements = list(_all(group, "Package"))
        kind, count = _text(group, "type"), _number(group, "count", where)
        if count != len(elements):
            raise DigestMismatch(
                where=f"the {kind} packages of {where}",
                why=f"{count} are announced, {len(elements)} stand there",
            )
        rows = ({name[1]: value for name, value in e.attributes.items()} for e in elements)
        if row_digest(rows) != _text(group, "state"):
            raise DigestMismatch(
                where=f"the {kind} packages of {where}", why="the list was changed"
            )
        pattern, place = _text(group, "purl"), _text(group, "where")
        for element in elements:
            yield _package(element, kind, pattern, place, where)


def _package(element: Element, kind: str, pattern: str, place: str, where: str) -> Package:
    name, version, arch = (_text(element, key) for key in ("name", "version", "arch"))
    purl = _optional(element, "purl")
    return Package(
        type=kind,
        name=name,
        version=version,
        arch=arch,
        source=_text(element, "source", name),
        source_version=_text(element, "sourceVersion", version),
        purl=expand_purl(pattern, name, version, arch) if purl is None else purl,
        state=_text(element, "state", "installed"),
        hold=_truth(element, "hold", where),
        auto=_truth(element, "auto", where),
        where=_text(element, "where", place),
    )


def _platform(element: Element | None, where: str) -> Platform:
    return Platform(
        family=_text(element, "family"),
        id=_text(element, "distro"),
        version=_text(element, "release"),
        codename=_text(element, "codename"),
        name=_text(element, "name"),
        arch=_text(element, "arch"),
        kernels=_words(element, "kernels"),
        edition=_text(element, "edition"),
        build=_text(element, "build"),
        ubr=_number(element, "ubr", where) if element is not None else 0,
    )


def _application(element: Element) -> Application:
    return Application(
        name=_text(element, "name"),
        version=_text(element, "version"),
        where=_text(element, "where"),
        recipe=_text(element, "recipe"),
    )


def _source(element: Element, where: str) -> Source:
    return Source(
        type=_text(element, "type"),
        uri=without_credentials(_text(element, "uri")),
        suite=_text(element, "suite"),
        components=_words(element, "components"),
        architectures=_words(element, "architectures"),
        signed_by=_words(element, "signedBy"),
        enabled=_truth(element, "enabled", where, "true"),
        trusted=_truth(element, "trusted", where),
        options=_words(element, "options"),
        where=_text(element, "where"),
    )


def _planning(element: Element | None, where: str) -> Planning:
    if element is None:
        return Planning()
    digest = read_digest(_text(element, "digest"), where)
    return unpack_planning(element.text, _text(element, "encoding"), digest, where)


def _bom(element: Element | None, where: str) -> BomReference:
    location = _text(element, "location", "none")
    if location not in _LOCATIONS:
        raise Malformed(where=where, why=f"the Bom's location is {location[:40]!r}")
    return BomReference(
        location=cast(Literal["sidecar", "package", "none"], location),
        name=_text(element, "ref"),
        media_type=_text(element, "mediaType"),
        digest=_optional_digest(element, "digest", where),
    )


def _receipt(element: Element | None, where: str) -> ReceiptReference:
    if element is None:
        return ReceiptReference()
    return ReceiptReference(_text(element, "ref"), _optional_digest(element, "digest", where))


def _maintenance(element: Element | None) -> Maintenance:
    return Maintenance(
        methods=_words(element, "methods"),
        holds=_words(element, "holds"),
        tests=_words(element, "tests"),
        reboot=_text(element, "reboot"),
    )


def _binding(element: Element, where: str) -> Binding:
    return Binding(
        disk=_text(element, "disk"),
        stored=_optional_digest(element, "stored", where),
        virtual=_optional_digest(element, "virtual", where),
        virtual_bytes=_number(element, "virtualBytes", where),
    )


def _witness(element: Element, where: str) -> Witness:
    return Witness(
        volume=_text(element, "volume"),
        path=_text(element, "path"),
        digest=read_digest(_text(element, "digest"), where),
        bytes=_number(element, "bytes", where),
    )


def _volume(element: Element, where: str) -> VolumeSpace:
    return VolumeSpace(
        mount=_text(element, "mount"),
        volume=_text(element, "volume"),
        filesystem=_text(element, "filesystem"),
        block_bytes=_number(element, "blockBytes", where),
        blocks=_number(element, "blocks", where),
        free_blocks=_number(element, "freeBlocks", where),
        reserved_blocks=_number(element, "reservedBlocks", where),
        free_inodes=_number(element, "freeInodes", where),
        dirty=_truth(element, "dirty", where),
    )


def _all(element: Element, name: str) -> Iterator[Element]:
    return element.all(names.CONTENT, name)


def _only(element: Element, name: str, where: str) -> Element | None:
    found = list(_all(element, name))
    if len(found) > 1:
        raise Malformed(where=where, why=f"its content descriptor holds {name} {len(found)} times")
    return found[0] if found else None


def _optional(element: Element | None, name: str) -> str | None:
    value = element.attributes.get(("", name)) if element is not None else None
    return None if value is None else from_letters(value)


def _text(element: Element | None, name: str, default: str = "") -> str:
    found = _optional(element, name)
    return default if found is None else found


def _words(element: Element | None, name: str) -> tuple[str, ...]:
    value = element.attributes.get(("", name), "") if element is not None else ""
    return from_words(value)


def _number(element: Element, name: str, where: str) -> int:
    text = _text(element, name, "0")
    if not _NUMBER.match(text):
        raise Malformed(where=where, why=f"{element.local}'s {name} is {text[:40]!r}, not a number")
    return int(text)


def _truth(element: Element, name: str, where: str, default: str = "") -> bool:
    text = _text(element, name, default)
    if text not in _TRUTH:
        raise Malformed(where=where, why=f"{element.local}'s {name} is {text[:40]!r}")
    return _TRUTH[text]


def _optional_digest(element: Element | None, name: str, where: str) -> Digest | None:
    text = _text(element, name)
    return read_digest(text, where) if text else None
