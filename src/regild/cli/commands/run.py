"""`regild run`: somebody's own command in an image, recorded, judged and proven."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from regild.cli.commands.update import TIMEOUT_SECONDS, ended, key_of
from regild.cli.options import (
    Allow,
    Cache,
    Config,
    Debug,
    Force,
    FormatOption,
    ImageHere,
    Json,
    KeepJob,
    Mirror,
    Offline,
    Out,
    RecipeFiles,
    Scratch,
    SignReceipt,
    Timeout,
    wanted_site,
)
from regild.cli.outcome import ASKED, Outcome
from regild.errors import UsageError

if TYPE_CHECKING:
    from regild.model.plan import Errand

Command = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[-- COMMAND...]", help="A program of the guest and its words, behind --."
    ),
]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--changes",
        metavar="PATH",
        help="COMMAND may change files below this path only; may be repeated.",
    ),
]
Packages = Annotated[
    bool,
    typer.Option("--packages", help="COMMAND may change packages; the receipt lists which."),
]
Tests = Annotated[
    list[str] | None,
    typer.Option(
        "--test",
        metavar="COMMAND",
        help="A shell command that must end with 0 afterwards; may be repeated.",
    ),
]


def run(
    image: ImageHere,
    output: Out,
    command: Command = None,
    recipe: RecipeFiles = None,
    changes: Changes = None,
    packages: Packages = False,
    test: Tests = None,
    mirror: Mirror = None,
    offline: Offline = None,
    allow: Allow = None,
    config: Config = None,
    cache: Cache = None,
    form: FormatOption = None,
    scratch: Scratch = None,
    timeout_seconds: Timeout = TIMEOUT_SECONDS,
    sign_receipt: SignReceipt = None,
    force: Force = False,
    keep_job: KeepJob = False,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Run a command of the guest, or a recipe, in an image, and write it anew.

    It runs apart, without network, over the guest's files; all that it changes is recorded, judged
    and proven, and the receipt names it. IMAGE is never written to. OUT appears only when all held.
    """
    from regild.agent.changing.running import run as run_in
    from regild.agent.changing.update import Manner
    from regild.cli.progress import open_progress
    from regild.cli.render import update_text

    site = wanted_site(config, None, mirror, offline, allow, None, cache, recipes=recipe)
    errand = _errand(command, changes, packages, test)
    if errand is None and not recipe:
        raise UsageError(what="say what to run: a recipe with --recipe FILE, or -- COMMAND")
    key = key_of(sign_receipt)
    manner = Manner(form, scratch, timeout_seconds, force, keep_job, key, ASKED.get())
    with open_progress(live=not debug) as progress:
        answer = run_in(image, output, site, progress, manner, errand)
    return Outcome(answer=answer, text=lambda width: update_text(answer, width), code=ended(answer))


def _errand(
    command: list[str] | None, changes: list[str] | None, packages: bool, test: list[str] | None
) -> Errand | None:
    """What the command line wants run; None where that is only recipes.

    Raises: UsageError.
    """
    from regild.agent.changing.running import NAME
    from regild.model.plan import Errand
    from regild.model.recipe_rules import is_guest_path

    if not command:
        if changes or packages:
            raise UsageError(what="--changes and --packages are for a COMMAND behind --")
        tests = tuple(("sh", "-ec", one) for one in test or ())
        return Errand(NAME, tests=tests, origin="command line") if tests else None
    for path in changes or ():
        if not is_guest_path(path):
            raise UsageError(what=f"--changes is a path from the guest's root, not {path!r}")
    return Errand(
        NAME,
        commands=(tuple(command),),
        tests=tuple(("sh", "-ec", one) for one in test or ()),
        changes=tuple(one.rstrip("/") for one in changes or ()),
        origin="command line",
        packages=packages,
    )
