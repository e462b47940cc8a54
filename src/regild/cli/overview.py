"""Many images in one table, a line for each virtual system."""

from __future__ import annotations

from collections.abc import Sequence

from regild.cli.table import table
from regild.cli.text import plain
from regild.model.answers import DescribeAnswer


def overview_text(answers: Sequence[DescribeAnswer], width: int) -> str:
    """Platform, number of packages, descriptor and unknowns of each image."""
    rows = [
        (
            f"{one.image} {one.system}".rstrip() if one.form != "disk" else one.image,
            one.platform.name or f"{one.platform.id} {one.platform.version}".strip() or "unknown",
            one.platform.arch,
            len(one.packages),
            one.descriptor.state,
            len(one.unknowns) or "",
        )
        for one in answers
    ]
    head = ["IMAGE", "PLATFORM", "ARCH", "PACKAGES", "DESCRIPTOR", "UNKNOWN"]
    lines = table(head, rows, width)
    for one in answers:
        lines += [plain(f"{one.image}: {why.where}: {why.why}") for why in one.unknowns]
    return "\n".join(lines)
