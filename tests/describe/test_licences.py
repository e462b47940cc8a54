"""Licences that the guest states in a form made for machines reach both bills of materials."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from msgspec.structs import replace
from spdx_tools.spdx.parser.jsonlikedict.json_like_dict_parser import JsonLikeDictParser
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from regild.describe import licences
from regild.describe.bom import write_cyclonedx
from regild.describe.licences import key_of, read_licences
from regild.describe.reader import describe_guest
from regild.describe.spdx import write_spdx
from regild.describe.spdx_names import to_spdx
from regild.model.content import Content, Package
from tests.describe.guests import debian, paragraph
from tests.describe.rpm_worlds import build, rpm, sqlite_guest

NOON = "2026-11-22T12:00:00Z"
HEAD = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n"
COPYRIGHT = f"""{HEAD}Files: *
Copyright: someone
License: GPL-2+
 text of it

Files: debian/*
License: Expat

Files: odd/*
License: Frobnicate-3

License: GPL-2+
 the text
"""


def stated(*files: tuple[str, str], package: Package | None = None) -> tuple[str, ...]:
    one = package or Package("deb", "a", "1", "amd64", where="/var/lib/dpkg/status")
    return read_licences(debian(dict(files)), [one]).get(key_of(one), ())


def debian_says(text: str) -> tuple[str, ...]:
    return stated(("/usr/share/doc/a/copyright", text))


def test_debians_machine_readable_copyright() -> None:
    assert debian_says(COPYRIGHT) == ("Expat", "Frobnicate-3", "GPL-2+")


@pytest.mark.parametrize(
    "text",
    [
        "This package is free software, License: GPL-2\n",
        COPYRIGHT.replace("copyright-format/1.0", "copyright-format/2.0"),
        COPYRIGHT.replace("License: Expat", "License:\n words"),
        COPYRIGHT.replace("License: Expat\n", ""),
        "",
        HEAD,
        HEAD + "License: GPL-2\n",
        HEAD + "Files: *\nLicense: " + "x" * 300 + "\n",
        HEAD + "".join(f"Files: {n}\nLicense: x{n}\n\n" for n in range(300)),
        HEAD + "Files: *\nLicense: \x1b[2J\n",
    ],
)
def test_what_is_no_such_form_states_nothing(text: str) -> None:
    assert debian_says(text) == ()


def test_a_file_that_is_too_long_states_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(licences, "FILE_LIMIT", len(COPYRIGHT))
    assert debian_says(COPYRIGHT)
    assert debian_says(COPYRIGHT + "\n") == ()
    monkeypatch.setattr(licences, "TOTAL_LIMIT", 10)
    assert debian_says(COPYRIGHT) == ()


def test_the_other_databases_that_state_them() -> None:
    apk = "/lib/apk/db/installed"
    content = "P:b\nL:MIT\n\nC:x\nP:a\nV:1\nL:GPL-2.0-only AND MIT\n\n"
    one = Package("apk", "a", "1", "x86_64", where=apk)
    assert stated((apk, content), package=one) == ("GPL-2.0-only AND MIT",)
    place = "/var/lib/pacman/local/a-1/desc"
    one = Package("alpm", "a", "1", "x86_64", where=place)
    content = "%NAME%\na\n\n%LICENSE%\nGPL\nMIT\n\n%ARCH%\nx86_64\n"
    assert stated((place, content), package=one) == ("GPL", "MIT")
    place = "/usr/local/lib/python3/dist-packages/a-1.dist-info/METADATA"
    one = Package("pypi", "a", "1", where=place)
    for content, name in (
        ("Name: a\nLicense: MIT\n\nLicense: no\n", ("MIT",)),
        ("Name: a\nLicense: x\nLicense-Expression: MIT OR ISC\n", ("MIT OR ISC",)),
        ("Name: a\nLicense: UNKNOWN\n", ()),
        ("Name: a\n", ()),
    ):
        assert stated((place, content), package=one) == name
    place = "/usr/local/lib/node_modules/a/package.json"
    one = Package("npm", "a", "1", where=place)
    assert stated((place, '{"name": "a", "license": "MIT"}'), package=one) == ("MIT",)
    for content in ('{"name": "b", "license": "MIT"}', '{"name":"a","license":{}}', "{", "[]"):
        assert stated((place, content), package=one) == ()


def test_the_license_tag_of_a_real_database_of_rpm(tmp_path: Path) -> None:
    rpm(tmp_path, "--initdb")
    rpm(tmp_path, "-i", "--justdb", "--nodeps", str(build(tmp_path, "made", "1")))
    guest = sqlite_guest(tmp_path)
    content = describe_guest(guest)
    found = read_licences(guest, content.packages)
    assert {key[1]: stated for key, stated in found.items()} == {"made": ("MIT",)}
    broken = debian({"/var/lib/rpm/rpmdb.sqlite": b"SQLite format 3\0" + b"x" * 5000})
    one = replace(content.packages[0], where="/var/lib/rpm/rpmdb.sqlite")
    assert read_licences(broken, [one]) == {}


@pytest.mark.parametrize(
    ("name", "expression"),
    [
        ("GPL-2+", "GPL-2.0-or-later"),
        ("GPLv3", "GPL-3.0-only"),
        ("LGPL-2.1+", "LGPL-2.1-or-later"),
        ("AGPL-3", "AGPL-3.0-only"),
        ("GFDL-NIV-1.3+", "GFDL-1.3-no-invariants-or-later"),
        ("Expat", "MIT"),
        ("bsd-3-clause", "BSD-3-Clause"),
        ("GPL-1+ or Artistic", "GPL-1.0-or-later OR Artistic-1.0"),
        ("GPL-1+ or Artistic, and Expat", "(GPL-1.0-or-later OR Artistic-1.0) AND MIT"),
        ("GPL-2 with Linux-syscall-note exception", "GPL-2.0-only WITH Linux-syscall-note"),
        ("GPL-2.0-or-later AND (MIT OR ISC)", "GPL-2.0-or-later AND (MIT OR ISC)"),
        ("public-domain", None),
        ("GPL", None),
        ("GPL-7", None),
        ("GPL-2+ with a fine exception", None),
        ("MIT, and ISC, or Zlib", None),
        ("LicenseRef-mine", None),
        ("", None),
        ("a or " * 400 + "b", None),
        ("(" * 900, None),
    ],
)
def test_names_become_those_of_spdx_or_stay(name: str, expression: str | None) -> None:
    assert to_spdx(name) == expression


def described() -> tuple[Content, dict[tuple[str, str, str, str], tuple[str, ...]]]:
    content = describe_guest(
        debian({}, "".join(paragraph(name, "1") for name in ("known", "named", "silent")))
    )
    keys = {one.name: key_of(one) for one in content.packages}
    return content, {
        keys["known"]: ("Expat", "GPL-1+ or Artistic"),
        keys["named"]: ("Expat", "Frobnicate: 3!", "public-domain"),
    }


def test_the_cyclonedx_bill_states_them() -> None:
    content, known = described()
    written = write_cyclonedx(content, "golden", NOON, "1", known)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(written.decode()) is None
    bill = {one["name"]: one.get("licenses") for one in json.loads(written)["components"]}
    expression = "(GPL-1.0-or-later OR Artistic-1.0) AND MIT"
    assert bill["known"] == [{"expression": expression, "acknowledgement": "declared"}]
    assert [one["license"]["name"] for one in bill["named"]] == list(known[_key(content, "named")])
    assert bill["silent"] is None


def test_the_spdx_bill_states_them(tmp_path: Path) -> None:
    content, known = described()
    told = json.loads(write_spdx(content, "golden", NOON, "1", known))
    assert validate_full_spdx_document(JsonLikeDictParser().parse(told)) == []
    bill = {one["name"]: one["licenseDeclared"] for one in told["packages"]}
    assert bill["known"] == "(GPL-1.0-or-later OR Artistic-1.0) AND MIT"
    assert bill["silent"] == "NOASSERTION"
    names = {one["licenseId"]: one["name"] for one in told["hasExtractedLicensingInfos"]}
    assert sorted(names.values()) == ["Frobnicate: 3!", "public-domain"]
    assert set(bill["named"].split(" AND ")) == {"MIT", *names}


def _key(content: Content, name: str) -> tuple[str, str, str, str]:
    return next(key_of(one) for one in content.packages if one.name == name)
