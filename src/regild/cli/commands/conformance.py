"""`regild conformance`: does regild say of a kit's packages what the kit expects."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regild.cli.options import Debug, Json
from regild.cli.outcome import DONE, FOUND, Outcome


def conformance(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="A kit, made by docs/spec/conformance/make_kit.py."),
    ],
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Read every package of a conformance kit and compare with what the kit expects.

    Ends with 12 where one is not judged as expected.
    """
    from regild.agent.reading.conformance import try_kit
    from regild.cli.progress import open_progress
    from regild.cli.render import conformance_text

    with open_progress(live=not debug) as progress:
        answer = try_kit(folder, progress)
    return Outcome(
        answer=answer,
        text=lambda width: conformance_text(answer, width),
        code=FOUND if answer.failed else DONE,
    )
