"""Rules about the envelope's sections and elements (DSP0243, 7.3 and 8; R1, R3, W1, W2, W7)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from regild.ovf import names
from regild.ovf.envelope import section_kind, sections_of
from regild.ovf.lint.archive import Spot
from regild.ovf.lint.survey import Survey
from regild.ovf.markup import Element

MAX_ENVELOPE: Final = 1 << 20

CIM: Final = "http://schemas.dmtf.org/wbem/"
STRINGS: Final = "http://schemas.dmtf.org/ovf/strings/1"
VMWARE: Final = "http://www.vmware.com/"

WORDS: Final = frozenset(
    (
        *("Envelope", "References", "File", "Strings", "Msg"),
        *("DiskSection", "Disk", "NetworkSection", "Network"),
        *("VirtualSystem", "VirtualSystemCollection", "Content", "Section", "Name"),
        *("OperatingSystemSection", "VirtualHardwareSection", "System", "Item"),
        *("ProductSection", "Property", "AnnotationSection", "EulaSection", "StartupSection"),
    )
)
"""Local names that consumers look for without asking for the namespace."""
ATTRIBUTES: Final = frozenset(
    (
        *("id", "href", "size", "compression", "chunkSize"),
        *("diskId", "fileRef", "capacity", "capacityAllocationUnits", "format", "parentRef"),
    )
)


def is_generation_1(survey: Survey) -> Iterator[Spot]:
    """The envelope is not of OVF 2.x."""
    if survey.ovf == names.OVF_2:
        yield survey.place(survey.root), survey.ovf


def is_no_draft(survey: Survey) -> Iterator[Spot]:
    """The envelope is not of a draft."""
    if survey.ovf in (names.OVF_09, names.OVF_DRAFT):
        yield survey.place(survey.root), survey.ovf


def items_are_plain(survey: Survey) -> Iterator[Spot]:
    """There are no StorageItem and EthernetPortItem, which came with OVF 2.0."""
    for element in survey.root.walk():
        if element.name[0] in names.GENERATIONS and element.local in (
            "StorageItem",
            "EthernetPortItem",
        ):
            yield survey.place(element), element.local


def sections_are_optional(survey: Survey) -> Iterator[Spot]:
    """No section that consumers do not know has to be understood."""
    known = (names.CONTENT, *names.PLACEMENT)
    for section in all_sections(survey):
        namespace, local = section_kind(section)
        standard = namespace in names.GENERATIONS and (local in names.SECTIONS or not local)
        required = section.value("required", survey.ovf, "true").strip()
        if not standard and namespace not in known and required not in ("false", "0"):
            yield survey.place(section), f"{{{namespace}}}{local}"


def sections_are_explained(survey: Survey) -> Iterator[Spot]:
    """A section begins with its Info."""
    for section in all_sections(survey):
        first = section.children[0] if section.children else None
        if first is None or first.name != (survey.ovf, "Info"):
            yield survey.place(section), section_kind(section)[1] or section.local


def hardware_is_plain(survey: Survey) -> Iterator[Spot]:
    """The hardware section holds no elements of strangers."""
    for section in all_sections(survey):
        if section_kind(section)[1] != "VirtualHardwareSection":
            continue
        for element in section.walk():
            namespace = element.name[0]
            if namespace != survey.ovf and not namespace.startswith((CIM, VMWARE)):
                yield survey.place(element), f"{{{namespace}}}{element.local}"


def names_are_not_shadowed(survey: Survey) -> Iterator[Spot]:
    """Nothing beside or inside the standard's elements has their local names in another
    namespace."""
    for element in survey.root.walk():
        parent = element.parent
        if parent is not None and parent.name[0] == survey.ovf and _is_shadow(survey, element):
            yield survey.place(element), f"{{{element.name[0]}}}{element.local}"


def glance_finds_the_right_disk(survey: Survey) -> Iterator[Spot]:
    """No `References` and no `Disk` of another namespace stands anywhere."""
    for element in survey.root.walk():
        if element.local in ("References", "Disk") and _is_shadow(survey, element):
            yield survey.place(element), f"{{{element.name[0]}}}{element.local}"


def attributes_are_not_shadowed(survey: Survey) -> Iterator[Spot]:
    """A File or Disk has no second attribute of the same local name in another namespace."""
    elements = [file.element for file in survey.files] + [disk.element for disk in survey.disks]
    for element in elements:
        for namespace, local in element.attributes:
            if namespace not in ("", survey.ovf) and local in ATTRIBUTES:
                yield survey.place(element), f"{{{namespace}}}{local}"


def envelope_is_small(survey: Survey) -> Iterator[Spot]:
    """The .ovf is under 1 MiB."""
    if len(survey.content) >= MAX_ENVELOPE:
        yield survey.envelope_name, f"{len(survey.content)} bytes"


def there_is_a_system(survey: Survey) -> Iterator[Spot]:
    """There is a virtual system."""
    if not survey.systems:
        yield survey.place(survey.root), "no VirtualSystem stands in it"


def all_sections(survey: Survey) -> Iterator[Element]:
    """The sections of the envelope, of collections and of systems."""
    waiting = [survey.root]
    while waiting:
        element = waiting.pop()
        found = list(sections_of(element))
        yield from found
        sections = {id(one) for one in found}
        inner = [child for child in element.children if id(child) not in sections]
        waiting += [
            child
            for child in reversed(inner)
            if child.local in ("VirtualSystem", "VirtualSystemCollection", "Content")
        ]


def _is_shadow(survey: Survey, element: Element) -> bool:
    namespace = element.name[0]
    standard = namespace in (survey.ovf, STRINGS) or namespace.startswith(CIM)
    return not standard and element.local in WORDS
