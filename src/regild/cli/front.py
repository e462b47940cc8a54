"""The front door: `regild COMMAND`, each command in a file of its own under `commands/`.

Only their names are known here (`directory.py`), so that every command starts at once: its file is
loaded when it is asked for, and what it needs is imported when it runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from regild import __version__
from regild.cli.exits import conclude, read_wishes
from regild.cli.lazy import LazyGroup
from regild.cli.outcome import ASKED

app = typer.Typer(
    name="regild",
    cls=LazyGroup,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"regild {__version__}")
        raise typer.Exit


@app.callback()
def regild(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Keep golden virtual-machine images up to date while they are offline."""


def run(argv: Sequence[str]) -> int:
    """Run one command line and give its exit code; an empty one is a question for help."""
    args = list(argv) or ["--help"]
    ASKED.set(tuple(args))
    return conclude(
        lambda: app(args=args, prog_name="regild", standalone_mode=False), read_wishes(args)
    )
