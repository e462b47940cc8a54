"""`regild describe`: what is inside an image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from regild.cli.options import Debug, Force, Json
from regild.cli.outcome import DONE, UNREAD, Outcome
from regild.errors import RegildError, UsageError

if TYPE_CHECKING:
    from regild.model.answers import DescribeAnswer
    from regild.model.progress import Progress

SBOMS = ("sidecar", "none")


def describe(
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGE...",
            help="An .ova, an .ovf, a folder with one .ovf, or a bare disk image.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="OUT", help="Write the image with its descriptor to OUT."
        ),
    ] = None,
    sbom: Annotated[
        str,
        typer.Option(
            "--sbom", metavar="sidecar|none", help="Write a CycloneDX SBOM beside OUT, or none."
        ),
    ] = "sidecar",
    force: Force = False,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Say what is inside an image, and what could not be read.

    Platform, packages, applications, update sources and how far its descriptor can be believed.
    Nothing is booted or mounted, and no root is needed. With -o, the same is written into the
    OVF as a content descriptor; the disk's bytes stay as they are.
    """
    from regild.cli.progress import open_progress

    if sbom not in SBOMS:
        raise UsageError(what=f"--sbom is {' or '.join(SBOMS)}, not {sbom}")
    if output is not None and len(images) != 1:
        raise UsageError(what="-o takes one image")
    with open_progress(live=not debug) as progress:
        if output is not None:
            from regild.agent.inscribe import inscribe

            answers = (inscribe(images[0], output, sbom == "sidecar", force, progress),)
            return _outcome(list(answers), ())
        return _described(images, progress)


def _described(images: list[Path], progress: Progress) -> Outcome:
    """Describe each image; one that cannot be read does not keep the others from it."""
    from regild.agent.describe import describe as describe_image

    answers: list[DescribeAnswer | RegildError] = []
    for image in images:
        try:
            answers.extend(describe_image(image, progress))
        except RegildError as error:
            if len(images) == 1:
                raise
            answers.append(error)
    return _outcome(answers, tuple(one for one in answers if isinstance(one, RegildError)))


def _outcome(
    answers: list[DescribeAnswer | RegildError], complaints: tuple[RegildError, ...]
) -> Outcome:
    """One answer stands alone in JSON; several, or one of several systems, stand in an array."""
    from regild.cli.exits import failure_of
    from regild.cli.render import describe_text

    good = [one for one in answers if not isinstance(one, RegildError)]
    shown: list[Any] = [
        {"error": failure_of(one)} if isinstance(one, RegildError) else one for one in answers
    ]
    return Outcome(
        answer=shown[0] if len(shown) == 1 else shown,
        text=lambda width: "\n\n\n".join(describe_text(one, width) for one in good),
        code=UNREAD if any(one.unknowns for one in good) else DONE,
        complaints=complaints,
    )
