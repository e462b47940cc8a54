"""The bill of materials in SPDX 2.3, judged by the reference validator."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec.structs import replace
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from regild.describe.spdx import write_spdx
from regild.model.content import Content, Package, Platform, Unknown
from tests.describe.test_bom import NOON, content


@pytest.mark.parametrize(
    "described",
    [
        content(),
        Content(platform=Platform()),
        replace(content(), unknowns=(Unknown("/srv", "encrypted"),)),
    ],
)
def test_the_reference_validator_accepts_it(described: Content, tmp_path: Path) -> None:
    path = tmp_path / "x.spdx.json"
    path.write_bytes(write_spdx(described, "golden", NOON, "0.1"))
    assert validate_full_spdx_document(parse_file(str(path))) == []


def test_equal_inputs_give_equal_bytes() -> None:
    one = write_spdx(content(), "golden", NOON, "0.1")
    assert one == write_spdx(content(), "golden", NOON, "0.1")
    assert one != write_spdx(content(), "other", NOON, "0.1")


def test_every_package_has_purl_version_source_and_evidence() -> None:
    document = json.loads(write_spdx(content(), "golden", NOON, "0.1"))
    by_name = {one["name"]: one for one in document["packages"]}
    assert set(by_name) == {"golden", "debian", "dpkg", "g++", "six", "billing", "own"}
    compiler = by_name["g++"]
    purl = "pkg:deb/debian/g%2B%2B@4:12.2.0-3?arch=amd64&distro=debian-12"
    assert compiler["externalRefs"][0]["referenceLocator"] == purl
    assert compiler["versionInfo"] == "4:12.2.0-3"
    assert compiler["sourceInfo"] == "built from: gcc-defaults 1.2"
    assert compiler["comment"] == "evidence: /var/lib/dpkg/status"
    kinds = [one["relationshipType"] for one in document["relationships"]]
    assert kinds == ["DESCRIBES", *["CONTAINS"] * 6]


def test_what_could_not_be_read_is_said() -> None:
    described = replace(content(), unknowns=(Unknown("/srv", "encrypted"),))
    document = json.loads(write_spdx(described, "golden", NOON, "0.1"))
    assert "could not be read: /srv: encrypted" in document["comment"]


def test_names_that_are_odd_do_not_break_it(tmp_path: Path) -> None:
    odd = Package(type="deb", name='a"\n\u202e', version="1\t2", where="/x\x01")
    path = tmp_path / "x.spdx.json"
    path.write_bytes(write_spdx(Content(Platform(), (odd, odd)), "golden", NOON, "0.1"))
    assert validate_full_spdx_document(parse_file(str(path))) == []
