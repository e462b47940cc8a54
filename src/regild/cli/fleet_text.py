"""Many plans in one table, as text, CSV (RFC 4180) or Markdown."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from regild.cli.table import table
from regild.cli.text import plain
from regild.errors import RegildError
from regild.model.advisory import gravest
from regild.model.answers import PlanAnswer

Answers = Sequence[tuple[Path, PlanAnswer | RegildError]]

FORMS = ("table", "csv", "markdown")
HEAD = ("IMAGE", "PENDING", "SECURITY", "SEVERITY", "EXPLOITED", "HELD", "UNFIXED", "AGE", "STATE")
ACTIVE = ("=", "+", "-", "@", "\t")
"""Signs at which a spreadsheet takes a cell for a formula."""


def fleet_text(answers: Answers, form: str, width: int, now: datetime) -> str:
    """One row for each image, in their order; `now` is what the age in days is counted to."""
    rows = [_row(path, answer, now) for path, answer in answers]
    if form == "csv":
        return _csv(rows)
    if form == "markdown":
        return _markdown(rows)
    pending = sum(bool(one.steps) for _, one in answers if isinstance(one, PlanAnswer))
    failed = sum(isinstance(one, RegildError) for _, one in answers)
    said = f"{len(rows)} images, {pending} with changes to make"
    return "\n".join(
        [*table(HEAD, rows, width), "", said + (f", {failed} failed" if failed else "")]
    )


def _row(path: Path, answer: PlanAnswer | RegildError, now: datetime) -> tuple[str, ...]:
    if isinstance(answer, RegildError):
        return (str(path), *[""] * (len(HEAD) - 2), f"failed: {answer}")
    exploited = {cve for step in answer.steps for cve in step.exploited}
    return (
        f"{answer.image} {answer.system}".rstrip(),
        str(len(answer.steps)),
        str(sum(step.security for step in answer.steps)),
        gravest(tuple(step.severity for step in answer.steps)),
        str(len(exploited) or ""),
        str(len(answer.skipped) or ""),
        str(len(answer.unfixed)) if answer.advisories else "",
        _age(answer.created, now),
        _state(answer),
    )


def _age(created: str, now: datetime) -> str:
    """Whole days since an image was made."""
    try:
        return f"{(now - datetime.fromisoformat(created).astimezone(UTC)).days} d"
    except ValueError:
        return ""


def _state(answer: PlanAnswer) -> str:
    if answer.unknowns:
        return f"{len(answer.unknowns)} unknown"
    if answer.basis == "descriptor":
        return answer.descriptor.state if answer.descriptor else "claimed"
    return "changes" if answer.steps else "held" if answer.skipped else "current"


def _csv(rows: list[tuple[str, ...]]) -> str:
    out = io.StringIO()
    written = csv.writer(out, lineterminator="\n")
    written.writerow(name.lower() for name in HEAD)
    written.writerows([_inert(plain(cell)) for cell in row] for row in rows)
    return out.getvalue().rstrip("\n")


def _inert(cell: str) -> str:
    """A cell that no spreadsheet runs."""
    return f"'{cell}" if cell.startswith(ACTIVE) else cell


def _markdown(rows: list[tuple[str, ...]]) -> str:
    lines = [HEAD, ("---",) * len(HEAD), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(text: str) -> str:
    """Text that means nothing to Markdown but itself."""
    shown = plain(text)
    for sign in "\\|`*_[]<>":
        shown = shown.replace(sign, f"\\{sign}")
    return shown
