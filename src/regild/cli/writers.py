"""How it is told what writes an image's volumes."""

from __future__ import annotations

from regild.model.plan import VolumeWriter


def writer_rows(writers: tuple[VolumeWriter, ...]) -> list[tuple[str, object]]:
    """The row of a summary, by what volumes are written; the usual one alone is not worth it."""
    if {one.by for one in writers} <= {"libext2fs"}:
        return []
    return [("Written by", [f"{one.by}: {one.filesystem} on {one.mount}" for one in writers])]
