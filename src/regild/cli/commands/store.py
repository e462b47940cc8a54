"""`regild store` and `regild events`: the store itself, and what happened in it."""

from __future__ import annotations

from typing import Annotated

import typer

from regild.cli.options import Config, Debug, Json
from regild.cli.outcome import Outcome
from regild.cli.store_options import StorePlace

app = typer.Typer(help="The store: is it whole, how large is it.", rich_markup_mode=None)


@app.command()
def check(
    quick: Annotated[
        bool, typer.Option("--quick", help="Trust the bytes of packs that have their length.")
    ] = False,
    place: StorePlace = None,
    config: Config = None,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Read all that the store holds and name what is damaged, with the generations it hurts."""
    from regild.agent.keeping import lines
    from regild.agent.keeping.storing import open_store
    from regild.cli.progress import open_progress
    from regild.cli.store_text import check_text

    with open_store(place, config) as store, open_progress(live=not debug) as progress:
        answer = lines.check(store, progress, quick)
    return Outcome(
        answer=answer,
        text=lambda width: check_text(answer, width),
        complaints=lines.complaints_of(answer),
    )


@app.command()
def gc(
    place: StorePlace = None, config: Config = None, json: Json = False, debug: Debug = False
) -> Outcome:
    """Give up generations that retention lets go, and the bytes that nothing needs any more."""
    from regild.agent.keeping import lines
    from regild.agent.keeping.storing import open_store
    from regild.cli.store_text import collect_text

    with open_store(place, config) as store:
        answer = lines.gc(store)
    return Outcome(answer=answer, text=lambda width: collect_text(answer, width))


@app.command()
def stats(
    place: StorePlace = None, config: Config = None, json: Json = False, debug: Debug = False
) -> Outcome:
    """Say how much the store keeps, and how much of it is shared."""
    from regild.agent.keeping import lines
    from regild.agent.keeping.storing import open_store
    from regild.cli.store_text import stats_text

    with open_store(place, config) as store:
        answer = lines.stats(store)
    return Outcome(answer=answer, text=lambda width: stats_text(answer, width))


def events(
    subject: Annotated[
        str, typer.Argument(metavar="[OF]", help="Of this alone, such as web@7 or web@dev.")
    ] = "",
    limit: Annotated[
        int, typer.Option("--limit", min=1, metavar="N", help="The newest so many.")
    ] = 1000,
    place: StorePlace = None,
    config: Config = None,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """List what happened in the store, and who did it."""
    from regild.agent.keeping import lines
    from regild.agent.keeping.storing import open_store
    from regild.cli.store_text import events_text

    with open_store(place, config) as store:
        answer = lines.events(store, subject, limit)
    return Outcome(answer=answer, text=lambda width: events_text(answer, width))
