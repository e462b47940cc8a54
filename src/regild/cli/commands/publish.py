"""`regild publish`, `promote`, `rollback`, `pin`, `revoke`, `restore` and `export`: what becomes of
generations."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from regild.cli.options import Config, Debug, Force, Image, Json
from regild.cli.outcome import Outcome
from regild.cli.store_options import ChannelName, GenerationName, StorePlace, Why, read_moment


def publish(
    file: Image,
    image: Annotated[str, typer.Option("--image", metavar="NAME", help="Whose next generation.")],
    parent: Annotated[
        str | None,
        typer.Option("--parent", metavar="GENERATION", help="What it was made from."),
    ] = None,
    channel: Annotated[
        str, typer.Option("--channel", metavar="NAME", help="Let this channel point at it.")
    ] = "",
    place: StorePlace = None,
    config: Config = None,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Keep a file in the store as the next generation of an image.

    What stands beside it and belongs to it (receipt, bill of materials, envelope) is kept too.
    """
    from regild.agent.keeping import publishing
    from regild.agent.keeping.storing import open_store
    from regild.cli.progress import open_progress
    from regild.cli.store_text import generation_text
    from regild.model.generation import read_reference
    from regild.model.store_answers import GenerationAnswer
    from regild.store.channels import find_channel

    source = read_reference(parent) if parent else None
    with open_store(place, config) as store, open_progress(live=not debug) as progress:
        made = publishing.publish(store, file, image, progress, parent=source, channel=channel)
        with store.catalogue.reading() as view:
            at = find_channel(view, image, channel) if channel else None
    answer = GenerationAnswer(made, channel=at)
    return Outcome(answer=answer, text=lambda width: generation_text(answer, width))


def promote(
    generation: GenerationName,
    channel: ChannelName,
    why: Why = "",
    place: StorePlace = None,
    config: Config = None,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Let a channel point at a generation; one that is revoked is refused."""
    from regild.agent.keeping.storing import open_store
    from regild.cli.store_text import channel_text
    from regild.model.generation import read_reference
    from regild.model.store_answers import ChannelAnswer
    from regild.store import channels

    reference = read_reference(generation)
    with open_store(place, config) as store, store.catalogue.writing(store.actor) as change:
        before = channels.find_channel(change, reference.image, channel).number
        answer = ChannelAnswer(channels.promote(change, reference, channel, why), before)
    return Outcome(answer=answer, text=lambda width: channel_text(answer, width))


def rollback(
    channel: Annotated[str, typer.Argument(metavar="IMAGE@CHANNEL", help="The channel.")],
    to: Annotated[
        int | None, typer.Option("--to", min=1, metavar="NUMBER", help="To this generation.")
    ] = None,
    why: Why = "",
    place: StorePlace = None,
    config: Config = None,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Let a channel point again at the good generation that it pointed at before."""
    from regild.agent.keeping.storing import open_store
    from regild.cli.store_text import channel_text
    from regild.errors import UsageError
    from regild.model.generation import read_reference
    from regild.model.store_answers import ChannelAnswer
    from regild.store import channels

    named = read_reference(channel)
    if not named.at or named.number is not None:
        raise UsageError(what=f"{channel} names no channel: say IMAGE@CHANNEL")
    with open_store(place, config) as store, store.catalogue.writing(store.actor) as change:
        before = channels.find_channel(change, named.image, named.at).number
        moved = channels.roll_back(change, named.image, named.at, to, why)
        answer = ChannelAnswer(moved, before)
    return Outcome(answer=answer, text=lambda width: channel_text(answer, width))


def pin(
    what: Annotated[
        str, typer.Argument(metavar="IMAGE@NUMBER|IMAGE@CHANNEL", help="What stays as it is.")
    ],
    off: Annotated[bool, typer.Option("--off", help="Let it go again.")] = False,
    place: StorePlace = None,
    config: Config = None,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Keep a generation whatever retention says, or a channel where it points."""
    from regild.agent.keeping import lines
    from regild.agent.keeping.storing import open_store
    from regild.cli.store_text import channel_text, generation_text
    from regild.model.generation import read_reference
    from regild.model.store_answers import ChannelAnswer

    with open_store(place, config) as store:
        answer = lines.pin(store, read_reference(what), not off)
    if isinstance(answer, ChannelAnswer):
        pinned = answer
        return Outcome(answer=pinned, text=lambda width: channel_text(pinned, width))
    kept = answer
    return Outcome(answer=kept, text=lambda width: generation_text(kept, width))


def revoke(
    generation: GenerationName,
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason, such as a CVE.")],
    at: Annotated[
        str, typer.Option("--at", metavar="DATE", help="From this date or moment on (now).")
    ] = "",
    place: StorePlace = None,
    config: Config = None,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Say that a generation, and all that descends from it, must not be used from a date on."""
    from regild.agent.keeping.storing import open_store
    from regild.cli.store_text import generation_text
    from regild.model.generation import read_reference
    from regild.model.store_answers import GenerationAnswer
    from regild.store import revocation

    moment = read_moment(at, datetime.now(UTC))
    with open_store(place, config) as store, store.catalogue.writing(store.actor) as change:
        found = revocation.revoke(change, read_reference(generation), moment, why)
        answer = GenerationAnswer(found, revocation.heirs(change, found))
    return Outcome(answer=answer, text=lambda width: generation_text(answer, width))


def restore(
    generation: GenerationName,
    why: Why = "",
    place: StorePlace = None,
    config: Config = None,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Take a revocation back."""
    from regild.agent.keeping.storing import open_store
    from regild.cli.store_text import generation_text
    from regild.model.generation import read_reference
    from regild.model.store_answers import GenerationAnswer
    from regild.store import revocation

    with open_store(place, config) as store, store.catalogue.writing(store.actor) as change:
        answer = GenerationAnswer(revocation.restore(change, read_reference(generation), why))
    return Outcome(answer=answer, text=lambda width: generation_text(answer, width))


def export(
    generation: GenerationName,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="Where it goes.")],
    force: Force = False,
    place: StorePlace = None,
    config: Config = None,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Write a generation out of the store, with every byte that was published."""
    from regild.agent.keeping import publishing
    from regild.agent.keeping.storing import open_store
    from regild.cli.progress import open_progress
    from regild.cli.store_text import export_text
    from regild.model.answers import Output
    from regild.model.digest import hex_of
    from regild.model.generation import read_reference
    from regild.model.store_answers import ExportAnswer

    with open_store(place, config) as store, open_progress(live=not debug) as progress:
        found, paths = publishing.export(
            store, read_reference(generation), output, progress, force=force
        )
    outputs = tuple(
        Output(str(path), hex_of(file.digest), file.bytes)
        for file, path in zip(found.files, paths, strict=True)
    )
    answer = ExportAnswer(found.name, outputs)
    return Outcome(answer=answer, text=lambda width: export_text(answer, width))
