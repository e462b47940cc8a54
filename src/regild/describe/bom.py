"""The software bill of materials of a Content (CycloneDX 1.6, ECMA-424), as deterministic JSON.

Equal contents, subject and time give equal bytes. Where something of the guest could not be read
the bill says of itself that it is incomplete.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from regild.describe.licences import Licences, key_of
from regild.describe.spdx_names import all_of, to_spdx
from regild.model.content import Application, Content, Package, Platform

MEDIA_TYPE = "application/vnd.cyclonedx+json; version=1.6"
SPACE = uuid.UUID("2f8b7a52-4c1c-5f0e-9d63-6f7d3c1f5e10")
"""Name space of the serial numbers: our own, drawn once."""


def write_cyclonedx(
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
    root = f"image:{subject}"
    components = list(_components(content, licences))
    bill = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": uuid.uuid5(SPACE, f"{content.state} {subject} {timestamp}").urn,
        "version": 1,
        "metadata": {
            "timestamp": timestamp,
            "tools": {
                "components": [{"type": "application", "name": "regild", "version": version}]
            },
            "component": {"type": "platform", "bom-ref": root, "name": subject},
            "properties": _properties({"regild:content:state": content.state}),
        },
        "components": components,
        "compositions": [
            {
                "aggregate": "incomplete" if content.unknowns else "complete",
                "assemblies": [root],
            }
        ],
    }
    if content.unknowns:
        lines = {f"regild:unknown:{one.where}": one.why for one in content.unknowns}
        bill["properties"] = _properties(lines)
    return msgspec.json.format(msgspec.json.encode(bill), indent=1) + b"\n"


def _components(content: Content, licences: Licences) -> Iterator[dict[str, Any]]:
    """The operating system, its packages and applications, each under a reference of its own."""
    seen: Counter[str] = Counter()
    stated = [_system(content.platform)]
    stated += [_package(one, licences.get(key_of(one), ())) for one in content.packages]
    stated += [_application(one) for one in content.applications]
    for component in stated:
        reference = component["bom-ref"]
        seen[reference] += 1
        if seen[reference] > 1:
            component["bom-ref"] = f"{reference}#{seen[reference]}"
        yield component


def _system(platform: Platform) -> dict[str, Any]:
    name = platform.id or platform.family or "unknown"
    about = {
        "regild:platform:codename": platform.codename,
        "regild:platform:arch": platform.arch,
        "regild:platform:kernels": " ".join(platform.kernels),
        "regild:platform:edition": platform.edition,
        "regild:platform:build": platform.build,
        "regild:platform:ubr": str(platform.ubr) if platform.ubr else "",
    }
    system = {
        "type": "operating-system",
        "bom-ref": f"os:{name}",
        "name": name,
        "version": platform.version,
        "description": platform.name,
        "properties": _properties(about),
    }
    return {key: value for key, value in system.items() if value}


def _package(package: Package, licences: tuple[str, ...]) -> dict[str, Any]:
    about = {
        "regild:package:arch": package.arch,
        "regild:package:source": package.source,
        "regild:package:source-version": package.source_version,
        "regild:package:state": package.state,
        "regild:package:hold": "true" if package.hold else "",
    }
    component = {
        "type": "library",
        "bom-ref": package.purl or f"{package.type}:{package.name}:{package.arch}",
        "name": package.name,
        "version": package.version,
        "purl": package.purl,
        "licenses": _licences(licences),
        "properties": _properties(about),
        "evidence": {"occurrences": [{"location": package.where}]} if package.where else None,
    }
    return {key: value for key, value in component.items() if value}


def _licences(stated: tuple[str, ...]) -> list[dict[str, Any]]:
    """One expression where SPDX has a name for all of it; else each as the package has it."""
    known = [to_spdx(one) for one in stated]
    if stated and None not in known:
        expressions = sorted({one for one in known if one})
        return [{"expression": all_of(expressions), "acknowledgement": "declared"}]
    return [{"license": {"name": one, "acknowledgement": "declared"}} for one in stated]


def _application(application: Application) -> dict[str, Any]:
    component = {
        "type": "application",
        "bom-ref": f"application:{application.where}",
        "name": application.name,
        "version": application.version,
        "evidence": {"occurrences": [{"location": application.where}]},
    }
    return {key: value for key, value in component.items() if value}


def _properties(stated: Mapping[str, str]) -> list[dict[str, str]]:
    """Name and value pairs, those without a value left out."""
    return [{"name": name, "value": value} for name, value in stated.items() if value]
