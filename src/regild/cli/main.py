"""The front door: `regild COMMAND`, each command in a file of its own under `commands/`.

Only names and help texts are loaded here, so that `regild --help` answers at once; what a command
needs is imported when it runs.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from regild import __version__
from regild.cli.commands.agent import app as agent_app
from regild.cli.commands.agent import approve
from regild.cli.commands.boot_test import boot_test
from regild.cli.commands.browse import cat, cp, ls
from regild.cli.commands.conformance import conformance
from regild.cli.commands.convert import convert
from regild.cli.commands.describe import describe
from regild.cli.commands.diff import diff
from regild.cli.commands.feeds import feeds
from regild.cli.commands.fleet import app as fleet_app
from regild.cli.commands.group import app as group_app
from regild.cli.commands.group import freeze_app
from regild.cli.commands.image import app as image_app
from regild.cli.commands.image import generation_app
from regild.cli.commands.instance import app as instance_app
from regild.cli.commands.jobs import jobs
from regild.cli.commands.lint import lint
from regild.cli.commands.plan import plan
from regild.cli.commands.prove import prove
from regild.cli.commands.publish import (
    export,
    pin,
    promote,
    publish,
    restore,
    revoke,
    rollback,
)
from regild.cli.commands.push import import_image, push
from regild.cli.commands.query import query
from regild.cli.commands.recipe import app as recipe_app
from regild.cli.commands.resize import resize
from regild.cli.commands.respond import respond
from regild.cli.commands.run import run as run_command
from regild.cli.commands.sign import sign
from regild.cli.commands.store import app as store_app
from regild.cli.commands.store import events
from regild.cli.commands.update import update
from regild.cli.commands.verify import verify
from regild.cli.exits import conclude, read_wishes
from regild.cli.outcome import ASKED

app = typer.Typer(
    name="regild",
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


for command in (describe, plan, update, prove, verify, diff, lint, sign, ls, cat, cp, conformance):
    app.command()(command)
app.command("run")(run_command)
app.add_typer(recipe_app, name="recipe")
app.command("boot-test")(boot_test)
app.command()(convert)
app.command()(resize)
app.add_typer(feeds, name="feeds")
app.add_typer(jobs, name="jobs")
for kept in (publish, promote, rollback, pin, revoke, restore, export, query, events):
    app.command()(kept)
app.command()(push)
app.command()(approve)
app.command()(respond)
app.command("import")(import_image)
for name, group in (
    ("image", image_app),
    ("generation", generation_app),
    ("store", store_app),
    ("fleet", fleet_app),
    ("group", group_app),
    ("instance", instance_app),
    ("freeze", freeze_app),
    ("agent", agent_app),
):
    app.add_typer(group, name=name)


def run(argv: Sequence[str]) -> int:
    """Run one command line and give its exit code; an empty one is a question for help."""
    args = list(argv) or ["--help"]
    ASKED.set(tuple(args))
    return conclude(
        lambda: app(args=args, prog_name="regild", standalone_mode=False), read_wishes(args)
    )


def main() -> None:
    """Run regild on the process's own command line."""
    sys.exit(run(sys.argv[1:]))
