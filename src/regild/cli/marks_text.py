"""What a plan changes in what counts as wished for, as a person reads it."""

from __future__ import annotations

from collections.abc import Sequence

from regild.model.plan import Mark

KINDS = (("Wished for", False, "from then on"), ("Automatic", True, "goes once nobody needs it"))


def mark_rows(marks: Sequence[Mark]) -> list[tuple[str, object]]:
    """The packages that count otherwise afterwards (apt-mark(8)), if there are any."""
    rows: list[tuple[str, object]] = []
    for title, auto, why in KINDS:
        if names := [one.name for one in marks if one.auto == auto]:
            rows.append((title, f"{', '.join(names)}: {why}"))
    return rows
