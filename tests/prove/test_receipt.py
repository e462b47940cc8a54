"""Receipts are deterministic and tell every package, its archive and every check."""

from __future__ import annotations

import json

from regild.model.content import Content, Platform, Unknown
from regild.model.digest import Digest
from regild.model.json import from_json
from regild.model.plan import Archive, Plan, Skipped, Step
from regild.model.receipt import Receipt
from regild.prove.receipt import make_receipt, write_receipt

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


def test_a_receipt_is_the_same_bytes_each_time_and_reads_back() -> None:
    written = write_receipt(made())
    assert written == write_receipt(made())
    assert from_json(Receipt, written) == made()
    assert json.loads(written)["packages"][0]["from"] == "3.0.14"
