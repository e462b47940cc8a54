"""`regild image` and `regild generation`: the lines that the store keeps."""

from __future__ import annotations

from typing import Annotated

import typer

from regild.cli.options import Config, Debug, Json
from regild.cli.outcome import Outcome
from regild.cli.store_options import ImageName, StorePlace

app = typer.Typer(help="Golden images: lines of generations.", rich_markup_mode=None)
generation_app = typer.Typer(help="Published versions of images.", rich_markup_mode=None)

KeepDays = Annotated[
    int, typer.Option("--keep-days", min=0, metavar="N", help="Keep younger ones too.")
]


@app.command()
def add(
    image: ImageName,
    about: Annotated[str, typer.Option("--about", help="What it is for, in a few words.")] = "",
    channel: Annotated[
        list[str] | None,
        typer.Option("--channel", metavar="NAME", help="Its channels, first to last."),
    ] = None,
    keep: Annotated[
        int, typer.Option("--keep", min=0, metavar="N", help="Generations to keep; 0 for all.")
    ] = 10,
    keep_days: KeepDays = 0,
    place: StorePlace = None,
    config: Config = None,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Begin a golden image; its channels are dev, canary and production unless said otherwise."""
    from regild.agent.keeping import lines
    from regild.agent.keeping.storing import open_store
    from regild.cli.store_text import image_text
    from regild.model.generation import Retention

    with open_store(place, config) as store:
        kept = Retention(keep, keep_days)
        answer = lines.add(store, image, about, tuple(channel or ()), kept)
    return Outcome(answer=answer, text=lambda width: image_text(answer, width))


@app.command()
def keep(
    image: ImageName,
    generations: Annotated[
        int, typer.Argument(min=0, metavar="N", help="Generations to keep; 0 for all.")
    ],
    keep_days: KeepDays = 0,
    place: StorePlace = None,
    config: Config = None,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Say anew how many old generations stay; regild store gc lets go of the others."""
    from regild.agent.keeping import lines
    from regild.agent.keeping.storing import open_store
    from regild.cli.store_text import image_text
    from regild.model.generation import Retention

    with open_store(place, config) as store:
        answer = lines.keep(store, image, Retention(generations, keep_days))
    return Outcome(answer=answer, text=lambda width: image_text(answer, width))


@app.command("list")
def list_images(
    place: StorePlace = None, config: Config = None, json: Json = False, debug: Debug = False
) -> Outcome:
    """List every golden image with where its channels point."""
    from regild.agent.keeping import lines
    from regild.agent.keeping.storing import open_store
    from regild.cli.store_text import images_text

    with open_store(place, config) as store:
        answer = lines.all_images(store)
    return Outcome(answer=answer, text=lambda width: images_text(answer, width))


@app.command()
def show(
    image: ImageName,
    place: StorePlace = None,
    config: Config = None,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Show one golden image: its channels, its generations and their state."""
    from regild.agent.keeping import lines
    from regild.agent.keeping.storing import open_store
    from regild.cli.store_text import image_text

    with open_store(place, config) as store:
        answer = lines.show(store, image)
    return Outcome(answer=answer, text=lambda width: image_text(answer, width))


@generation_app.command("list")
def list_generations(
    image: Annotated[str, typer.Argument(metavar="[IMAGE]", help="Of this image alone.")] = "",
    place: StorePlace = None,
    config: Config = None,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """List generations, oldest first."""
    from regild.agent.keeping import lines
    from regild.agent.keeping.storing import open_store
    from regild.cli.store_text import generations_text

    with open_store(place, config) as store:
        answer = lines.generations(store, image)
    return Outcome(answer=answer, text=lambda width: generations_text(answer, width))
