"""Rules about References and the DiskSection (DSP0243, 7.1 and 9.1; R4, R7, W3)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote, urlsplit

from regild.ovf.envelope import own_ancestors, unit_bytes
from regild.ovf.lint.archive import Spot
from regild.ovf.lint.survey import StatedFile, Survey

XENCENTER: Final = tuple(
    ".vhd .pvp .vmdk .mf .cert .xva .ovf .wim .vdi .sdi .iso .gz".split()  # noqa: SIM905 - a table
)
"""The endings that XenCenter expects in a package."""

_ID = re.compile(r"[A-Za-z0-9._~-]+\Z")
_HREF = re.compile(r"[A-Za-z0-9.+=_ /-]+\Z")
_PROPERTY = re.compile(r"\$\{[^{}]+\}\Z")


def files_are_there(survey: Survey) -> Iterator[Spot]:
    """Every referenced file exists."""
    for file in survey.files:
        if file.href and not file.parts and not file.wrong:
            yield survey.place(file.element), file.shown


def sizes_fit(survey: Survey) -> Iterator[Spot]:
    """A stated size is the number of bytes that the file holds."""
    for file in survey.files:
        held = sum(part.bytes for part in file.parts)
        if file.size and file.parts and file.size.lstrip("0") != str(held).lstrip("0"):
            said = f"{file.shown[:80]} holds {held} bytes, {file.size[:24]} are stated"
            yield survey.place(file.element), said


def attributes_are_there(survey: Survey) -> Iterator[Spot]:
    """Every File has an id and an href, every Disk a diskId, every virtual system an id."""
    for file in survey.files:
        for name, value in (("id", file.id), ("href", file.href)):
            if not value:
                yield survey.place(file.element), f"a File has no {name}"
    for disk in survey.disks:
        if not disk.id:
            yield survey.place(disk.element), "a Disk has no diskId"
    for system in survey.systems:
        if not system.value("id", survey.ovf):
            yield survey.place(system), f"a {system.local} has no id"


def ids_differ(survey: Survey) -> Iterator[Spot]:
    """No id of a File, a Disk or a virtual system stands there twice."""
    stated = [
        *(("File", file.id, file.element) for file in survey.files),
        *(("Disk", disk.id, disk.element) for disk in survey.disks),
        *(("VirtualSystem", one.value("id", survey.ovf), one) for one in survey.systems),
    ]
    seen: Counter[tuple[str, str]] = Counter()
    for kind, name, element in stated:
        seen[kind, name] += 1
        if name and seen[kind, name] == 2:
            yield survey.place(element), f"{kind} {name[:80]}"


def hrefs_differ(survey: Survey) -> Iterator[Spot]:
    """No file is referenced twice."""
    seen: Counter[str] = Counter()
    for file in survey.files:
        seen[file.href] += 1
        if file.href and seen[file.href] == 2:
            yield survey.place(file.element), file.shown


def hrefs_are_relative(survey: Survey) -> Iterator[Spot]:
    """An href is no address and no absolute path."""
    for file in survey.files:
        if _is_absolute(file.href):
            yield survey.place(file.element), file.shown


def hrefs_stay_inside(survey: Survey) -> Iterator[Spot]:
    """An href does not lead out of the package."""
    for file in survey.files:
        if file.wrong and file.href and not _is_absolute(file.href):
            yield survey.place(file.element), file.shown


def hrefs_are_flat(survey: Survey) -> Iterator[Spot]:
    """An href names no folder."""
    for file in survey.files:
        if "/" in file.href and not file.wrong:
            yield survey.place(file.element), file.shown


def hrefs_are_plain(survey: Survey) -> Iterator[Spot]:
    """An href holds only letters that every consumer takes as they are."""
    for file in survey.files:
        if file.href and not file.wrong and not _HREF.match(file.href):
            yield survey.place(file.element), file.shown


def files_are_others(survey: Survey) -> Iterator[Spot]:
    """References do not speak of the envelope, the manifest or the certificate."""
    own = [f"{survey.stem}{ending}" for ending in (".ovf", ".mf", ".cert")]
    for file in survey.files:
        if file.href in own:
            yield survey.place(file.element), file.shown


def ids_are_plain(survey: Survey) -> Iterator[Spot]:
    """Ids hold only letters that every consumer matches."""
    for file in survey.files:
        if file.id and not _ID.match(file.id):
            yield survey.place(file.element), f"File {file.id[:80]}"
    for disk in survey.disks:
        if disk.id and not _ID.match(disk.id):
            yield survey.place(disk.element), f"Disk {disk.id[:80]}"


def files_follow_disks(survey: Survey) -> Iterator[Spot]:
    """The n-th File is that of the n-th Disk; further Files come after."""
    for number, disk in enumerate(survey.disks):
        file = survey.files[number].id if number < len(survey.files) else ""
        if disk.file and file != disk.file:
            said = f"Disk {number + 1} is {disk.file[:60]}, File {number + 1} is {file[:60]}"
            yield survey.place(disk.element), said


def endings_are_known(survey: Survey) -> Iterator[Spot]:
    """A file's ending is one of those that XenCenter expects."""
    for file in survey.files:
        if file.href and not file.href.lower().endswith(XENCENTER):
            yield survey.place(file.element), file.shown


def extras_look_unlike_disks(survey: Survey) -> Iterator[Spot]:
    """A file that is no disk is not named like one."""
    for file in _extras(survey):
        if file.href.lower().endswith((".vmdk", ".vmdk.gz")):
            yield survey.place(file.element), file.shown


def compressions_are_known(survey: Survey) -> Iterator[Spot]:
    """A file is stored as it is, or with gzip or bzip2."""
    for file in survey.files:
        stated = file.element.value("compression", survey.ovf)
        if stated not in ("", "none", "identity", "gzip", "bzip2"):
            yield survey.place(file.element), stated[:80]


def disks_have_files(survey: Survey) -> Iterator[Spot]:
    """The File that a Disk names exists, and so does its parent; no disk is its own ancestor."""
    files = {file.id for file in survey.files}
    parents = {disk.id: disk.parent for disk in survey.disks}
    for disk in survey.disks:
        if disk.file and disk.file not in files:
            yield survey.place(disk.element), f"{disk.id[:60]} names the File {disk.file[:60]}"
        if disk.parent and disk.parent not in parents:
            yield survey.place(disk.element), f"{disk.id[:60]} names the disk {disk.parent[:60]}"
    for name in own_ancestors(parents):
        disk = next(one for one in survey.disks if one.id == name)
        yield survey.place(disk.element), f"{name[:60]} is its own ancestor"


def capacities_are_numbers(survey: Survey) -> Iterator[Spot]:
    """A capacity is a number, or a property that deployment settles, in a unit that is known."""
    for disk in survey.disks:
        capacity = disk.capacity.strip()
        number = capacity.isdecimal() or _PROPERTY.match(capacity)
        if not number or unit_bytes(disk.unit) is None:
            yield survey.place(disk.element), f"{disk.capacity[:40]!r} {disk.unit[:40]}".rstrip()


def is_one_disk(survey: Survey) -> Iterator[Spot]:
    """The package has one disk."""
    if len(survey.disks) > 1:
        yield survey.place(survey.disks[1].element), f"it has {len(survey.disks)} disks"


def _extras(survey: Survey) -> list[StatedFile]:
    disks = {disk.file for disk in survey.disks}
    return [file for file in survey.files if file.id not in disks]


def _is_absolute(href: str) -> bool:
    """Whether an href is an address or an absolute path."""
    try:
        scheme, netloc = urlsplit(href)[:2]
    except ValueError:
        return False
    return bool(netloc or (scheme and "/" in href)) or unquote(href).startswith("/")
