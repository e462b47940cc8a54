"""Rows of figures as a Markdown table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.measure import Cost


@dataclass(frozen=True, slots=True)
class Row:
    """One way of doing it: what it cost and what is to be said of it."""

    name: str
    cost: Cost
    note: str


def table(rows: Sequence[Row]) -> list[str]:
    """The lines of a Markdown table: seconds, CPU seconds, peak memory."""
    head = ["| way | s | CPU s | peak MB | |", "|---|---:|---:|---:|---|"]
    return head + [
        f"| {row.name} | {row.cost.seconds:.2f} | {row.cost.cpu_seconds:.2f} "
        f"| {row.cost.peak_bytes / 1e6:.0f} | {row.note} |"
        for row in rows
    ]
