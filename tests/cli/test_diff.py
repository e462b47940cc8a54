"""`regild diff` and `regild verify` as commands."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli import golden
from tests.cli.conftest import Said
from tests.cli.schemas import valid

Regild = Callable[..., Said]

NEWER = golden.STATUS.replace("3.0.11-1~deb12u2", "3.0.17-1~deb12u3")
CHANGELOG = b"""openssl (3.0.17-1~deb12u3) bookworm-security; urgency=medium

  * Fix CVE-2025-0002 and CVE-2024-0001.

openssl (3.0.11-1~deb12u2) bookworm; urgency=medium

  * Fix CVE-2023-0003.
"""
ADDED = "\nPackage: zlib1g\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.2\n"


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    return golden.filesystem(tmp_path, {**golden.GUEST, "/var/lib/dpkg/status": NEWER + ADDED})


def test_what_changed_is_told_package_by_package(regild: Regild, ova: Path, newer: Path) -> None:
    said = regild("diff", ova, newer, "--json")
    assert said.code == 0
    changes = valid("diff", said.json)["changes"]
    assert [(one["action"], one["name"], one["from"], one["to"]) for one in changes] == [
        ("upgrade", "libssl3", "3.0.11-1~deb12u2", "3.0.17-1~deb12u3"),
        ("upgrade", "openssl", "3.0.11-1~deb12u2", "3.0.17-1~deb12u3"),
        ("install", "zlib1g", "", "1.2"),
    ]
    assert "2 upgrades, 1 install" in regild("diff", ova, newer).out


def test_the_new_images_changelog_names_what_was_fixed(
    regild: Regild, ova: Path, tmp_path: Path
) -> None:
    doc = "/usr/share/doc/libssl3/changelog.Debian.gz"
    files = {**golden.GUEST, "/var/lib/dpkg/status": NEWER, doc: gzip.compress(CHANGELOG)}
    newer = golden.filesystem(tmp_path, files)
    changes = regild("diff", ova, newer, "--json").json["changes"]
    assert {one["name"]: one["fixes"] for one in changes} == {
        "libssl3": ["CVE-2024-0001", "CVE-2025-0002"],
        "openssl": [],
    }


def test_the_same_image_in_two_forms_does_not_differ(regild: Regild, ova: Path, raw: Path) -> None:
    answer = valid("diff", regild("diff", ova, raw, "--json").json)
    assert answer["changes"] == answer["platform"] == answer["sources"] == []


def test_what_either_side_could_not_read_is_3(
    regild: Regild, ova: Path, raw: Path, tmp_path: Path
) -> None:
    half = golden.partitioned(tmp_path, raw.read_bytes(), b"\x5a" * golden.MIB)
    said = regild("diff", ova, half, "--json")
    assert said.code == 3
    assert said.json["unknowns"][0]["where"] == "disk.raw: partition 2"


def test_a_whole_package_without_a_descriptor_verifies(regild: Regild, ova: Path) -> None:
    said = regild("verify", ova, "--json")
    assert said.code == 0
    answer = valid("verify", said.json)
    assert answer["manifest"]["state"] == "whole"
    assert answer["descriptors"][0]["state"] == "absent"
    assert answer["hashed_bytes"] > 0
