"""`regild lint`: what the consumers of OVF would trip over."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regild.cli.options import Debug, Force, Json
from regild.cli.outcome import DONE, FOUND, Outcome
from regild.cli.place import read_place
from regild.errors import UsageError


def lint(
    package: Annotated[
        Path,
        typer.Argument(
            metavar="PACKAGE",
            help="An .ova, an .ovf or a folder with one .ovf; or the address of an .ova.",
            parser=read_place,
        ),
    ],
    target: Annotated[
        str,
        typer.Option(
            "--target",
            metavar="NAME,...",
            help="Only for these: vsphere, virtualbox, virt-v2v, proxmox, xenserver, "
            "xen-orchestra, ovirt, glance, forklift, harvester (default: all).",
        ),
    ] = "",
    fix: Annotated[
        bool, typer.Option("--fix", help="Write the package anew to OUT, safe faults put right.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="OUT", help="Where --fix writes: OUT.ova or a folder."
        ),
    ] = None,
    force: Force = False,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Say what consumers would trip over.

    Each finding comes with whom it trips, why, and what helps. Disks are not read, and a bare .ovf
    will do. Ends with 12 when there are findings.
    """
    from regild.agent.writing import lint as agent
    from regild.cli.progress import open_progress
    from regild.cli.render import lint_text
    from regild.ovf.lint.check import wanted_targets

    if fix != (output is not None):
        raise UsageError(what="--fix and -o OUT belong together: the package itself stays as it is")
    targets = wanted_targets(target)
    with open_progress(live=not debug) as progress:
        if output is None:
            answer = agent.lint(package, targets)
        else:
            answer = agent.fix(package, targets, output, force, progress)
    return Outcome(
        answer=answer,
        text=lambda width: lint_text(answer, width),
        code=FOUND if answer.findings else DONE,
    )
