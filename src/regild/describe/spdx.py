"""The same bill of materials for tools that ask for SPDX 2.3 (ISO/IEC 5962), as JSON.

Equal contents, subject and time give equal bytes. A licence that the guest does not state in a form
made for machines is NOASSERTION: nothing is guessed. One that the list of SPDX does not know gets a
reference of its own (clause 10), under the name that the package gives it.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

import msgspec

from regild.describe.licences import Licences, key_of
from regild.describe.spdx_names import all_of, to_spdx
from regild.model.content import Application, Content, Package, Platform

MEDIA_TYPE = "application/spdx+json; version=2.3"
SUFFIX = ".spdx.json"
SPACE = uuid.UUID("6a0f0b8e-1f43-5c35-9a0c-3c7d0f0a6b52")
"""Name space of the documents' addresses: our own, drawn once."""

ROOT = "SPDXRef-Image"
NOTHING = "NOASSERTION"


def write_spdx(
    content: Content,
    subject: str,
    timestamp: str,
    version: str,
    licences: Licences = MappingProxyType({}),
) -> bytes:
    """The bill of materials as JSON bytes.

    `subject` names the image, `timestamp` is RFC 3339 in UTC, `version` is that of regild;
    `licences` are those that are known.
    """
    packages = [_image(subject), *_packages(content, licences)]
    others = sorted({one for stated in licences.values() for one in stated if not to_spdx(one)})
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": subject,
        "documentNamespace": uuid.uuid5(SPACE, f"{content.state} {subject} {timestamp}").urn,
        "creationInfo": {"created": timestamp, "creators": [f"Tool: regild-{version}"]},
        "comment": _comment(content),
        "packages": packages,
        "hasExtractedLicensingInfos": [_extracted(one) for one in others],
        "relationships": [
            _relation("SPDXRef-DOCUMENT", "DESCRIBES", ROOT),
            *(_relation(ROOT, "CONTAINS", one["SPDXID"]) for one in packages[1:]),
        ],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


def _comment(content: Content) -> str:
    """What a reader of the whole document has to know."""
    lines = [f"regild:content:state {content.state}"]
    lines += [f"could not be read: {one.where}: {one.why}" for one in content.unknowns]
    return "\n".join(lines)


def _packages(content: Content, licences: Licences) -> Iterator[dict[str, Any]]:
    stated = [_system(content.platform)]
    stated += [_package(one, licences.get(key_of(one), ())) for one in content.packages]
    stated += [_application(one) for one in content.applications]
    for number, one in enumerate(stated):
        yield {"SPDXID": f"SPDXRef-Package-{number}", **one}


def _image(subject: str) -> dict[str, Any]:
    return {"SPDXID": ROOT, **_stated(subject, "", "CONTAINER")}


def _system(platform: Platform) -> dict[str, Any]:
    name = platform.id or platform.family or "unknown"
    return {
        **_stated(name, platform.version, "OPERATING-SYSTEM"),
        **({"summary": platform.name} if platform.name else {}),
    }


def _package(package: Package, licences: tuple[str, ...]) -> dict[str, Any]:
    stated = _stated(package.name, package.version, "LIBRARY", package.where)
    if licences:
        parts = sorted({to_spdx(one) or _reference(one) for one in licences})
        stated["licenseDeclared"] = all_of(parts)
    if package.source:
        stated["sourceInfo"] = f"built from: {package.source} {package.source_version}".rstrip()
    if package.purl:
        stated["externalRefs"] = [
            {
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": package.purl,
            }
        ]
    return stated


def _reference(licence: str) -> str:
    """The name in this document of a licence that the list of SPDX does not know: its own letters,
    and a digest that keeps two of them apart."""
    plain = re.sub(r"[^A-Za-z0-9.]+", "-", licence)[:60].strip("-")
    return f"LicenseRef-{plain}-{hashlib.sha256(licence.encode()).hexdigest()[:8]}"


def _extracted(licence: str) -> dict[str, str]:
    return {
        "licenseId": _reference(licence),
        "name": licence,
        "extractedText": f"The packages that state it call it: {licence}",
    }


def _application(application: Application) -> dict[str, Any]:
    return _stated(application.name, application.version, "APPLICATION", application.where)


def _stated(name: str, version: str, purpose: str, where: str = "") -> dict[str, Any]:
    """What every SPDX package says; absent values are left out."""
    stated: dict[str, Any] = {
        "name": name,
        "versionInfo": version,
        "primaryPackagePurpose": purpose,
        "downloadLocation": NOTHING,
        "filesAnalyzed": False,
        "licenseConcluded": NOTHING,
        "licenseDeclared": NOTHING,
        "copyrightText": NOTHING,
        "comment": f"evidence: {where}" if where else "",
    }
    return {key: value for key, value in stated.items() if value != ""}


def _relation(one: str, kind: str, other: str) -> dict[str, str]:
    return {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}
