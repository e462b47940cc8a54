"""Rules about our own section: what keeps a content descriptor from being believed (W1, W6, W9)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Final

from regild.errors import RegildError
from regild.ovf import names
from regild.ovf.lint.archive import Spot
from regild.ovf.lint.survey import Survey
from regild.ovf.markup import Element, start_tag
from regild.ovf.section_reader import read_section

MAX_READ: Final = 32
"""So many sections are read whole; each may unpack to 64 MiB."""


def is_readable(survey: Survey) -> Iterator[Spot]:
    """A content descriptor follows its specification and agrees with itself."""
    for section in itertools.islice(_ours(survey), MAX_READ):
        try:
            read_section(section, survey.envelope_name)
        except RegildError as error:
            yield survey.place(section), str(error)


def stands_alone(survey: Survey) -> Iterator[Spot]:
    """It is the one descriptor of a virtual system, and its last child."""
    systems = {id(system) for system in survey.systems}
    seen: set[int] = set()
    for section in _ours(survey):
        parent = section.parent
        if parent is None or id(parent) not in systems:
            yield survey.place(section), "it stands outside a virtual system"
            continue
        if id(parent) in seen:
            yield survey.place(section), "it is the second one of its system"
        elif parent.children[-1].name != section.name:
            yield survey.place(section), f"{parent.children[-1].local} follows it"
        seen.add(id(parent))


def survives_alone(survey: Survey) -> Iterator[Spot]:
    """It declares its namespaces itself and says that it is not required."""
    for section in _ours(survey):
        declared = {
            survey.content[start:end].decode(errors="replace")
            for name, start, end in start_tag(survey.content, section).attributes
            if name.startswith(b"xmlns")
        }
        if not {names.CONTENT, survey.ovf} <= declared:
            yield survey.place(section), "a namespace is declared above it, not on it"
        if section.value("required", survey.ovf, "true").strip() not in ("false", "0"):
            yield survey.place(section), 'it does not say ovf:required="false"'


def fits_the_manifest(survey: Survey) -> Iterator[Spot]:
    """The disks that it speaks of are those of the manifest."""
    promised = {line.entry.name: line.entry.digest for line in survey.lines if line.entry}
    stored = {file.id: file.parts[0].name for file in survey.files if len(file.parts) == 1}
    disks = {disk.id: stored.get(disk.file, "") for disk in survey.disks}
    for section in _ours(survey):
        for binding in section.all(names.CONTENT, "Binding"):
            disk, digest = binding.value("disk"), binding.value("stored")
            if disk not in disks:
                yield survey.place(binding), f"there is no disk {disk[:60]}"
            elif digest and (found := promised.get(disks[disk])) and found != digest:
                yield survey.place(binding), f"the manifest has {found}"


def has_its_bill(survey: Survey) -> Iterator[Spot]:
    """A bill of materials that is said to lie in the package does."""
    for section in _ours(survey):
        for bom in section.all(names.CONTENT, "Bom"):
            inside = bom.value("location") == "package"
            if inside and bom.value("ref") not in {file.href for file in survey.files}:
                yield survey.place(bom), bom.value("ref")[:120]


def _ours(survey: Survey) -> Iterator[Element]:
    return (one for one in survey.root.walk() if one.name == (names.CONTENT, names.SECTION))
