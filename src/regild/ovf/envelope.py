"""The .ovf file: what it says of files, disks and virtual systems.

Reads the drafts (0.9) and DSP0243 1.x and 2.x (rules R1 to R4, R7).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from regild.errors import Ambiguous, Malformed, MissingFile
from regild.model.appliance import DiskReference, Envelope, FileReference, SystemReference
from regild.ovf import names
from regild.ovf.markup import Element, parse
from regild.ovf.messages import bundle_files, read_messages, text_of
from regild.ovf.properties import read_properties, resolved

MAX_CAPACITY: Final = 1 << 63

_UNITS: Final = {
    "": 1,
    "byte": 1,
    "bytes": 1,
    "kilobytes": 1 << 10,
    "megabytes": 1 << 20,
    "gigabytes": 1 << 30,
    "terabytes": 1 << 40,
    "kb": 1 << 10,
    "mb": 1 << 20,
    "gb": 1 << 30,
    "tb": 1 << 40,
}
"""Words of VMware's draft 0.9 and of hand-made files, beside the units of DSP0004, annex C."""
_POWER = re.compile(r"byte\s*\*\s*(\d{1,2})\s*\^\s*(\d{1,2})\Z")
_NUMBER = re.compile(r"\s*(\d{1,20})\s*\Z")
_HOST_DISK = re.compile(r"(?:ovf:/{0,2})?/?(disk|file)/(.+)\Z")


def read_envelope(content: bytes, where: str = "the .ovf") -> Envelope:
    """Read what an .ovf file says of its files, disks and virtual systems.

    Raises: Malformed, TooLarge, UnsupportedFormat.
    """
    return envelope_of(parse_envelope(content, where), where)


def parse_envelope(content: bytes, where: str = "the .ovf") -> Element:
    """The root element of an .ovf file, which is an Envelope of a known generation (rule R1).

    The last one is kept, because one question about a package reads its envelope several times.

    Raises: Malformed, TooLarge, UnsupportedFormat.
    """
    for before, root in _last:
        if content == before:
            return root
    root = _parse_envelope(content, where)
    _last[:] = [(content, root)]
    return root


_last: list[tuple[bytes, Element]] = []
"""An envelope and its root."""


def _parse_envelope(content: bytes, where: str) -> Element:
    root = parse(content, where)
    if root.local != "Envelope":
        raise Malformed(where=where, why=f"its root element is {root.local[:40]}, not Envelope")
    names.generation_of(root.name[0], where)
    _qualify(root)
    return root


def envelope_of(root: Element, where: str = "the .ovf") -> Envelope:
    """The values of a parsed envelope.

    Raises: Malformed.
    """
    files = tuple(_read_file(element, where) for element in files_of(root))
    products = (one for one in root.walk() if section_kind(one)[1] == "ProductSection")
    properties = read_properties(products)
    disks = tuple(_read_disk(element, properties, where) for element in disks_of(root))
    _check_ids([file.id for file in files], "File", where)
    _check_ids([file.href for file in files], "href", where)
    _check_ids([disk.id for disk in disks], "Disk", where)
    _check_disks(files, disks, where)
    messages = read_messages(root)
    systems = tuple(_read_system(element, disks, messages) for element in systems_of(root))
    return Envelope(
        version=names.generation_of(root.name[0], where),
        files=files,
        disks=disks,
        systems=systems,
        requires=tuple(dict.fromkeys(_required(root))),
        bundles=bundle_files(root),
    )


def _qualify(root: Element) -> None:
    """Give inner elements without a namespace that of the root: the drafts leave it out, and so do
    some files that call themselves 1.x."""
    for element in root.walk():
        if not element.name[0]:
            element.name = (root.name[0], element.local)


def systems_of(root: Element) -> Iterator[Element]:
    """The virtual systems of an envelope, those inside collections too, in document order."""
    ovf = root.name[0]
    waiting = list(reversed(root.children))
    while waiting:
        element = waiting.pop()
        kind = _content_kind(element, ovf)
        if kind == "VirtualSystem":
            yield element
        elif kind == "VirtualSystemCollection":
            waiting.extend(reversed(element.children))


def system_of(root: Element, system_id: str | None, where: str = "the .ovf") -> Element:
    """One virtual system by its id; without an id, the only one.

    Raises: Ambiguous when there are several, MissingFile when there is none.
    """
    ovf = root.name[0]
    found = [
        element
        for element in systems_of(root)
        if system_id is None or element.value("id", ovf) == system_id
    ]
    if len(found) > 1:
        raise Ambiguous(where=where, why=f"it holds {len(found)} virtual systems, not one")
    if not found:
        raise MissingFile(where=f"a virtual system in {where}", why=f"id {system_id or 'any'!r}")
    return found[0]


def sections_of(element: Element) -> Iterator[Element]:
    """Everything in an envelope, a system or a collection that is a section and no content."""
    ovf = _root(element).name[0]
    plain = ("Info", "Name", "References", "Strings")
    for child in element.children:
        known = child.name[0] == ovf and child.local in plain
        if not known and not _content_kind(child, ovf):
            yield child


def section_kind(element: Element) -> tuple[str, str]:
    """The name of a section: the element's own, or its xsi:type where it is a draft 0.9
    `Section`."""
    if element.local == "Section":
        return element.name[0], _declared(element)
    return element.name


def files_of(root: Element) -> Iterator[Element]:
    """The `File` elements of an envelope's References, in order."""
    ovf = root.name[0]
    for references in root.all(ovf, "References"):
        yield from references.all(ovf, "File")


def disks_of(root: Element) -> Iterator[Element]:
    """The `Disk` elements of an envelope's DiskSection, in order."""
    ovf = root.name[0]
    for section in root.children:
        if section_kind(section) == (ovf, "DiskSection"):
            yield from section.all(ovf, "Disk")


def _root(element: Element) -> Element:
    while element.parent is not None:
        element = element.parent
    return element


def _content_kind(element: Element, ovf: str) -> str:
    """`VirtualSystem` or `VirtualSystemCollection`, also for draft 0.9's `Content`; else empty."""
    if element.name[0] != ovf:
        return ""
    kind = _declared(element) if element.local == "Content" else element.local
    return kind if kind in ("VirtualSystem", "VirtualSystemCollection") else ""


def _declared(element: Element) -> str:
    """The type that a draft's `Section` or `Content` says it has, without its suffix."""
    declared = element.attributes.get((names.XSI, "type"))
    declared = declared or element.attributes.get((names.XS, "name"), "")
    return declared.rpartition(":")[2].removesuffix("_Type")


def _read_file(element: Element, where: str) -> FileReference:
    ovf = element.name[0]
    href = element.value("href", ovf)
    file_id = element.value("id", ovf)
    if not file_id or not href:
        raise Malformed(where=where, why="a File has no id or no href")
    compression = element.value("compression", ovf)
    chunk = _number(element.value("chunkSize", ovf))
    if element.value("chunkSize", ovf) and not chunk:
        raise Malformed(
            where=where, why=f"the chunkSize of {file_id[:40]} is not a positive number"
        )
    return FileReference(
        id=file_id,
        href=href,
        bytes=_number(element.value("size", ovf)),
        compression="" if compression in ("none", "identity") else compression,
        chunk_bytes=chunk,
    )


def _read_disk(element: Element, properties: Mapping[str, str], where: str) -> DiskReference:
    ovf = element.name[0]
    disk_id = element.value("diskId", ovf)
    if not disk_id:
        raise Malformed(where=where, why="a Disk has no diskId")
    capacity = _number(resolved(element.value("capacity", ovf), properties))
    unit = unit_bytes(element.value("capacityAllocationUnits", ovf))
    known = capacity is not None and unit is not None and capacity * unit < MAX_CAPACITY
    return DiskReference(
        id=disk_id,
        file=element.value("fileRef", ovf),
        capacity_bytes=capacity * unit if known and capacity is not None and unit else None,
        format=element.value("format", ovf),
        parent=element.value("parentRef", ovf),
    )


def unit_bytes(unit: str) -> int | None:
    """How many bytes an allocation unit stands for: `byte * 2^20`, `MegaBytes`; None if unknown."""
    plain = unit.strip().lower()
    match = _POWER.match(plain)
    return int(match[1]) ** int(match[2]) if match else _UNITS.get(plain)


def _number(text: str) -> int | None:
    match = _NUMBER.match(text)
    return int(match[1]) if match else None


def _read_system(
    element: Element, disks: tuple[DiskReference, ...], messages: Mapping[str, str]
) -> SystemReference:
    ovf = element.name[0]
    name, message = text_of(element.first(ovf, "Name"), messages)
    return SystemReference(
        id=element.value("id", ovf),
        name=name,
        message=message,
        disks=tuple(dict.fromkeys(_system_disks(element, disks))),
        described=element.first(names.CONTENT, names.SECTION) is not None,
        installs=(ovf, "InstallSection") in map(section_kind, sections_of(element)),
    )


def _system_disks(system: Element, disks: tuple[DiskReference, ...]) -> Iterator[str]:
    """The ids of the disks that the hardware of a system names, in its order."""
    by_file = {disk.file: disk.id for disk in disks if disk.file}
    known = {disk.id for disk in disks}
    for section in sections_of(system):
        if section_kind(section)[1] != "VirtualHardwareSection":
            continue
        for resource in section.walk():
            match = _HOST_DISK.match(resource.text.strip()) if resource.text else None
            if match is None or resource.local != "HostResource":
                continue
            disk = match[2] if match[1] == "disk" else by_file.get(match[2], "")
            if disk in known:
                yield disk


def _check_ids(found: list[str], what: str, where: str) -> None:
    seen: set[str] = set()
    for one in found:
        if one in seen:
            raise Malformed(where=where, why=f"the {what} {one[:80]!r} stands there twice")
        seen.add(one)


def _check_disks(
    files: tuple[FileReference, ...], disks: tuple[DiskReference, ...], where: str
) -> None:
    """Every disk's file and parent exists, and no disk is its own ancestor (rules R4, R7)."""
    known = {file.id for file in files}
    parents = {disk.id: disk.parent for disk in disks}
    for disk in disks:
        if disk.file and disk.file not in known:
            raise Malformed(where=where, why=f"the disk {disk.id[:40]} names a File that is absent")
        if disk.parent and disk.parent not in parents:
            raise Malformed(where=where, why=f"the disk {disk.id[:40]} names an absent parent")
    for name in own_ancestors(parents):
        raise Malformed(where=where, why=f"the disk {name[:40]} is its own ancestor")


def own_ancestors(parents: Mapping[str, str]) -> Iterator[str]:
    """Disks that lead back to themselves, one of each circle, by each disk's parent."""
    settled: set[str] = set()
    for start in parents:
        at = start
        path: dict[str, None] = {}
        while at in parents and at not in settled and at not in path:
            path[at] = None
            at = parents[at]
        if at in path:
            yield at
        settled.update(path)


def _required(root: Element) -> Iterator[str]:
    """Sections that must be understood (`required`, default true) and are strange (rule R3)."""
    ovf = root.name[0]
    places = [root]
    while places:
        place = places.pop()
        for section in sections_of(place):
            namespace, local = section_kind(section)
            known = namespace in names.GENERATIONS and (local in names.SECTIONS or not local)
            ours = namespace in (names.CONTENT, *names.PLACEMENT)
            optional = section.value("required", ovf, "true").strip() in ("false", "0")
            if not (known or ours or optional):
                yield f"{{{namespace}}}{local}"
        places.extend(child for child in place.children if _content_kind(child, ovf))
