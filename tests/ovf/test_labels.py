"""The corpus calls some files good (Pos) and some bad (Neg): regild agrees, or it is said why not.

Agreeing with Neg: the envelope is refused, or `lint` finds more than what any bare .ovf of these
folders has (its disks are absent, it is a draft). Agreeing with Pos: it is read, and no rule of the
standard itself finds fault.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from regild.errors import RegildError
from regild.ovf.envelope import read_envelope
from regild.ovf.lint.check import check_package
from regild.ovf.lint.standard_rules import STANDARD_RULES
from regild.ovf.lint.survey import survey_package

OF_ANY_BARE_FILE = {
    "extra-like-disk",
    "file-missing",
    "href-unsafe",
    "ovf-draft",
    "several-disks",
}
"""What lint says of every file there: the disks lie elsewhere, and most are of draft 0.9."""

NO_FAULT_SEEN = {
    "DigitalCertificates/Neg/valid_certificate.ovf": "the fault is in a certificate that is absent",
    "Envelope/Neg/gzip_compression.ovf": "the fault is in a disk that is absent",
    "Envelope/Neg/identity_compression.ovf": "the fault is in a disk that is absent",
    "Envelope/Neg/invalid_no_version.ovf": "a draft's version attribute; the namespace tells more",
    "Envelope/Neg/invalid_version.ovf": "a draft's version attribute; the namespace tells more",
    "Envelope/Neg/invalid_ref_size_neg.ovf": "it says 0, which any absent size may be",
    "Envelope/Neg/invalid_ref_size_null.ovf": "DSP0243 7.1 lets a File have no size",
    "Envelope/Neg/invalid_vmdk.ovf": "the fault is in a disk that is absent",
    "HttpLocators/Neg/valid_no_disk.ovf": "the fault is on a server that is absent",
    "HttpLocators/Neg/valid_no_disk_in_server.ovf": "the fault is on a server that is absent",
    "HttpLocators_1_0/Neg/valid_no_disk_in_server.ovf": "the fault is on a server that is absent",
    "Options/Neg/nvm001.ovf": "the fault is in the command line of the test",
    "VirtualHardware/Neg/empty_system.ovf": "the same file stands under Pos too",
    "VirtualHardware/Neg/maxwith_nonormal.ovf": "a maximum's Item of its own is allowed",
    "VirtualHardware/Neg/no_vh.ovf": "DSP0243 7.2 lets a system have no hardware",
}
NO_FAULT_MEANT = {
    "Envelope/Pos/bare_minimal.ovf": {"system-info"},  # stands under Neg too
    "Envelope/Pos/valid_vmdk_neg_size.ovf": {"size-number"},  # ovftool takes it nevertheless
}


@pytest.fixture(scope="module")
def labelled(shared: Path) -> dict[str, Path]:
    found = (shared / "corpus/ovf").rglob("*.ovf")
    return {"/".join(one.parts[-3:]): one for one in found if one.parent.name in ("Neg", "Pos")} | {
        "/".join(one.parts[-4:]): one
        for one in (shared / "corpus/ovf").rglob("*.ovf")
        if one.parent.parent.name == "Pos"
    }


def faults(path: Path) -> set[str]:
    try:
        read_envelope(path.read_bytes(), path.name)
        return {one.rule for one in check_package(survey_package(path))}
    except RegildError as error:
        return {type(error).__name__}


def test_bad_files_are_refused_or_found_fault_with(labelled: dict[str, Path]) -> None:
    bad = {name: path for name, path in labelled.items() if path.parent.name == "Neg"}
    assert len(bad) == 65
    passed = {name for name, path in bad.items() if not faults(path) - OF_ANY_BARE_FILE}
    assert passed == set(NO_FAULT_SEEN)


def test_good_files_break_no_rule_of_the_standard(labelled: dict[str, Path]) -> None:
    good = {name: path for name, path in labelled.items() if "/Pos/" in str(path)}
    assert len(good) > 90
    rules = {rule.id for rule in STANDARD_RULES}
    blamed = {name: faults(path) & rules for name, path in good.items()}
    assert {name: found for name, found in blamed.items() if found} == NO_FAULT_MEANT
    for path in good.values():
        assert read_envelope(path.read_bytes(), path.name)
