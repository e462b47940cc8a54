"""The samples of advisories are what their publishers' schemas ask for.

CSAF is held to OASIS' own schema (test_kinds), OSV to that of its publishers (Apache-2.0) and CVRF
to ICASI's, each in a package that is installed for that schema alone and never run. Of KEV (CISA's
known_exploited_vulnerabilities_schema) no package brings the schema; what it requires and how each
field is formed is written down here. Debian's tracker, Alpine's secdb and updateinfo have no schema
that their publishers keep.
"""

from __future__ import annotations

import copy
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from jsonschema.protocols import Validator
from lxml import etree

from tests.feeds.advisories import samples

MOMENT = {"type": "string", "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(\.[0-9]+)?Z$"}
DAY = {"type": "string", "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}
TEXT = {"type": "string", "minLength": 1}
CVE = {"type": "string", "pattern": r"^CVE-[0-9]{4}-[0-9]{4,19}$"}

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
                    "knownRansomwareCampaignUse": {"enum": ["Known", "Unknown"]},
                    "cwes": {"type": "array", "items": {"pattern": "^CWE-[0-9]+$"}},
                },
            },
        },
    },
}


@pytest.fixture(scope="module")
def osv() -> Validator:
    """The schema of OSV that its publishers keep."""
    path = inside_of("osv") / "osv-schema/validation/schema.json"
    schema = json.loads(path.read_text())
    assert schema["title"] == "Open Source Vulnerability"
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


@pytest.mark.parametrize("fixed", [None, "1.1"])
def test_the_osv_sample_is_valid_but_for_what_came_since(osv: Validator, fixed: str | None) -> None:
    """The package holds OSV 1.6: without the prefix of Debian's records, and without `upstream`,
    in which they name the CVE."""
    record = samples.osv(fixed=fixed)
    assert {(one.validator, *one.path) for one in osv.iter_errors(record)} == {
        ("pattern", "id"),
        ("additionalProperties",),
    }
    del record["upstream"]
    osv.validate({**record, "id": record["id"].removeprefix("DEBIAN-")})


@pytest.mark.parametrize(
    "path",
    [
        ("modified",),
        ("affected", 0, "package", "ecosystem"),
        ("affected", 0, "ranges", 0, "events"),
    ],
)
def test_what_the_osv_schema_requires_is_noticed(osv: Validator, path: tuple[Any, ...]) -> None:
    assert list(osv.iter_errors(without(samples.osv(), path)))


def test_the_kev_sample_has_what_is_required() -> None:
    sample = samples.kev("CVE-2026-0001", "CVE-2026-0002")
    Draft202012Validator(KEV).validate(sample)
    assert sample["count"] == len(sample["vulnerabilities"])


@pytest.mark.parametrize("path", [("count",), ("vulnerabilities", 0, "cveID")])
def test_what_kev_requires_is_noticed(path: tuple[Any, ...]) -> None:
    assert list(Draft202012Validator(KEV).iter_errors(without(samples.kev("CVE-2026-0001"), path)))


def without(sample: dict[str, Any], path: tuple[Any, ...]) -> dict[str, Any]:
    """A sample that lacks one field."""
    broken = copy.deepcopy(sample)
    inside: Any = broken
    for step in path[:-1]:
        inside = inside[step]
    del inside[path[-1]]
    return broken


def inside_of(package: str) -> Path:
    """The folder of a package that is installed for its schema alone, and never run."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        pytest.skip(f"the package {package} with the schema is not installed: scripts/setup test")
    return Path(spec.submodule_search_locations[0])


VULN = "{http://www.icasi.org/CVRF/schema/vuln/1.1}"


@pytest.fixture(scope="module")
def cvrf() -> etree.XMLSchema:
    """The schema of CVRF 1.1; what it imports by address lies beside it."""
    folder = inside_of("cvrf2csaf") / "schemata"
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
