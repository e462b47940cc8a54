"""`regild resize`: the same image on a larger disk."""

from __future__ import annotations

from typing import Annotated

import typer

from regild.cli.options import Debug, Force, FormatOption, ImageHere, Json, Out, Scratch
from regild.cli.outcome import DONE, UNREAD, Outcome

Size = Annotated[
    str, typer.Argument(metavar="SIZE", help="What is added, such as +2G, or the whole, as 12G.")
]
MountOption = Annotated[
    str, typer.Option("--mount", metavar="PATH", help="What gets the room (default: the root).")
]


def resize(
    image: ImageHere,
    size: Size,
    output: Out,
    mount: MountOption = "/",
    form: FormatOption = None,
    scratch: Scratch = None,
    force: Force = False,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Make an image's disk larger, with its last partition and the ext filesystem in it.

    IMAGE is only read; OUT holds the same on a larger disk. Takes the package e2fsprogs.
    """
    from regild.agent.changing.resize import resize as resize_image
    from regild.cli.convert_text import resize_text
    from regild.cli.progress import open_progress

    with open_progress(live=not debug) as progress:
        answer = resize_image(
            image, size, output, progress, mount=mount, form=form, scratch=scratch, force=force
        )
    return Outcome(
        answer=answer,
        text=lambda width: resize_text(answer, width),
        code=UNREAD if answer.unknowns else DONE,
    )
