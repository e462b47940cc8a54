"""Receipts are deterministic and tell every package, its archive and every check."""

from __future__ import annotations

import json

import pytest

from regild.errors import Malformed, UnsupportedFormat
from regild.model.content import Content, Platform, Unknown
from regild.model.digest import Digest, sha256_of
from regild.model.dsse import sign_bytes
from regild.model.plan import Archive, Plan, Skipped, Step
from regild.model.receipt import Receipt
from regild.prove.receipt import (
    PREDICATE,
    STATEMENT,
    make_receipt,
    read_receipt,
    sign_statement,
    write_statement,
)
from tests.ovf.authorities import holder

DIGEST = Digest("sha256:" + "ab" * 32)
STEP = Step(
    action="upgrade",
    name="openssl",
    arch="amd64",
    was="3.0.14",
    becomes="3.0.15",
    fixes=("CVE-2026-0001",),
    evidence="changelog",
    archive=Archive("http://mirror.example/o.deb", "o.deb", DIGEST, 1),
)
GONE = Step(action="remove", name="old", arch="all", was="1")
PLAN = Plan(
    id=DIGEST,
    base=DIGEST,
    basis="disk",
    mode="full",
    steps=(STEP, GONE),
    skipped=(Skipped("linux-image-amd64", "boot chain"),),
)
OBSERVED = Content(platform=Platform(id="debian"), unknowns=(Unknown("/srv", "encrypted"),))


def made() -> Receipt:
    return make_receipt(
        PLAN,
        OBSERVED,
        carrier="sandbox",
        checks=("dpkg --audit is empty",),
        tool="regild 0.1",
        unchecked=(Unknown("boot", "the result was not started"),),
    )


def test_a_receipt_names_plan_base_and_result() -> None:
    receipt = made()
    assert (receipt.plan, receipt.base, receipt.result) == (DIGEST, DIGEST, OBSERVED.state)
    assert receipt.unknowns == OBSERVED.unknowns


def test_a_receipt_names_every_package_with_its_archive() -> None:
    upgraded, removed = made().packages
    assert (upgraded.was, upgraded.becomes, upgraded.archive) == ("3.0.14", "3.0.15", DIGEST)
    assert upgraded.fixes == ("CVE-2026-0001",)
    assert (removed.action, removed.archive) == ("remove", None)


DISK = ("disk.vmdk", (DIGEST, Digest("mt1-sha256-1MiB:" + "cd" * 32)))


def test_a_receipt_is_an_in_toto_statement_about_the_disks() -> None:
    written = json.loads(write_statement(made(), [DISK]))
    assert (written["_type"], written["predicateType"]) == (STATEMENT, PREDICATE)
    assert written["subject"] == [
        {"name": "disk.vmdk", "digest": {"sha256": "ab" * 32, "mt1-sha256-1MiB": "cd" * 32}}
    ]
    assert written["predicate"]["packages"][0]["from"] == "3.0.14"


def test_a_receipt_is_the_same_bytes_each_time_and_reads_back() -> None:
    written = write_statement(made(), [DISK])
    assert written == write_statement(made(), [DISK])
    read = read_receipt(written, "it")
    assert (read.statement.predicate, read.digest, read.signed) == (
        made(),
        sha256_of(written),
        None,
    )


def test_signing_changes_neither_the_statement_nor_its_digest() -> None:
    written = write_statement(made(), [DISK])
    read = read_receipt(sign_statement(written, holder("Signer").key), "it")
    assert read.digest == sha256_of(written)
    assert read.signed is not None
    assert read.statement.predicate == made()


TWICE = write_statement(made(), [DISK]).replace(b'"mode":', b'"mode":"none","mode":')
"""A statement of which one reader sees another mode than the next."""


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"{}", Malformed),
        (b"not json", Malformed),
        (write_statement(made(), []), Malformed),
        (write_statement(made(), [DISK]).replace(b"urn:regild:receipt:1", b"x"), UnsupportedFormat),
        (sign_bytes(b"{}", "application/x", holder("Signer").key), UnsupportedFormat),
        (TWICE, Malformed),
        (sign_statement(TWICE, holder("Signer").key), Malformed),
        (
            sign_statement(write_statement(made(), [DISK]), holder("Signer").key).replace(
                b'"signatures":', b'"signatures":[],"signatures":'
            ),
            Malformed,
        ),
    ],
)
def test_what_is_no_receipt_is_refused(content: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        read_receipt(content, "it")
