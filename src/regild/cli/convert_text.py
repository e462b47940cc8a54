"""What `convert` and `resize` wrote, as a person reads it."""

from __future__ import annotations

from regild.cli.progress import bytes_text
from regild.cli.table import pairs, table
from regild.model.form import ConvertAnswer, ResizeAnswer


def convert_text(answer: ConvertAnswer, width: int) -> str:
    """Which disks were written in which form, and where."""
    rows = [
        (one.name, one.was, one.becomes, bytes_text(one.bytes), one.virtual) for one in answer.disks
    ]
    written = [("Output", f"{answer.output.path}, {bytes_text(answer.output.bytes)}")]
    unread = [(one.where, one.why) for one in answer.unknowns]
    blocks = [
        table(["DISK", "WAS", "IS", "SIZE", "HOLDS"], rows, width),
        pairs(written, width),
        table(["UNREAD", "WHY"], unread, width),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def resize_text(answer: ResizeAnswer, width: int) -> str:
    """What is larger now, and where it was written."""
    rows = [
        ("disk", bytes_text(answer.disk_was), bytes_text(answer.disk_becomes)),
        (answer.mount, bytes_text(answer.volume_was), bytes_text(answer.volume_becomes)),
    ]
    written = [("Output", f"{answer.output.path}, {bytes_text(answer.output.bytes)}")]
    unread = [(one.where, one.why) for one in answer.unknowns]
    blocks = [
        table(["WHAT", "WAS", "IS"], rows, width),
        pairs(written, width),
        table(["UNREAD", "WHY"], unread, width),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)
