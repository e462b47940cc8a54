"""CSAF: advisories and VEX statements of vendors (OASIS Common Security Advisory Framework 2.0).

A product of a vulnerability counts where it names a package by its package URL (3.1.3.3.4), alone
or as a part of a platform (3.2.2.3), whose CPE then says which distribution is meant.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from regild.feeds.advisories.words import (
    TYPES,
    cves_of,
    read_severity,
    severity_of_score,
)
from regild.model.advisory import Advisory, Affected, Severity, Status, gravest

DEPTH_LIMIT = 30
CPE_PRODUCTS = {
    "enterprise_linux": "rhel",
    "debian_linux": "debian",
    "ubuntu_linux": "ubuntu",
    "sles": "sles",
    "leap": "opensuse-leap",
    "rocky_linux": "rocky",
}
"""IDs of os-release(5) for the products of CPE names that are called otherwise."""
NO_FIX = ("no_fix_planned", "none_available")


class Ids(msgspec.Struct, frozen=True):
    """`product_identification_helper`."""

    purl: str = ""
    cpe: str = ""


class Product(msgspec.Struct, frozen=True):
    """`full_product_name_t`."""

    product_id: str
    name: str = ""
    product_identification_helper: Ids = Ids()


class Branch(msgspec.Struct, frozen=True):
    """One branch of the tree of products."""

    branches: list[Branch] = []
    product: Product | None = None


class Relationship(msgspec.Struct, frozen=True):
    """A product as a part of another."""

    full_product_name: Product
    product_reference: str
    relates_to_product_reference: str


class Tree(msgspec.Struct, frozen=True):
    """`product_tree`."""

    branches: list[Branch] = []
    full_product_names: list[Product] = []
    relationships: list[Relationship] = []


class CvssScore(msgspec.Struct, frozen=True, rename="camel"):
    """What is used of a CVSS object."""

    base_score: float = 0.0


class Score(msgspec.Struct, frozen=True):
    """`scores`."""

    cvss_v3: CvssScore | None = None
    cvss_v2: CvssScore | None = None


class Threat(msgspec.Struct, frozen=True):
    """`threats`."""

    category: str = ""
    details: str = ""


class Remedy(msgspec.Struct, frozen=True):
    """`remediations`."""

    category: str = ""
    details: str = ""
    product_ids: list[str] = []


class Statuses(msgspec.Struct, frozen=True):
    """`product_status`: lists of products."""

    fixed: list[str] = []
    first_fixed: list[str] = []
    recommended: list[str] = []
    known_affected: list[str] = []
    last_affected: list[str] = []
    known_not_affected: list[str] = []
    under_investigation: list[str] = []


class Vulnerability(msgspec.Struct, frozen=True):
    """One weakness."""

    cve: str = ""
    title: str = ""
    scores: list[Score] = []
    threats: list[Threat] = []
    remediations: list[Remedy] = []
    product_status: Statuses = Statuses()


class Words(msgspec.Struct, frozen=True):
    """`aggregate_severity`."""

    text: str = ""


class Tracking(msgspec.Struct, frozen=True):
    """`tracking`."""

    id: str
    current_release_date: str = ""


class Head(msgspec.Struct, frozen=True):
    """`document`."""

    csaf_version: str
    tracking: Tracking
    title: str = ""
    aggregate_severity: Words = Words()


class Document(msgspec.Struct, frozen=True):
    """One CSAF document, as far as it is used."""

    document: Head
    product_tree: Tree = Tree()
    vulnerabilities: list[Vulnerability] = []


class _Part(NamedTuple):
    """The package that a product is."""

    type: str
    ecosystem: str
    name: str
    version: str
    is_source: bool


def read_csaf(text: bytes) -> Iterator[Advisory]:
    """One advisory for each weakness of a document.

    Raises: msgspec.DecodeError.
    """
    found = msgspec.json.decode(text, type=Document)
    parts = dict(_parts(found.product_tree))
    overall = read_severity(found.document.aggregate_severity.text)
    for one in found.vulnerabilities:
        affected = tuple(dict.fromkeys(_affected(one, parts)))
        if affected:
            yield Advisory(
                id=found.document.tracking.id,
                severity=_severity(one) or overall,
                cves=cves_of(one.cve),
                title=one.title or found.document.title,
                published=found.document.tracking.current_release_date,
                affected=affected,
                exploited=any(map(_says_exploited, one.threats)),
            )


def _severity(one: Vulnerability) -> Severity:
    """The vendor's own word, else the rating of the highest score."""
    said = tuple(read_severity(threat.details) for threat in one.threats)
    if (word := gravest(said)) != "":
        return word
    scores = [score.cvss_v3 or score.cvss_v2 for score in one.scores]
    return gravest(tuple(severity_of_score(score.base_score) for score in scores if score))


def _says_exploited(threat: Threat) -> bool:
    return threat.category == "exploit_status" and "exploited:yes" in threat.details.lower()


def _affected(one: Vulnerability, parts: dict[str, _Part]) -> Iterator[Affected]:
    """What the document says of each package that it knows by its package URL."""
    said = one.product_status
    fixed = [part for name in (*said.fixed, *said.first_fixed) if (part := parts.get(name))]
    for part in fixed:
        if part.version:
            yield _stated(part, "affected", fixed=part.version)
    repaired = {part[:3] for part in fixed}
    notes = {
        name: remedy.details[:200]
        for remedy in one.remediations
        if remedy.category in NO_FIX
        for name in remedy.product_ids
    }
    rows: tuple[tuple[Status, list[str]], ...] = (
        ("affected", [*said.known_affected, *said.last_affected]),
        ("under investigation", said.under_investigation),
        ("not affected", said.known_not_affected),
    )
    for status, names in rows:
        for name in names:
            listed = parts.get(name)
            # Versions before the fix are affected already by its being stated.
            if listed and not (status == "affected" and listed[:3] in repaired):
                versions = (listed.version,) if listed.version else ()
                yield _stated(listed, status, versions=versions, note=notes.get(name, ""))


def _stated(
    part: _Part, status: Status, fixed: str = "", versions: tuple[str, ...] = (), note: str = ""
) -> Affected:
    by = part.type, part.ecosystem, part.name
    return Affected(
        *by,
        by="source" if part.is_source else "binary",
        status=status,
        fixed=fixed,
        versions=versions,
        note=note,
    )


def _parts(tree: Tree) -> Iterator[tuple[str, _Part]]:
    """The package of each product id that is one."""
    products = {one.product_id: one for one in (*_leaves(tree.branches), *tree.full_product_names)}
    for product in products.values():
        if part := _part(product.product_identification_helper.purl, ""):
            yield product.product_id, part
    for one in tree.relationships:
        whole, component = one.full_product_name, products.get(one.product_reference)
        platform = products.get(one.relates_to_product_reference)
        purl = whole.product_identification_helper.purl
        if not purl and component:
            purl = component.product_identification_helper.purl
        cpe = platform.product_identification_helper.cpe if platform else ""
        if part := _part(purl, _ecosystem_of(cpe)):
            yield whole.product_id, part


def _leaves(branches: list[Branch]) -> Iterator[Product]:
    """All products of a tree; what lies deeper than any tree of the field is left out."""
    row = branches
    for _ in range(DEPTH_LIMIT):
        yield from (branch.product for branch in row if branch.product)
        row = [inner for branch in row for inner in branch.branches]


def _part(purl: str, ecosystem: str) -> _Part | None:
    """The package that a package URL names."""
    if not purl.startswith("pkg:") or len(purl) > 1000:
        return None
    from packageurl import PackageURL

    try:
        found = PackageURL.from_string(purl)
    except ValueError:
        return None
    told = found.qualifiers if isinstance(found.qualifiers, dict) else {}
    epoch, version = told.get("epoch", ""), found.version or ""
    namespace = (found.namespace or "").lower()
    own = told.get("distro", "") or (namespace if namespace in TYPES else "")
    return _Part(
        type=found.type,
        ecosystem=ecosystem or own,
        name=found.name,
        version=f"{epoch}:{version}" if epoch and version else version,
        is_source=told.get("arch") in ("src", "source"),
    )


def _ecosystem_of(cpe: str) -> str:
    """The ecosystem of a platform's CPE name, in either of its forms (CPE 2.2 URI, CPE 2.3)."""
    fields = cpe.removeprefix("cpe:2.3:").removeprefix("cpe:/").split(":")
    product, version, update = [*fields[2:5], "", "", ""][:3]
    if not product:
        return ""
    service = update[2:] if update.startswith("sp") else ""
    number = ".".join(one for one in (version, service) if one not in ("", "*", "-"))
    return f"{CPE_PRODUCTS.get(product, product)}-{number}".rstrip("-")
