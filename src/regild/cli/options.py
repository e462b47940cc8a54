"""Options that several commands share, spelled once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[
    bool, typer.Option("--json", help="Print the answer as JSON (schemas: docs/spec/schemas).")
]
"""Declared for the help and the parser; `regild.cli.exits` reads it before parsing."""

Debug = Annotated[
    bool, typer.Option("--debug", help="Show every command that is run, and tracebacks.")
]
"""Declared like `Json`; `regild.cli.exits` acts on it."""

Image = Annotated[
    Path,
    typer.Argument(
        metavar="IMAGE", help="An .ova, an .ovf, a folder with one .ovf, or a bare disk image."
    ),
]

ModeOption = Annotated[
    str | None,
    typer.Option(
        "--mode",
        metavar="upgrade|security|full",
        help="upgrade (the default): new packages allowed, none removed; security: only security "
        "updates and what they need; full: removals allowed.",
    ),
]
Mirror = Annotated[
    list[str] | None,
    typer.Option(
        "--mirror", metavar="FROM=TO", help="Fetch TO where the image's sources say FROM."
    ),
]
Offline = Annotated[
    Path | None,
    typer.Option(
        "--offline", metavar="DIR", help="Take repositories from this folder, not from the network."
    ),
]
Allow = Annotated[
    list[str] | None,
    typer.Option("--allow", metavar="HOST", help="Allow a private or local address."),
]
Hold = Annotated[
    list[str] | None, typer.Option("--hold", metavar="NAME", help="Leave this package as it is.")
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="The site's regild.toml (default: ./regild.toml if any)."
    ),
]
Cache = Annotated[
    Path | None,
    typer.Option("--cache", metavar="DIR", help="Where indexes and packages are kept."),
]

Force = Annotated[bool, typer.Option("--force", help="Replace OUT if it is there already.")]
