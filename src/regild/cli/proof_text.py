"""How a test boot went, as a person reads it."""

from __future__ import annotations

from regild.cli.table import pairs, table
from regild.cli.text import plain
from regild.model.health import BootTest, BootTestAnswer


def boot_test_text(answer: BootTestAnswer, width: int) -> str:
    """How the guest was, what was expected of it, and where the evidence lies."""
    summary = [*boot_rows(answer.boot)]
    kept = [("Console", answer.console), ("Screen", answer.screenshot)]
    summary += [(name, place) for name, place in kept if place]
    rows = [
        (str(one.expected), "held" if one.held else "broken", one.why) for one in answer.boot.met
    ]
    asked = table(["EXPECTED", "STATE", "WHY"], rows, width)
    blocks = [[plain(answer.image)], pairs(summary, width), asked]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def boot_rows(boot: BootTest) -> list[tuple[str, object]]:
    """The rows of a summary that tell of a test boot."""
    reached = f"{boot.reached}, {boot.state}" if boot.reached else "not asked from inside"
    rows: list[tuple[str, object]] = [
        ("Reached", reached),
        ("Machine", f"{boot.firmware}, disks on {boot.bus}, network card {boot.nic}"),
        ("Failed", list(boot.failed)),
        ("Unasked", [f"{one.where}: {one.why}" for one in boot.unasked]),
    ]
    return [row for row in rows if row[1]]
