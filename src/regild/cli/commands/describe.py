"""`regild describe`: what is inside an image."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regild.cli.options import Debug, Json
from regild.cli.outcome import Outcome


def describe(
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGE...",
            help="An .ova, an .ovf, a folder with one .ovf, or a bare disk image.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="OUT", help="Write the image with its descriptor to OUT."
        ),
    ] = None,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Say what is inside: platform, packages, applications, sources, and what could not be read.

    Nothing is booted or mounted, and no root is needed.
    """
    raise NotImplementedError
