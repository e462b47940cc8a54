"""Trying the rules on a package."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path

from regild.errors import RegildError, UsageError
from regild.model.finding import Finding
from regild.ovf.lint.survey import Survey
from regild.ovf.lint.table import RULES, TARGETS

SHOWN = 20
"""So many places of one rule are told; a hostile package could have a million."""


def wanted_targets(text: str) -> tuple[str, ...]:
    """The targets of a list with commas between them, in the table's order; empty: all.

    Raises: UsageError.
    """
    asked = {one.strip() for one in text.split(",") if one.strip()}
    strange = sorted(asked - set(TARGETS))
    if strange:
        raise UsageError(what=f"{strange[0]} is no target; choose from {', '.join(TARGETS)}")
    return tuple(one for one in TARGETS if one in asked or not asked)


def unreadable(path: Path, error: RegildError, targets: Iterable[str]) -> Finding:
    """The one finding of a package whose archive or envelope cannot be read at all."""
    return Finding(
        rule="unreadable",
        targets=tuple(targets),
        where=path.name,
        what="the package cannot be read",
        detail=str(error),
        why="no consumer gets further than this",
        fix=error.advice,
    )


def check_package(survey: Survey, targets: Iterable[str] = TARGETS) -> tuple[Finding, ...]:
    """What the given consumers would trip over, in the order of the table."""
    asked = tuple(targets)
    return tuple(
        Finding(
            rule=rule.id,
            targets=tripped,
            where=where,
            what=rule.what,
            detail=detail,
            why=rule.why,
            fix=rule.fix,
            safe=rule.safe,
        )
        for rule in RULES
        if (tripped := tuple(one for one in asked if one in rule.targets))
        for where, detail in itertools.islice(rule.check(survey), SHOWN)
    )
