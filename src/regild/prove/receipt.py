"""The receipt of a change: made from the plan and what was observed, written as an in-toto
Statement, and read again.

Source: in-toto Attestation Framework, Statement v1 and DSSE payload type. The statement's bytes are
canonical JSON; signed or not, the digest of these bytes names it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from regild.errors import Malformed, UnsupportedFormat
from regild.model.content import Content, Unknown
from regild.model.digest import Digest, canonical, sha256_of
from regild.model.dsse import SignedBytes, read_signed, sign_bytes
from regild.model.health import BootTest
from regild.model.json import from_json_once
from regild.model.plan import Errand, Plan, Step
from regild.model.receipt import (
    MediaRun,
    Receipt,
    ReceiptErrand,
    ReceiptPackage,
    Statement,
    Subject,
)

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "urn:regild:receipt:1"
PAYLOAD = "application/vnd.in-toto+json"
BYTES_MAX = 64 << 20


class ReadReceipt(msgspec.Struct, frozen=True):
    """A receipt's file, read; a signature is not checked yet."""

    statement: Statement
    digest: Digest
    """Of the statement's bytes."""
    signed: SignedBytes | None


def make_receipt(
    plan: Plan,
    observed: Content,
    *,
    carrier: str,
    checks: tuple[str, ...],
    tool: str,
    unchecked: tuple[Unknown, ...] = (),
    boot_test: BootTest | None = None,
    media_run: MediaRun | None = None,
    console: Digest | None = None,
) -> Receipt:
    """What was done and what held; equal inputs give an equal receipt, with no clock in it, as long
    as nothing was booted: no two boots say the same on their console."""
    return Receipt(
        plan=plan.id,
        base=plan.base,
        result=observed.state,
        carrier=carrier,
        checks=(*checks, *(_held(boot_test) if boot_test else ())),
        unknowns=observed.unknowns,
        unchecked=unchecked,
        mode=plan.mode,
        packages=tuple(_package(step) for step in plan.steps),
        skipped=plan.skipped,
        feeds=plan.feeds,
        tool=tool,
        unfixed=plan.unfixed,
        errands=tuple(map(_errand, plan.errands)),
        boot_test=boot_test,
        writers=plan.writers,
        media_run=media_run,
        console=console,
    )


def write_statement(receipt: Receipt, subjects: Iterable[tuple[str, tuple[Digest, ...]]]) -> bytes:
    """A receipt as a statement about some files, each with its digests."""
    told = tuple(Subject(name, _by_algorithm(digests)) for name, digests in subjects)
    return canonical(Statement(STATEMENT, told, PREDICATE, receipt)) + b"\n"


def sign_statement(statement: bytes, key: bytes) -> bytes:
    """A statement with a signature; `key` is a private key in PEM.

    Raises: as `sign_bytes`.
    """
    return sign_bytes(statement, PAYLOAD, key)


def read_receipt(content: bytes, where: str) -> ReadReceipt:
    """Read a receipt's file, a bare statement or a signed one.

    Raises: Malformed, TooLarge, UnsupportedFormat for a statement of another kind.
    """
    signed = read_signed(content, where) if b'"payloadType"' in content[:BYTES_MAX] else None
    if signed is not None and signed.kind != PAYLOAD:
        raise UnsupportedFormat(where=where, why=f"it is a signed {signed.kind[:80]}")
    payload = signed.payload if signed is not None else content
    statement = from_json_once(Statement, payload, where)
    if statement.kind != STATEMENT or statement.predicate_type != PREDICATE:
        why = f"it is a {statement.predicate_type[:80]!r}, not a receipt"
        raise UnsupportedFormat(where=where, why=why)
    if not statement.subject:
        raise Malformed(where=where, why="it speaks of no file")
    return ReadReceipt(statement, sha256_of(payload), signed)


def _held(boot: BootTest) -> Iterator[str]:
    """What a test boot has shown, a sentence each."""
    if boot.reached:
        yield f"it was booted by {boot.firmware} and reached {boot.reached}"
    for one in boot.met:
        yield f"it was booted and met {one.expected}"


def _by_algorithm(digests: Iterable[Digest]) -> dict[str, str]:
    """Digests as in-toto has them: digits by algorithm."""
    return dict(sorted((kind, digits) for kind, _, digits in (d.partition(":") for d in digests)))


def _errand(errand: Errand) -> ReceiptErrand:
    return ReceiptErrand(
        name=errand.name,
        commands=errand.commands,
        tests=errand.tests,
        changes=errand.changes,
        files={one.name: one.digest for one in errand.files},
        settings=errand.settings,
        recipe=errand.recipe,
        origin=errand.origin,
    )


def _package(step: Step) -> ReceiptPackage:
    return ReceiptPackage(
        action=step.action,
        name=step.name,
        arch=step.arch,
        was=step.was,
        becomes=step.becomes,
        method=step.method,
        archive=step.archive.digest if step.archive else None,
        fixes=step.fixes,
        evidence=step.evidence,
    )
