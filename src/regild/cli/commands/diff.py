"""`regild diff`: what changed from one image to another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regild.cli.options import Debug, Follow, Json, KeyFile
from regild.cli.outcome import DONE, UNREAD, Outcome
from regild.cli.place import read_place


def diff(
    old: Annotated[
        Path, typer.Argument(metavar="OLD", help="The image before.", parser=read_place)
    ],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="The image after.", parser=read_place)],
    key_file: KeyFile = None,
    follow: Follow = None,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Say what changed from one image to another.

    It is told package by package. The CVE ids that an update fixed are those that the
    changelogs in the new image name.
    """
    from regild.agent.reading.diff import diff as diff_images
    from regild.cli.progress import open_progress
    from regild.cli.render import diff_text
    from regild.image.keys import read_keys

    keys = read_keys(key_file or ())
    with open_progress(live=not debug) as progress:
        answer = diff_images(old, new, progress, keys)
    return Outcome(
        answer=answer,
        text=lambda width: diff_text(answer, width),
        code=UNREAD if answer.unknowns else DONE,
    )
