"""Options that the commands of the store share, spelled once."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from regild.errors import UsageError

StorePlace = Annotated[
    Path | None,
    typer.Option(
        "--store",
        metavar="DIR",
        help="The store's folder (default: [store] of regild.toml, REGILD_STORE, the user's own).",
    ),
]
GenerationName = Annotated[
    str,
    typer.Argument(
        metavar="GENERATION", help="IMAGE@NUMBER, IMAGE@CHANNEL, or IMAGE for its newest."
    ),
]
ImageName = Annotated[str, typer.Argument(metavar="IMAGE", help="The image's name.")]
ChannelName = Annotated[str, typer.Argument(metavar="CHANNEL", help="The channel's name.")]
Why = Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason, kept with it.")]


IN_STORE = "store:"


def name_in_store(image: Path, place: Path | None) -> str:
    """The name of a generation, where an image is one of the store: it says so, or a store is
    named beside it."""
    text = str(image)
    if text.startswith(IN_STORE):
        return text.removeprefix(IN_STORE)
    return text if place is not None else ""


def read_moment(text: str, now: datetime) -> datetime:
    """A date (its begin, UTC) or a moment of RFC 3339; an empty text is now.

    Raises: UsageError.
    """
    if not text:
        return now
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            return datetime.fromisoformat(text).replace(tzinfo=UTC)
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        what = f"{text}: a moment is 2026-12-01 or 2026-12-01T18:00:00+01:00 ({error})"
        raise UsageError(what=what) from error
    if moment.tzinfo is None:
        raise UsageError(what=f"{text}: a time needs its zone, such as Z or +01:00")
    return moment
