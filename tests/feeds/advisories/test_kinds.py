"""What each format of advisories says, and that nothing in it is believed without bounds."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import zipfile
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from backports import zstd

from regild.errors import Malformed, RegildError, TooLarge, UnsupportedFormat
from regild.feeds.advisories import elements, kinds
from regild.feeds.advisories.kinds import Told, read_file
from regild.model.advisory import Advisory, Affected
from tests.feeds.advisories import samples
from tests.feeds.advisories.samples import FIXED, OPEN, OTHER, text


def read(tmp_path: Path, content: bytes) -> list[Told]:
    path = tmp_path / "feed"
    path.write_bytes(content)
    return list(read_file(path, "the feed"))


def one(tmp_path: Path, content: bytes, kind: str) -> Advisory:
    (told,) = read(tmp_path, content)
    assert told.kind == kind
    return told.advisory


def test_osv(tmp_path: Path) -> None:
    found = one(tmp_path, text(samples.osv()), "osv")
    assert (found.id, found.severity, found.cves) == (f"DEBIAN-{FIXED}", "critical", (FIXED,))
    assert found.affected == (Affected("deb", "debian-12", "tool", "source", fixed="1.1"),)


@pytest.mark.parametrize(
    ("ecosystem", "meant"),
    [
        ("Debian:12", ("deb", "debian-12")),
        ("Ubuntu:22.04:LTS", ("deb", "ubuntu-22.04")),
        ("Ubuntu:Pro:22.04:LTS", ("deb", "ubuntu:pro:22.04:lts")),
        ("Alpine:v3.20", ("apk", "alpine-3.20")),
        ("AlmaLinux:9", ("rpm", "almalinux-9")),
        ("Rocky Linux:9", ("rpm", "rocky-9")),
        ("Red Hat:enterprise_linux:9::baseos", ("rpm", "rhel-9")),
        ("Red Hat:rhel_eus:9.2::baseos", ("rpm", "red hat:rhel_eus:9.2::baseos")),
        ("SUSE:Linux Enterprise Server 15 SP5", ("rpm", "sles-15.5")),
        ("openSUSE:Leap 15.6", ("rpm", "opensuse-leap-15.6")),
        ("PyPI", ("pypi", "")),
        ("crates.io", ("cargo", "")),
    ],
)
def test_osv_names_of_ecosystems(tmp_path: Path, ecosystem: str, meant: tuple[str, str]) -> None:
    found = one(tmp_path, text(samples.osv(ecosystem=ecosystem)), "osv")
    assert (found.affected[0].type, found.affected[0].ecosystem) == meant


def test_osv_spans_and_single_versions(tmp_path: Path) -> None:
    events = [{"introduced": "1"}, {"fixed": "2"}, {"introduced": "3"}, {"last_affected": "4"}]
    events += [{"introduced": "5"}]
    package = {"ecosystem": "PyPI", "name": "x"}
    affected = [
        {"package": package, "ranges": [{"type": "ECOSYSTEM", "events": events}]},
        {"package": package, "versions": ["0.1", "0.2"]},
    ]
    found = one(tmp_path, text(samples.osv(affected=affected)), "osv")
    assert [(a.introduced, a.fixed, a.last, a.versions) for a in found.affected] == [
        ("1", "2", "", ()),
        ("3", "", "4", ()),
        ("5", "", "", ()),
        ("", "", "", ("0.1", "0.2")),
    ]


def test_what_was_withdrawn_says_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, text(samples.osv(withdrawn=samples.WHEN))) == []


def test_a_publishers_own_word_counts_where_there_is_no_score(tmp_path: Path) -> None:
    said = samples.osv(severity=[], database_specific={"severity": "MODERATE"})
    assert one(tmp_path, text(said), "osv").severity == "medium"
    odd = samples.osv(severity=[{"type": "CVSS_V3", "score": "nonsense"}], database_specific={})
    assert one(tmp_path, text(odd), "osv").severity == ""


def test_the_tracker(tmp_path: Path) -> None:
    found = {told.advisory.id: told.advisory for told in read(tmp_path, text(samples.tracker()))}
    assert set(found) == {FIXED, OPEN}  # what was never affected is no advisory
    assert found[FIXED].severity == "high"
    by_release = {a.ecosystem: a for a in found[FIXED].affected}
    assert (by_release["bookworm"].fixed, by_release["sid"].fixed) == ("1.1", "2.0")
    (left,) = found[OPEN].affected
    assert (left.fixed, left.note, found[OPEN].severity) == (
        "",
        "no-dsa: Minor issue",
        "negligible",
    )


def test_csaf(tmp_path: Path) -> None:
    found = one(tmp_path, text(samples.csaf()), "csaf")
    assert (found.id, found.severity, found.cves) == ("VSA-2026:0001", "medium", (FIXED,))
    assert found.affected == (
        Affected("rpm", "rhel-9", "tool", fixed="1:1.1-1.el9"),
        Affected("rpm", "rhel-9", "other", note="Will not be fixed"),
    )


def test_vex_says_what_is_not_affected_too(tmp_path: Path) -> None:
    found = one(tmp_path, text(samples.csaf({"known_not_affected": ["base-9:other"]})), "csaf")
    assert [(a.name, a.status) for a in found.affected] == [("other", "not affected")]


def test_secdb(tmp_path: Path) -> None:
    fixed, never = (told.advisory for told in read(tmp_path, text(samples.secdb())))
    assert (fixed.id, fixed.cves) == (FIXED, (FIXED,))
    assert fixed.affected == (Affected("apk", "alpine-3.20", "tool", "source", fixed="1.1-r0"),)
    assert (never.id, never.affected[0].status) == (OTHER, "not affected")


def test_kev(tmp_path: Path) -> None:
    found = one(tmp_path, text(samples.kev()), "kev")
    assert found.exploited and found.cves == (FIXED,) and not found.affected


def test_updateinfo(tmp_path: Path) -> None:
    found = one(tmp_path, samples.UPDATEINFO, "updateinfo")
    assert (found.id, found.severity, found.published) == (
        "VSA-2026:0001", "high", "2026-05-01T00:00:00Z",
    )  # fmt: skip
    assert [(a.name, a.fixed) for a in found.affected] == [
        ("tool", "1:1.1-1.el9"),
        ("libtool", "1.1-1.el9"),
    ]


@pytest.mark.parametrize("content", [samples.CVRF, text(samples.CVRF_JSON)])
def test_cvrf_in_both_forms(tmp_path: Path, content: bytes) -> None:
    found = one(tmp_path, content, "cvrf")
    assert (found.id, found.severity, found.exploited) == (FIXED, "high", True)
    (affected,) = found.affected
    assert (affected.name, affected.fixed) == ("10.0.20348", "10.0.20348.2900")
    assert affected.note == "KB5050001 (Windows Server 2022)"


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, zstd.compress])
def test_packed_files_are_unpacked(tmp_path: Path, pack: Any) -> None:
    assert one(tmp_path, pack(samples.UPDATEINFO), "updateinfo").id == "VSA-2026:0001"


def archive(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members.items():
            made.writestr(name, content)
    return out.getvalue()


def test_an_archive_of_osv(tmp_path: Path) -> None:
    content = archive({"a.json": text(samples.osv("A")), "b.json": text(samples.osv("B"))})
    assert [told.advisory.id for told in read(tmp_path, content)] == ["A", "B"]


def test_a_list_of_osv(tmp_path: Path) -> None:
    content = text([samples.osv("A"), samples.osv("B")])
    assert [told.advisory.id for told in read(tmp_path, content)] == ["A", "B"]


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", UnsupportedFormat),
        (b"hello", UnsupportedFormat),
        (b"{}", UnsupportedFormat),
        (b'{"a": {"b": {}}}', UnsupportedFormat),
        (b"<html/>", UnsupportedFormat),
        (b'{"id": "x", "modified": 3}', Malformed),
        (b'{"id": "x", "modified"', Malformed),
        (b'{"document": {}}', Malformed),
        (b"[" * 100_000, Malformed),
        (b'{"a": ' * 100_000, Malformed),
        (b"PK\x03\x04 not really", Malformed),
        (b"<updates><update>", Malformed),
        (b"<!DOCTYPE updates [<!ENTITY a 'b'>]><updates/>", Malformed),
        (b"<updates>" + b"<a>" * 100 + b"</a>" * 100 + b"</updates>", TooLarge),
        (b"\xff\xfe{", UnsupportedFormat),
    ],
)
def test_what_is_no_feed_is_refused(
    tmp_path: Path, content: bytes, kind: type[RegildError]
) -> None:
    with pytest.raises(kind) as caught:
        read(tmp_path, content)
    assert type(caught.value) is kind


def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "UNPACKED_LIMIT", 1000)
    with pytest.raises(TooLarge):
        read(tmp_path, gzip.compress(b" " * 2000))
    monkeypatch.setattr(kinds, "MEMBER_LIMIT", 1000)
    with pytest.raises(TooLarge):
        read(tmp_path, archive({"a.json": b" " * 2000}))
    monkeypatch.setattr(elements, "PARTS_LIMIT", 100)
    with pytest.raises(TooLarge):
        read(tmp_path, b"<updates><update>" + b"<a/>" * 200 + b"</update></updates>")


def test_a_tree_of_products_may_be_deep(tmp_path: Path) -> None:
    told = samples.csaf()
    branch = told["product_tree"]["branches"]
    for _ in range(200):
        branch = [{"category": "vendor", "name": "x", "branches": branch}]
    told["product_tree"]["branches"] = branch
    # Below the limit nothing is looked for, so the products there are not known.
    assert read(tmp_path, text(told)) == []


def test_the_csaf_sample_follows_the_published_schema() -> None:
    """OASIS' schema and the CVSS schemas that it refers to, as csaf-lib brings them."""
    from jsonschema import Draft202012Validator
    from referencing import Registry, Resource

    folder = files("csaf_lib.verification") / "schemas"
    schemas = [json.loads(one.read_text()) for one in folder.iterdir() if one.name.endswith("json")]
    main = next(one for one in schemas if "csaf" in one.get("$id", ""))
    registry = Registry().with_resources(
        (one.get("$id") or one["id"], Resource.from_contents(one)) for one in schemas
    )
    check = Draft202012Validator(main, registry=registry)
    for status in (None, {"known_not_affected": ["base-9:other"]}):
        check.validate(samples.csaf(status))
    broken = samples.csaf()
    del broken["document"]["tracking"]["id"]
    assert list(check.iter_errors(broken))
