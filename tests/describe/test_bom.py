"""The bill of materials, judged by the reference validator."""

from __future__ import annotations

import json

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from msgspec.structs import replace

from regild.describe.bom import write_cyclonedx
from regild.describe.reader import describe_guest
from regild.model.content import Content, Platform, Unknown
from tests.describe.guests import debian, paragraph

NOON = "2026-11-22T12:00:00Z"


def content() -> Content:
    return describe_guest(
        debian(
            {
                "/opt/billing/VERSION": "2.1",
                "/opt/own/run": "",
                "/usr/local/lib/python3.11/dist-packages/six-1.16.0.dist-info/METADATA": "",
                "/boot/vmlinuz-6.1.0-1": "",
            },
            paragraph("dpkg", "1.21.22")
            + paragraph("g++", "4:12.2.0-3", Source="gcc-defaults (1.2)"),
        )
    )


@pytest.mark.parametrize(
    "described",
    [
        content(),
        Content(platform=Platform()),
        replace(content(), unknowns=(Unknown("/srv", "encrypted"),)),
    ],
)
def test_the_strict_validator_accepts_it(described: Content) -> None:
    written = write_cyclonedx(described, "golden.ova", NOON, "0.1").decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(written) is None


def test_equal_inputs_give_equal_bytes() -> None:
    one = write_cyclonedx(content(), "golden.ova", NOON, "0.1")
    assert one == write_cyclonedx(content(), "golden.ova", NOON, "0.1")
    assert one != write_cyclonedx(content(), "other.ova", NOON, "0.1")


def test_every_package_is_a_component_with_purl_version_and_evidence() -> None:
    bill = json.loads(write_cyclonedx(content(), "golden.ova", NOON, "0.1"))
    by_name = {one["name"]: one for one in bill["components"]}
    assert set(by_name) == {"debian", "dpkg", "g++", "six", "billing", "own"}
    compiler = by_name["g++"]
    assert compiler["purl"] == "pkg:deb/debian/g%2B%2B@4:12.2.0-3?arch=amd64&distro=debian-12"
    assert compiler["version"] == "4:12.2.0-3"
    assert compiler["evidence"]["occurrences"] == [{"location": "/var/lib/dpkg/status"}]
    stated = {one["name"]: one["value"] for one in compiler["properties"]}
    assert stated["regild:package:source"] == "gcc-defaults"
    assert by_name["debian"]["type"] == "operating-system"
    assert by_name["debian"]["version"] == "12.5"


def test_references_are_unique_even_for_the_same_package_twice() -> None:
    package = content().packages[0]
    twice = replace(content(), packages=(package, package))
    bill = json.loads(write_cyclonedx(twice, "golden.ova", NOON, "0.1"))
    references = [one["bom-ref"] for one in bill["components"]]
    assert len(set(references)) == len(references)


def test_a_bill_says_of_itself_whether_it_is_complete() -> None:
    whole = json.loads(write_cyclonedx(content(), "a", NOON, "0.1"))
    assert whole["compositions"][0]["aggregate"] == "complete"
    lost = replace(content(), unknowns=(Unknown("/srv", "encrypted"),))
    part = json.loads(write_cyclonedx(lost, "a", NOON, "0.1"))
    assert part["compositions"][0]["aggregate"] == "incomplete"
    assert part["properties"] == [{"name": "regild:unknown:/srv", "value": "encrypted"}]
