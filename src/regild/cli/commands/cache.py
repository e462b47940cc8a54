"""`regild cache`: what was fetched, and what was made of it once for all images."""

from __future__ import annotations

from typing import Annotated

import typer

from regild.cli.options import Cache, Config, Debug, Json, wanted_site
from regild.cli.outcome import Outcome
from regild.errors import UsageError

app = typer.Typer(
    help="What was fetched, and what was made of it once for all images: show, clean.",
    rich_markup_mode=None,
)
Unused = Annotated[
    float | None,
    typer.Option(
        "--unused",
        min=0,
        metavar="DAYS",
        help="Remove what was not used for so many days, indexes too.",
        show_default=False,
    ),
]
All = Annotated[bool, typer.Option("--all", help="Remove everything, indexes too.")]


@app.command()
def show(
    config: Config = None, cache: Cache = None, json: Json = False, debug: Debug = False
) -> Outcome:
    """Say what lies in the cache, how much of it, and since when it was not used."""
    from regild.agent.planning.cleaning import show_cache
    from regild.cli.feeds_text import cache_text

    site = wanted_site(config, None, None, None, None, None, cache)
    answer = show_cache(site)
    return Outcome(answer=answer, text=lambda width: cache_text(answer, width))


@app.command()
def clean(
    unused: Unused = None,
    all: All = False,
    config: Config = None,
    cache: Cache = None,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Bring the cache within the site's bounds now, or remove more of it.

    What is removed is fetched or made again when it is asked for; what was seen of repositories
    last is kept, so that none can go back in time. While another regild works with the cache
    nothing is removed.
    """
    from regild.agent.planning.cleaning import clean_cache
    from regild.cli.feeds_text import cache_text

    if all and unused is not None:
        raise UsageError(what="--all and --unused contradict")
    answer = clean_cache(wanted_site(config, None, None, None, None, None, cache), unused, all)
    return Outcome(answer=answer, text=lambda width: cache_text(answer, width, removed=True))
