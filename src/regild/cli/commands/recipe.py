"""`regild recipe`: recipes looked at before they are used."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regild.cli.options import Debug, Json
from regild.cli.outcome import DONE, FOUND, Outcome

app = typer.Typer(help="Look at recipes for applications before they are used.")


@app.callback()
def recipe() -> None:
    """Look at recipes for applications before they are used."""


@app.command()
def check(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="Recipes, as NAME.recipe.toml.", show_default=False),
    ],
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Say all that is wrong in recipes, with line and reason, and the digest of each good one.

    Ends with 12 where one cannot be used. The digest is what a site lists under [recipes] allow.
    """
    from regild.agent.reading.recipes import check_files
    from regild.cli.errand_text import recipe_text

    answer = check_files(tuple(files))
    return Outcome(
        answer=answer,
        text=lambda width: recipe_text(answer, width),
        code=FOUND if any(one.faults for one in answer.files) else DONE,
    )
