"""`regild convert`: the same image in another form."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regild.cli.options import FORMATS, Debug, Force, Image, Json
from regild.cli.outcome import DONE, UNREAD, Outcome

To = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="|".join(FORMATS),
        help="The form of OUT: a package, or a bare disk with its envelope beside it.",
    ),
]
DiskFormat = Annotated[
    str | None,
    typer.Option(
        "--disk-format",
        metavar="|".join(FORMATS[2:]),
        help="The form of the disks in a package (default: vmdk-stream).",
    ),
]


def convert(
    image: Image,
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Where the new image goes.")],
    form: To,
    disk_format: DiskFormat = None,
    force: Force = False,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Write an image in another form; what its disks hold stays the same, and is checked.

    Descriptor, manifest and bill of materials are written anew. IMAGE is only read. VHD and VHDX
    take the package qemu-utils.
    """
    from regild.agent.writing.convert import convert as convert_image
    from regild.cli.convert_text import convert_text
    from regild.cli.progress import open_progress

    with open_progress(live=not debug) as progress:
        answer = convert_image(image, output, form, progress, disk_form=disk_format, force=force)
    return Outcome(
        answer=answer,
        text=lambda width: convert_text(answer, width),
        code=UNREAD if answer.unknowns else DONE,
    )
