"""The receipt of a change: made from the plan and what was observed, written as canonical JSON."""

from __future__ import annotations

from regild.model.content import Content, Unknown
from regild.model.digest import canonical
from regild.model.plan import Plan, Step
from regild.model.receipt import Receipt, ReceiptPackage


def make_receipt(
    plan: Plan,
    observed: Content,
    *,
    carrier: str,
    checks: tuple[str, ...],
    tool: str,
    unchecked: tuple[Unknown, ...] = (),
) -> Receipt:
    """What was done and what held; equal inputs give an equal receipt, with no clock in it."""
    return Receipt(
        plan=plan.id,
        base=plan.base,
        result=observed.state,
        carrier=carrier,
        checks=checks,
        unknowns=observed.unknowns,
        unchecked=unchecked,
        mode=plan.mode,
        packages=tuple(_package(step) for step in plan.steps),
        skipped=plan.skipped,
        feeds=plan.feeds,
        tool=tool,
    )


def write_receipt(receipt: Receipt) -> bytes:
    """The receipt as JSON bytes with sorted keys; their digest names it."""
    return canonical(receipt) + b"\n"


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
