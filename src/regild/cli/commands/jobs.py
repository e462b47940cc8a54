"""`regild jobs`: updates that were ended before they were done."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from regild.cli.options import Debug, Json, Scratch
from regild.cli.outcome import Outcome

jobs = typer.Typer(
    name="jobs",
    help="Updates that were ended before they were done: list them, go on, or take them away.",
    rich_markup_mode=None,
)
Name = Annotated[str, typer.Argument(metavar="NAME", help="As `regild jobs list` names it.")]
Names = Annotated[
    list[str] | None, typer.Argument(metavar="[NAME]...", help="Those to remove; none: all.")
]


@jobs.command("list")
def list_(scratch: Scratch = None, json: Json = False, debug: Debug = False) -> Outcome:
    """List the jobs: how far each came, and whether it can go on from there."""
    from regild.agent.changing.jobs import list_jobs
    from regild.cli.render import jobs_text

    answer = list_jobs(scratch)
    return Outcome(answer=answer, text=lambda width: jobs_text(answer, width))


@jobs.command("clean")
def clean(
    names: Names = None, scratch: Scratch = None, json: Json = False, debug: Debug = False
) -> Outcome:
    """Remove jobs and their logs. One that is at work stays."""
    from regild.agent.changing.jobs import clean_jobs
    from regild.cli.render import jobs_text

    answer = clean_jobs(scratch, tuple(names or ()))
    return Outcome(answer=answer, text=lambda width: jobs_text(answer, width, removed=True))


@jobs.command("resume")
def resume(name: Name, scratch: Scratch = None, json: Json = False, debug: Debug = False) -> Any:
    """Run a job's command again, in its folder; what it had done is not done twice.

    Package scripts run again only where they had not come to their end.
    """
    from regild.agent.changing.jobs import find_job
    from regild.cli.front import app

    journal = find_job(name, scratch)
    os.chdir(journal.folder)
    return app(args=list(journal.argv), prog_name="regild", standalone_mode=False)
