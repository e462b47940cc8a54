"""A VEX document says what is fixed and what stays, and nothing that is not known."""

from __future__ import annotations

import json
from typing import Any

from msgspec.structs import replace

from regild.model.advisory import Weakness
from regild.model.content import Content, Package, Platform
from regild.prove.vex import write_vex
from tests.prove.test_receipt import PLAN

PURL = "pkg:deb/debian/openssl@3.0.15?arch=amd64"
OBSERVED = Content(
    Platform(), (Package("deb", "openssl", "3.0.15", "amd64", source="openssl", purl=PURL),)
)
STAYS = Weakness("DSA-1", "openssl", "3.0.15", ("CVE-2026-0002",), fixed="3.0.16", why="held")
WHEN = "2026-11-24T00:00:00Z"


def written(**facts: Any) -> Any:
    return json.loads(write_vex(replace(PLAN, **facts), OBSERVED, WHEN, "regild 0.1"))


def test_what_is_fixed_and_what_stays_is_said_of_the_packages_that_are_there() -> None:
    fixed, stays = written(unfixed=(STAYS,))["statements"]
    assert (fixed["status"], fixed["vulnerability"]["name"]) == ("fixed", "CVE-2026-0001")
    assert fixed["products"] == stays["products"] == [{"@id": PURL}]
    assert "no proof" in fixed["status_notes"]
    assert (stays["status"], stays["vulnerability"]["name"]) == ("affected", "CVE-2026-0002")
    assert stays["action_statement"] == "Update openssl to 3.0.16 when it is offered (held)."


def test_a_weakness_that_nothing_fixes_and_that_has_no_cve_is_said_by_its_advisory() -> None:
    stays = written(unfixed=(replace(STAYS, fixed="", cves=(), why=""),))["statements"][-1]
    assert stays["vulnerability"]["name"] == "DSA-1"
    assert stays["action_statement"].startswith("No version of openssl")


def test_the_document_has_what_openvex_asks_for_and_is_the_same_each_time() -> None:
    first = written(unfixed=(STAYS,))
    assert first == written(unfixed=(STAYS,))
    assert first["@context"].startswith("https://openvex.dev/ns/")
    assert first["timestamp"] == WHEN
    assert first["version"] == 1
    assert first["@id"].startswith("urn:")
    assert first["author"]


def test_where_nothing_is_known_there_is_no_document() -> None:
    assert write_vex(replace(PLAN, steps=(), unfixed=()), OBSERVED, WHEN, "regild") == b""
