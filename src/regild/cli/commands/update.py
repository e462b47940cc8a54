"""`regild update`: the whole trip, from an outdated image to a proven, up-to-date one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regild.cli.options import (
    Allow,
    Cache,
    Config,
    Debug,
    Force,
    Hold,
    Image,
    Json,
    Mirror,
    ModeOption,
    Offline,
)
from regild.cli.outcome import DONE, UNREAD, Outcome
from regild.errors import UsageError

FORMATS = ("ova", "ovf", "vmdk", "qcow2", "raw")


def update(
    image: Image,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="OUT", help="Where the new image goes.")
    ],
    mode: ModeOption = None,
    mirror: Mirror = None,
    offline: Offline = None,
    allow: Allow = None,
    hold: Hold = None,
    config: Config = None,
    cache: Cache = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="|".join(FORMATS),
            help="The form of OUT (default: the same as IMAGE).",
        ),
    ] = None,
    scratch: Annotated[
        Path | None,
        typer.Option("--scratch", metavar="DIR", help="Where to work (default: beside OUT)."),
    ] = None,
    timeout_seconds: Annotated[
        int,
        typer.Option(
            "--timeout", metavar="SECONDS", min=1, help="How long the package scripts may take."
        ),
    ] = 1800,
    force: Force = False,
    keep_job: Annotated[
        bool, typer.Option("--keep-job", help="Keep the job's folder with its logs.")
    ] = False,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Plan, change offline, describe again, check, and write the new image with its descriptor.

    IMAGE is never written to. OUT appears only when everything was proven.
    """
    from regild.agent.site import read_site, with_options
    from regild.agent.update import update as update_image
    from regild.cli.progress import open_progress
    from regild.cli.render import update_text

    if form is not None and form not in FORMATS:
        raise UsageError(what=f"--format is {', '.join(FORMATS)}, not {form}")
    site = with_options(
        read_site(config),
        mode=mode,
        mirror=mirror or (),
        offline=offline,
        allow=allow or (),
        hold=hold or (),
        cache=cache,
    )
    with open_progress(live=not debug) as progress:
        answer = update_image(
            image,
            output,
            site,
            progress,
            form=form,
            scratch=scratch,
            timeout_seconds=timeout_seconds,
            force=force,
            keep_job=keep_job,
        )
    return Outcome(
        answer=answer,
        text=lambda width: update_text(answer, width),
        code=UNREAD if answer.unknowns else DONE,
    )
