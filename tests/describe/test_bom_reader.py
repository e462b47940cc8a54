"""A content from somebody else's bill of materials, and from our own."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regild.describe.bom import write_cyclonedx
from regild.describe.bom_reader import MAX_COMPONENTS, read_bom
from regild.describe.spdx import write_spdx
from regild.errors import Malformed, RegildError, TooLarge, UnsupportedFormat
from tests.describe.test_bom import NOON, content

PURL = "pkg:deb/debian/libstdc%2B%2B6@12.2.0-14?arch=amd64&distro=debian-12&upstream=gcc-12%4012.2"


def cyclonedx(*components: dict[str, Any]) -> bytes:
    return json.dumps({"bomFormat": "CycloneDX", "components": components}).encode()


@pytest.mark.parametrize("write", [write_cyclonedx, write_spdx])
def test_our_own_bills_say_what_was_described(write: Any) -> None:
    described = content()
    found = read_bom(write(described, "golden", NOON, "0.1"), "x")
    keys = ("type", "name", "version", "arch", "source", "purl")

    def rows(packages: Any) -> list[tuple[str, ...]]:
        return sorted(tuple(getattr(one, key) for key in keys) for one in packages)

    assert rows(found.packages) == rows(described.packages)
    named = [(one.name, one.version, one.where) for one in found.applications]
    assert named == [(one.name, one.version, one.where) for one in described.applications]
    assert found.platform.id == described.platform.id
    assert found.platform.version == described.platform.version
    assert found.platform.arch == "amd64"


def test_what_was_not_seen_is_unknown() -> None:
    found = read_bom(cyclonedx({"name": "x", "version": "1", "purl": PURL}), "x.json")
    assert found.unknowns[0].where == "the disk"
    assert found.witnesses == ()
    assert found.sources == ()


def test_other_writers_words_are_understood() -> None:
    trivy = {
        "purl": "pkg:deb/debian/zlib1g@1.2?arch=amd64",
        "properties": [{"name": "aquasecurity:trivy:SrcName", "value": "zlib"}],
    }
    found = read_bom(cyclonedx({"purl": PURL}, trivy, {"type": "application", "name": "a"}), "x")
    library, zlib = found.packages
    assert (library.name, library.source, library.source_version) == (
        "libstdc++6",
        "gcc-12",
        "12.2",
    )
    assert (zlib.source, zlib.arch) == ("zlib", "amd64")
    assert (found.platform.id, found.platform.version) == ("debian", "12")
    assert found.platform.family == "linux"
    assert [one.name for one in found.applications] == ["a"]


@pytest.mark.parametrize(
    ("bill", "error"),
    [
        (b"", Malformed),
        (b"[]", Malformed),
        (b'{"bomFormat": "CycloneDX"}', Malformed),
        (b'{"bomFormat": "CycloneDX", "components": 1}', Malformed),
        (b'{"bomFormat": "CycloneDX", "components": [1]}', Malformed),
        (cyclonedx({"purl": "no purl"}), Malformed),
        (b'{"spdxVersion": "SPDX-3.0"}', UnsupportedFormat),
        (b"{}", UnsupportedFormat),
        (b"\xff", Malformed),
        (b"[" * 100_000, Malformed),
        (cyclonedx(*[{}] * (MAX_COMPONENTS + 1)), TooLarge),
    ],
)
def test_what_is_no_bill_is_refused(bill: bytes, error: type[RegildError]) -> None:
    with pytest.raises(error):
        read_bom(bill, "x")


JSON = st.recursive(
    st.none() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["purl", "name", "properties", "value", "evidence", "occurrences"]),
            inner,
        )
    ),
    max_leaves=10,
)


@given(st.lists(st.dictionaries(st.sampled_from(["purl", "name", "type", "evidence"]), JSON)))
def test_any_component_is_read_or_refused(components: list[dict[str, Any]]) -> None:
    try:
        read_bom(cyclonedx(*components), "x")
    except RegildError as error:
        assert str(error)
