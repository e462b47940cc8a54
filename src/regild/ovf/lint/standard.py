"""Rules of the standard about where sections stand and what hardware and properties say (DSP0243,
8 and 9)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from regild.ovf import names
from regild.ovf.envelope import section_kind, sections_of
from regild.ovf.lint.archive import Spot
from regild.ovf.lint.sections import all_sections
from regild.ovf.lint.survey import Survey
from regild.ovf.markup import Element

PLACES: Final = {
    "AnnotationSection": ("VirtualSystem", "VirtualSystemCollection"),
    "DeploymentOptionSection": ("Envelope",),
    "DiskSection": ("Envelope",),
    "InstallSection": ("VirtualSystem",),
    "NetworkSection": ("Envelope",),
    "OperatingSystemSection": ("VirtualSystem",),
    "ProductSection": ("VirtualSystem", "VirtualSystemCollection"),
    "ResourceAllocationSection": ("VirtualSystemCollection",),
    "StartupSection": ("VirtualSystemCollection",),
    "VirtualHardwareSection": ("VirtualSystem",),
}
"""Where each section may stand (DSP0243 1.1, 7.2 and 9)."""

ITEMS: Final = ("Item", "StorageItem", "EthernetPortItem")
RASD: Final = "CIM_ResourceAllocationSettingData"
RASD_WORDS: Final = frozenset(
    (
        *("Address", "AddressOnParent", "AllocationUnits", "AutomaticAllocation"),
        *("AutomaticDeallocation", "Caption", "ChangeableType", "ComponentSetting"),
        *("ConfigurationName", "Connection", "ConsumerVisibility", "Description", "ElementName"),
        *("Generation", "HostResource", "InstanceID", "Limit", "MappingBehavior"),
        *("OtherResourceType", "Parent", "PoolID", "Reservation", "ResourceSubType"),
        *("ResourceType", "SoID", "SoOrgID", "VirtualQuantity", "VirtualQuantityUnits", "Weight"),
        *("BusNumber", "InstanceId"),  # the draft's spelling
    )
)
"""The properties of CIM_ResourceAllocationSettingData (DSP8041)."""

NUMBERS: Final = ("Limit", "Reservation", "ResourceType", "VirtualQuantity", "Weight")

TYPES: Final = frozenset(
    (
        *("uint8", "sint8", "uint16", "sint16", "uint32", "sint32", "uint64", "sint64"),
        *("string", "boolean", "real32", "real64"),
        *("int", "real", "ip", "expression", "password"),  # VMware's own, which ovftool takes
    )
)
"""The types of a Property (DSP0243 1.1, table 7), and those that VMware adds."""

_NUMBER = re.compile(r"[0-9]+\Z")
_VARIABLE = re.compile(r"\$\{[^{}]+\}\Z")
_LETTERS = re.compile(r"[a-z0-9]*")


def sections_stand_in_place(survey: Survey) -> Iterator[Spot]:
    """Every section of the standard stands where the standard has it."""
    for section in all_sections(survey):
        namespace, kind = section_kind(section)
        holder = _holder(section)
        if namespace in names.GENERATIONS and holder not in PLACES.get(kind, (holder,)):
            yield survey.place(section), f"{kind} in {holder}"


def systems_are_explained(survey: Survey) -> Iterator[Spot]:
    """A virtual system begins with its Info."""
    for system in survey.systems:
        first = system.children[0] if system.children else None
        if first is None or first.name != (survey.ovf, "Info"):
            yield survey.place(system), system.value("id", survey.ovf)[:80]


def items_are_whole(survey: Survey) -> Iterator[Spot]:
    """Every Item says its InstanceID and its ResourceType."""
    for item in _items(survey):
        for word in ("InstanceID", "ResourceType"):
            if not _said(item, word):
                yield survey.place(item), f"{item.local} without {word}"


def items_differ(survey: Survey) -> Iterator[Spot]:
    """No two Items of one hardware have one InstanceID, but as bounds or configurations of it."""
    seen = set()
    for item in _items(survey):
        key = (
            id(item.parent),
            _said(item, "InstanceID"),
            item.value("bound", survey.ovf),
            item.value("configuration", survey.ovf),
        )
        if key in seen and key[1]:
            yield survey.place(item), f"InstanceID {key[1][:40]}"
        seen.add(key)


def items_hold_numbers(survey: Survey) -> Iterator[Spot]:
    """Quantities of an Item are numbers."""
    for item in _items(survey):
        for child in item.children:
            text = child.text.strip()
            wrong = text and not _NUMBER.match(text) and not _VARIABLE.match(text)
            if child.local in NUMBERS and _is_rasd(child) and wrong:
                yield survey.place(child), f"{child.local} {text[:40]!r}"


def items_hold_known_words(survey: Survey) -> Iterator[Spot]:
    """An Item holds no element that the resource allocation schema does not have."""
    for item in _items(survey):
        for child in item.children:
            optional = child.value("required", survey.ovf) in ("false", "0")
            if _is_rasd(child) and child.local not in RASD_WORDS and not optional:
                yield survey.place(child), child.local[:80]


def networks_are_listed(survey: Survey) -> Iterator[Spot]:
    """Every network that hardware is connected to stands in the NetworkSection."""
    listed = {
        network.value("name", survey.ovf)
        for section in sections_of(survey.root)
        if section_kind(section)[1] == "NetworkSection"
        for network in section.all(survey.ovf, "Network")
    }
    for item in _items(survey):
        for child in item.children:
            name = child.text.strip()
            if child.local == "Connection" and name and name not in listed:
                yield survey.place(child), name[:80]


def products_differ(survey: Survey) -> Iterator[Spot]:
    """No two product sections of one holder share their class and instance."""
    seen = set()
    for section in all_sections(survey):
        if section_kind(section)[1] == "ProductSection":
            words = [section.value(one, survey.ovf) for one in ("class", "instance")]
            key = (id(section.parent), *words)
            if key in seen:
                yield survey.place(section), f"class {words[0][:60]!r}, instance {words[1][:20]!r}"
            seen.add(key)


def properties_have_keys(survey: Survey) -> Iterator[Spot]:
    """Every Property has a key, and none of its product section has the same."""
    seen = set()
    for element in _properties(survey):
        key = element.value("key", survey.ovf)
        if not key:
            yield survey.place(element), "a Property has no key"
        elif (id(element.parent), key) in seen:
            yield survey.place(element), f"{key[:80]} twice"
        seen.add((id(element.parent), key))


def properties_have_types(survey: Survey) -> Iterator[Spot]:
    """Every Property has a type that the standard or VMware knows."""
    for element in _properties(survey):
        stated = element.value("type", survey.ovf)
        found = _LETTERS.match(stated)
        if found is None or found[0] not in TYPES:
            yield survey.place(element), stated[:40] or "no type"


def sizes_are_numbers(survey: Survey) -> Iterator[Spot]:
    """A stated size and a chunk's size are numbers of bytes."""
    for file in survey.files:
        for name in ("size", "chunkSize"):
            text = file.element.value(name, survey.ovf).strip()
            if text and not _NUMBER.match(text):
                yield survey.place(file.element), f"{name} {text[:24]!r}"


def _holder(section: Element) -> str:
    """The kind of element that a section stands in."""
    parent = section.parent
    if parent is None:
        return ""
    return section_kind(parent)[1] if parent.local != "Content" else _content(parent)


def _content(element: Element) -> str:
    """What a draft's `Content` is: a system, or a collection of them."""
    declared = element.attributes.get((names.XSI, "type"), "")
    return declared.rpartition(":")[2].removesuffix("_Type")


def _items(survey: Survey) -> Iterator[Element]:
    """The Items of every hardware section."""
    for section in all_sections(survey):
        if section_kind(section)[1] == "VirtualHardwareSection":
            yield from (child for child in section.children if child.local in ITEMS)


def _said(item: Element, word: str) -> str:
    """What an Item says under a word; the draft writes InstanceId."""
    for child in item.children:
        if child.local.lower() == word.lower():
            return child.text.strip()
    return ""


def _is_rasd(element: Element) -> bool:
    return element.name[0].endswith(RASD)


def _properties(survey: Survey) -> Iterator[Element]:
    """The Properties of every product section."""
    for section in all_sections(survey):
        if section_kind(section)[1] == "ProductSection":
            yield from section.all(survey.ovf, "Property")
