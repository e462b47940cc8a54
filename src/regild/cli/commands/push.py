"""`regild push` and `regild import`: generations to where others use them, and images back."""

from __future__ import annotations

from typing import Annotated

import typer

from regild.cli.options import Config, Debug, Json, Scratch
from regild.cli.outcome import Outcome
from regild.cli.store_options import GenerationName, StorePlace

Address = Annotated[
    str,
    typer.Argument(
        metavar="TARGET",
        help="A folder, s3://, oci://HOST/REPOSITORY, containerdisk://, glance:// or libvirt://.",
    ),
]


def push(
    generation: GenerationName,
    target: Address,
    scratch: Scratch = None,
    place: StorePlace = None,
    config: Config = None,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Put a generation where others use it; run again after an interruption, it goes on."""
    from regild.agent.keeping import pushing
    from regild.agent.keeping.storing import open_store
    from regild.cli.progress import open_progress
    from regild.cli.store_text import push_text
    from regild.model.generation import read_reference
    from regild.model.store_answers import PushAnswer
    from regild.publish.schemes import open_target

    reference, goal = read_reference(generation), open_target(target)
    with open_store(place, config) as store, open_progress(live=not debug) as progress:
        found, pushed = pushing.push(store, reference, goal, progress, scratch)
    answer = PushAnswer(found.name, pushed.where, pushed.digest, pushed.sent_bytes, pushed.notes)
    return Outcome(answer=answer, text=lambda width: push_text(answer, width))


def import_image(
    source: Address,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What of it: a tag, or a file.")],
    image: Annotated[str, typer.Option("--image", metavar="NAME", help="Whose next generation.")],
    channel: Annotated[
        str, typer.Option("--channel", metavar="NAME", help="Let this channel point at it.")
    ] = "",
    scratch: Scratch = None,
    place: StorePlace = None,
    config: Config = None,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Take an image from a target and keep it as the next generation of a line."""
    from regild.agent.keeping import pushing
    from regild.agent.keeping.storing import open_store
    from regild.cli.progress import open_progress
    from regild.cli.store_text import generation_text
    from regild.model.store_answers import GenerationAnswer
    from regild.publish.schemes import open_target

    origin = open_target(source)
    with open_store(place, config) as store, open_progress(live=not debug) as progress:
        made = pushing.bring(store, origin, name, image, progress, channel=channel, scratch=scratch)
    answer = GenerationAnswer(made)
    return Outcome(answer=answer, text=lambda width: generation_text(answer, width))
