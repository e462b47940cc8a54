"""The samples of advisories are what their publishers' schemas ask for.

CSAF is held to OASIS' own schema (test_kinds). Of OSV (osv-schema 1.6) and KEV (CISA's
known_exploited_vulnerabilities_schema) no package brings the schema; what their documents require
and how each field is formed is written down here. Whoever has the publishers' own files names their
folder in REGILD_SCHEMAS (osv.json, kev.json), and the samples are held to those too. Debian's
tracker, Alpine's secdb and updateinfo have no schema that their publishers keep. CVRF is held to
its publisher's schema (ICASI), in a package that is installed for that schema alone and never run.
"""

from __future__ import annotations

import copy
import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from jsonschema.validators import validator_for
from lxml import etree

from tests.feeds.advisories import samples

MOMENT = {"type": "string", "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(\.[0-9]+)?Z$"}
DAY = {"type": "string", "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}
TEXT = {"type": "string", "minLength": 1}
CVE = {"type": "string", "pattern": r"^CVE-[0-9]{4}-[0-9]{4,19}$"}

EVENT = {
    "type": "object",
    "properties": {
        name: {"type": "string"} for name in ("introduced", "fixed", "last_affected", "limit")
    },
    "additionalProperties": False,
    "minProperties": 1,
    "maxProperties": 1,
}
RANGE = {
    "type": "object",
    "required": ["type", "events"],
    "properties": {
        "type": {"enum": ["GIT", "SEMVER", "ECOSYSTEM"]},
        "repo": TEXT,
        "events": {
            "type": "array",
            "items": EVENT,
            "minItems": 1,
            "contains": {"required": ["introduced"]},
        },
    },
    "if": {"properties": {"type": {"const": "GIT"}}},
    "then": {"required": ["repo"]},
}
OSV: dict[str, Any] = {
    "type": "object",
    "required": ["id", "modified"],
    "properties": {
        "schema_version": {"type": "string", "pattern": r"^1\.[0-9]+\.[0-9]+$"},
        "id": {"type": "string", "pattern": r"^[A-Z][A-Za-z0-9]*-.+$"},
        "modified": MOMENT,
        "published": MOMENT,
        "withdrawn": MOMENT,
        "aliases": {"type": "array", "items": TEXT},
        "related": {"type": "array", "items": TEXT},
        "upstream": {"type": "array", "items": TEXT},
        "summary": {"type": "string", "maxLength": 120},
        "severity": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["type", "score"],
                "properties": {"type": {"enum": ["CVSS_V2", "CVSS_V3", "CVSS_V4", "Ubuntu"]}},
            },
        },
        "affected": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "package": {
                        "type": "object",
                        "required": ["ecosystem", "name"],
                        "properties": {"ecosystem": TEXT, "name": TEXT, "purl": TEXT},
                    },
                    "ranges": {"type": "array", "items": RANGE},
                    "versions": {"type": "array", "items": TEXT},
                },
            },
        },
    },
}
ROW = ("vendorProject", "product", "vulnerabilityName", "shortDescription", "requiredAction")
KEV: dict[str, Any] = {
    "type": "object",
    "required": ["catalogVersion", "dateReleased", "count", "vulnerabilities"],
    "properties": {
        "catalogVersion": TEXT,
        "dateReleased": MOMENT,
        "count": {"type": "integer"},
        "vulnerabilities": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["cveID", *ROW, "dateAdded", "dueDate"],
                "properties": {
                    **dict.fromkeys(ROW, TEXT),
                    "cveID": CVE,
                    "dateAdded": DAY,
                    "dueDate": DAY,
                },
            },
        },
    },
}


@pytest.mark.parametrize("fixed", [None, "1.1"])
def test_the_osv_sample_has_what_is_required(fixed: str | None) -> None:
    Draft202012Validator(OSV).validate(samples.osv(fixed=fixed))


def test_the_kev_sample_has_what_is_required() -> None:
    sample = samples.kev("CVE-2026-0001", "CVE-2026-0002")
    Draft202012Validator(KEV).validate(sample)
    assert sample["count"] == len(sample["vulnerabilities"])


@pytest.mark.parametrize(
    ("schema", "sample", "path"),
    [
        (OSV, samples.osv(), ("modified",)),
        (OSV, samples.osv(), ("affected", 0, "package", "ecosystem")),
        (OSV, samples.osv(), ("affected", 0, "ranges", 0, "events")),
        (KEV, samples.kev(), ("count",)),
        (KEV, samples.kev(), ("vulnerabilities", 0, "cveID")),
    ],
)
def test_what_lacks_a_required_field_is_noticed(
    schema: dict[str, Any], sample: dict[str, Any], path: tuple[Any, ...]
) -> None:
    broken = copy.deepcopy(sample)
    inside: Any = broken
    for step in path[:-1]:
        inside = inside[step]
    del inside[path[-1]]
    assert list(Draft202012Validator(schema).iter_errors(broken))


@pytest.mark.parametrize(
    ("name", "sample"),
    [
        ("osv", samples.osv()),
        ("osv", samples.osv(fixed=None)),
        ("kev", samples.kev("CVE-2026-0001")),
    ],
)
def test_the_samples_are_valid_by_the_publishers_own_schemas(
    name: str, sample: dict[str, Any]
) -> None:
    path = Path(os.environ.get("REGILD_SCHEMAS", "/nonexistent")) / f"{name}.json"
    if not path.exists():
        pytest.skip("the publishers' schemas are not here: name their folder in REGILD_SCHEMAS")
    schema = json.loads(path.read_text())
    kind = validator_for(schema)
    kind(schema, format_checker=kind.FORMAT_CHECKER).validate(sample)


VULN = "{http://www.icasi.org/CVRF/schema/vuln/1.1}"


@pytest.fixture(scope="module")
def cvrf() -> etree.XMLSchema:
    """The schema of CVRF 1.1; what it imports by address lies beside it."""
    spec = importlib.util.find_spec("cvrf2csaf")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("the package with the schema is not installed: scripts/setup test")
    folder = Path(spec.submodule_search_locations[0]) / "schemata"
    beside = {path.name: path for path in folder.rglob("*.xsd") if path.parent.name != "1.2"}
    beside["vuln.xsd"] = folder / "vuln/1.1/vuln.xsd"

    class Beside(etree.Resolver):
        def resolve(self, url: str, _public: str, context: Any) -> Any:
            return self.resolve_filename(str(beside[url.rpartition("/")[2]]), context)

    parser = etree.XMLParser(no_network=True)
    parser.resolvers.add(Beside())
    return etree.XMLSchema(etree.parse(str(folder / "cvrf/1.1/cvrf.xsd"), parser))


def test_the_cvrf_sample_is_valid_but_for_what_microsoft_adds(cvrf: etree.XMLSchema) -> None:
    document = etree.fromstring(samples.CVRF)
    assert not cvrf.validate(document)
    for added in document.findall(f".//{VULN}FixedBuild"):
        added.getparent().remove(added)
    for threat in document.findall(f".//{VULN}Threat[@Type='Severity']"):
        threat.getparent().remove(threat)
    cvrf.assertValid(document)
