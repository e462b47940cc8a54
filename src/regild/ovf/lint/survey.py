"""A package as `lint` looks at it: what stands there, whether or not it fits together.

`regild.ovf.archive` refuses a package whose parts contradict each other; here the contradictions
are what is looked for, so nothing is resolved beyond what can be told. The .ovf must be well-formed
XML and the archive a whole tar file; whatever else is wrong is left to the rules.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from regild.errors import MissingFile, NotAnArchive, RegildError, UnsupportedFormat
from regild.host.files import translated
from regild.host.remote import address_of, open_bytes
from regild.model.appliance import FileReference, ManifestEntry
from regild.model.uri import without_credentials
from regild.ovf import manifest, markup, tar
from regild.ovf.archive import Form, file_member, find_form, find_parts, folder_parts, only_envelope
from regild.ovf.envelope import disks_of, files_of, parse_envelope, systems_of
from regild.ovf.markup import Element
from regild.ovf.member import Member


@dataclass(frozen=True)
class StatedFile:
    """A `File` of References as it is written, and the members that it means."""

    element: Element
    id: str
    href: str
    size: str
    parts: tuple[Member, ...]
    wrong: str
    """Why the href cannot be followed; empty where it can."""

    @property
    def shown(self) -> str:
        """The href as it may be shown."""
        return without_credentials(self.href)[:120]


@dataclass(frozen=True)
class StatedDisk:
    """A `Disk` of the DiskSection as it is written."""

    element: Element
    id: str
    file: str
    capacity: str
    unit: str
    parent: str


@dataclass(frozen=True)
class StatedLine:
    """A line of the manifest, with what it says where it can be understood."""

    number: int
    text: str
    entry: ManifestEntry | None


@dataclass(frozen=True)
class Survey:
    """Everything that the rules look at."""

    path: Path
    form: Form
    envelope_name: str
    content: bytes
    root: Element
    entries: tuple[tar.Entry, ...]
    """Every header of an OVA in its order; none in a folder."""
    members: Mapping[str, Member]
    """By name, in their order; of a folder only what belongs to the package."""
    lines: tuple[StatedLine, ...]

    @property
    def ovf(self) -> str:
        """The envelope's own namespace."""
        return self.root.name[0]

    @property
    def stem(self) -> str:
        """The .ovf's name without its ending, which .mf and .cert share."""
        return self.envelope_name.rpartition(".")[0]

    @property
    def manifest_name(self) -> str:
        """The manifest's name; empty where there is none of the right name."""
        return f"{self.stem}.mf" if f"{self.stem}.mf" in self.members else ""

    @property
    def certificate_name(self) -> str:
        """The certificate's name; empty where there is none of the right name."""
        return f"{self.stem}.cert" if f"{self.stem}.cert" in self.members else ""

    @cached_property
    def files(self) -> tuple[StatedFile, ...]:
        """The Files of References in their order."""
        return tuple(self._file(element) for element in files_of(self.root))

    @cached_property
    def disks(self) -> tuple[StatedDisk, ...]:
        """The Disks of the DiskSection in their order."""
        return tuple(
            StatedDisk(
                element,
                element.value("diskId", self.ovf),
                element.value("fileRef", self.ovf),
                element.value("capacity", self.ovf),
                element.value("capacityAllocationUnits", self.ovf),
                element.value("parentRef", self.ovf),
            )
            for element in disks_of(self.root)
        )

    @cached_property
    def systems(self) -> tuple[Element, ...]:
        """The virtual systems, those inside collections too."""
        return tuple(systems_of(self.root))

    @cached_property
    def held(self) -> Mapping[str, Member]:
        """Every file of the package that can be read, by name."""
        parts = {part.name: part for file in self.files for part in file.parts}
        return {**self.members, **parts}

    @cached_property
    def referenced(self) -> tuple[str, ...]:
        """The names of the members that References speak of, in the order of References."""
        return tuple(dict.fromkeys(part.name for file in self.files for part in file.parts))

    def place(self, element: Element) -> str:
        """Where an element stands: the .ovf's name and the line."""
        return f"{self.envelope_name}:{self.content.count(10, 0, element.start) + 1}"

    def _file(self, element: Element) -> StatedFile:
        wrong = ""
        parts: tuple[Member, ...] = ()
        href = element.value("href", self.ovf)
        try:
            parts = self._parts(element, href)
        except RegildError as error:
            wrong = str(error)
        size = element.value("size", self.ovf).strip()
        return StatedFile(element, element.value("id", self.ovf), href, size, parts, wrong)

    def _parts(self, element: Element, href: str) -> tuple[Member, ...]:
        chunk = element.value("chunkSize", self.ovf).strip()[:20]
        file = FileReference("", href, chunk_bytes=int(chunk) if chunk.isdecimal() else None)
        if self.form == "ova":
            return find_parts(self.members, file, self.envelope_name)
        folder = self.path if self.path.is_dir() else self.path.parent
        return tuple(folder_parts(folder, file, self.envelope_name))


def survey_package(path: Path) -> Survey:
    """Look at an OVA, an .ovf or a folder with one .ovf; its disks are not read.

    Raises: NotAnArchive, MissingFile, Malformed, TooLarge, Truncated, UnsafeName, NotPermitted,
    UnsupportedFormat.
    """
    form = find_form(path)
    if form is None:
        raise NotAnArchive(where=str(path), why="it is neither a tar file nor XML")
    if form == "folder" and address_of(path):
        raise UnsupportedFormat(where=str(path), why="of what is on a server, only an .ova is read")
    entries, members = _archive(path) if form == "ova" else ((), _folder(path))
    envelope_name = next(iter(members))
    content = members[envelope_name].read(markup.MAX_BYTES)
    name = f"{envelope_name.rpartition('.')[0]}.mf"
    return Survey(
        path=path,
        form=form,
        envelope_name=envelope_name,
        content=content,
        root=parse_envelope(content, envelope_name),
        entries=entries,
        members=members,
        lines=tuple(_lines(members[name])) if name in members else (),
    )


def _archive(path: Path) -> tuple[tuple[tar.Entry, ...], dict[str, Member]]:
    """The headers of an OVA, and its members with the first .ovf at the top level in front."""
    with translated(path), open_bytes(path) as file:
        entries = tuple(tar.read_entries(file, str(path)))
        places = tuple(tar.read_places(file, str(path)))
    members: dict[str, Member] = {}
    for place in places:
        name = place.name.removeprefix("./")
        members.setdefault(name, Member(name, path, place.offset, place.bytes))
    tops = [name for name in members if "/" not in name and not name.startswith("._")]
    envelopes = [name for name in tops if name.lower().endswith(".ovf")]
    if not envelopes:
        raise MissingFile(where=f"an .ovf in {path}", why="there is none at the top level")
    return entries, {envelopes[0]: members.pop(envelopes[0]), **members}


def _folder(path: Path) -> dict[str, Member]:
    """The .ovf of a folder in front, and what stands beside it under its name."""
    if path.is_dir():
        with translated(path):
            inside = sorted(one.name for one in path.iterdir() if not one.name.startswith("._"))
        path = path / only_envelope(inside, str(path))
    stem = path.name.rpartition(".")[0] or path.name
    members = {path.name: file_member(path.parent, path.name)}
    for name in (f"{stem}.mf", f"{stem}.cert"):
        with contextlib.suppress(MissingFile):
            members[name] = file_member(path.parent, name)
    return members


def _lines(member: Member) -> Iterator[StatedLine]:
    """The lines of a manifest, blank ones left out."""
    content = member.read(manifest.MAX_BYTES).decode(errors="replace")
    for number, text in enumerate(content.split("\n"), 1):
        if text.strip():
            try:
                entry = manifest.read_manifest(text.encode(), member.name)[0]
            except RegildError:
                entry = None
            yield StatedLine(number, text, entry)
            if number > manifest.MAX_ENTRIES:
                return
