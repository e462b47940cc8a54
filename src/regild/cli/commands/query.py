"""`regild query`: which generations, channels, groups and instances hold what."""

from __future__ import annotations

from typing import Annotated

import typer

from regild.cli.options import Config, Debug, Json
from regild.cli.outcome import DONE, UNREAD, Outcome
from regild.cli.store_options import StorePlace


def query(
    question: Annotated[
        str,
        typer.Argument(
            metavar="QUESTION", help="Such as 'package:libssl3 < 3.0.17 and channel:production'."
        ),
    ],
    in_use: Annotated[
        bool, typer.Option("--in-use", help="Only what a channel points at or an instance runs.")
    ] = False,
    place: StorePlace = None,
    config: Config = None,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Say which generations fit a question, which channels point at them, and where they run.

    Terms are package:, source:, image:, channel:, group: and platform:, joined by 'and', with
    'not' before any. Versions compare in the order of each package's own family.
    """
    from regild.agent.keeping.storing import open_store
    from regild.cli.store_text import query_text
    from regild.model.question import read_question
    from regild.model.store_answers import QueryAnswer
    from regild.store.query import ask

    terms = read_question(question)
    with open_store(place, config) as store, store.catalogue.reading() as view:
        rows, unknowns = ask(view, terms, in_use=in_use)
    said = " and ".join(map(str, terms))
    answer = QueryAnswer(said, rows, unknowns)
    code = UNREAD if unknowns else DONE
    return Outcome(answer=answer, text=lambda width: query_text(answer, width), code=code)
