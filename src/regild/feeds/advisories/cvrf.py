"""CVRF of Microsoft's security response centre: what each month's updates fix (CVRF 1.1 with
Microsoft's FixedBuild), as XML and as the JSON of the same programming interface.

A build of Windows has a weakness as long as its revision (UBR) is below the fixed build's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO
from xml.etree.ElementTree import Element

import msgspec

from regild.feeds.advisories.elements import read_elements
from regild.feeds.advisories.words import cves_of, read_severity
from regild.model.advisory import Advisory, Affected, gravest

BUILD_PARTS = 4
"""10.0, the build and the revision."""
SEVERITY, EXPLOIT, VENDOR_FIX = ("Severity", "3"), ("Exploit Status", "1"), ("Vendor Fix", "2")
"""Types of threats and remediations: words in XML, numbers in JSON."""


@dataclass(slots=True)
class _Weakness:
    """One vulnerability, in whichever form it came."""

    cve: str
    title: str
    threats: list[tuple[str, str]] = field(default_factory=list)
    """Type and description."""
    remedies: list[tuple[str, str, str, tuple[str, ...]]] = field(default_factory=list)
    """Type, description, fixed build, product ids."""


class Value(msgspec.Struct, frozen=True, rename="pascal"):
    """A text in an object of its own."""

    value: str = ""


class Product(msgspec.Struct, frozen=True, rename="pascal"):
    """A product's name."""

    product_id: str = msgspec.field(name="ProductID")
    value: str = ""


class ProductTree(msgspec.Struct, frozen=True, rename="pascal"):
    """All products."""

    full_product_name: list[Product] = []


class Threat(msgspec.Struct, frozen=True, rename="pascal"):
    """How grave it is, and whether it is used."""

    type: int = -1
    description: Value = Value()


class Remediation(msgspec.Struct, frozen=True, rename="pascal"):
    """An update that fixes it."""

    type: int = -1
    description: Value = Value()
    fixed_build: str = ""
    product_id: list[str] = msgspec.field(name="ProductID", default=[])


class Vulnerability(msgspec.Struct, frozen=True, rename="pascal"):
    """One weakness."""

    cve: str = msgspec.field(name="CVE", default="")
    title: Value = Value()
    threats: list[Threat] = []
    remediations: list[Remediation] = []


class Tracking(msgspec.Struct, frozen=True, rename="pascal"):
    """Dates."""

    current_release_date: str = ""


class Document(msgspec.Struct, frozen=True, rename="pascal"):
    """One month."""

    document_title: Value
    vulnerability: list[Vulnerability]
    document_tracking: Tracking = Tracking()
    product_tree: ProductTree = ProductTree()


def read_cvrf_json(text: bytes) -> Iterator[Advisory]:
    """Every weakness of a month that some build fixes.

    Raises: msgspec.DecodeError.
    """
    found = msgspec.json.decode(text, type=Document)
    names = {one.product_id: one.value for one in found.product_tree.full_product_name}
    for one in found.vulnerability:
        weakness = _Weakness(
            one.cve,
            one.title.value,
            [(str(threat.type), threat.description.value) for threat in one.threats],
            [
                (str(fix.type), fix.description.value, fix.fixed_build, tuple(fix.product_id))
                for fix in one.remediations
            ],
        )
        yield from _advisory(weakness, names, found.document_tracking.current_release_date)


def read_cvrf(file: IO[bytes], where: str) -> Iterator[Advisory]:
    """Every weakness of a month that some build fixes.

    Raises: Malformed, TooLarge.
    """
    names: dict[str, str] = {}
    date = ""
    wanted = frozenset({"FullProductName", "Vulnerability", "CurrentReleaseDate"})
    for element in read_elements(file, wanted, where):
        if element.tag == "FullProductName":
            names[element.get("ProductID", "")] = (element.text or "").strip()
        elif element.tag == "CurrentReleaseDate":
            date = (element.text or "").strip()
        else:
            yield from _advisory(_weakness(element), names, date)


def _weakness(element: Element) -> _Weakness:
    return _Weakness(
        _text(element, "CVE"),
        _text(element, "Title"),
        [
            (one.get("Type", ""), _text(one, "Description"))
            for one in element.iterfind("Threats/Threat")
        ],
        [
            (
                one.get("Type", ""),
                _text(one, "Description"),
                _text(one, "FixedBuild"),
                tuple((product.text or "").strip() for product in one.iterfind("ProductID")),
            )
            for one in element.iterfind("Remediations/Remediation")
        ],
    )


def _advisory(found: _Weakness, names: dict[str, str], date: str) -> Iterator[Advisory]:
    """The weakness as an advisory; nothing where no build fixes it."""
    affected = tuple(dict.fromkeys(_affected(found, names)))
    if affected:
        words = [text for type, text in found.threats if type in SEVERITY]
        used = [text for type, text in found.threats if type in EXPLOIT]
        yield Advisory(
            id=found.cve,
            severity=gravest(tuple(map(read_severity, words))),
            cves=cves_of(found.cve),
            title=found.title,
            published=date,
            affected=affected,
            exploited=any("exploited:yes" in text.lower().replace(" ", "") for text in used),
        )


def _affected(found: _Weakness, names: dict[str, str]) -> Iterator[Affected]:
    for type, article, build, products in found.remedies:
        parts = build.split(".")
        if type not in VENDOR_FIX or len(parts) != BUILD_PARTS or not all(map(str.isdigit, parts)):
            continue
        said = ", ".join(names.get(one, one) for one in products[:8])
        update = f"KB{article}" if article.isdecimal() else article[:80]
        yield Affected(
            "windows", "", ".".join(parts[:3]), fixed=build, note=f"{update} ({said})"[:300]
        )


def _text(element: Element, name: str) -> str:
    found = element.find(name)
    return (found.text or "").strip() if found is not None else ""
