"""What the commands of the store answer; the contract of their `--json`."""

from __future__ import annotations

from regild.model.answers import Output, UpdateAnswer
from regild.model.content import Unknown, Value
from regild.model.digest import Digest
from regild.model.generation import Channel, Generation, GoldenImage
from regild.model.job import Event


class ImagesAnswer(Value, frozen=True):
    """`regild image list`: every image with where its channels point."""

    images: tuple[ImageAnswer, ...]


class ImageAnswer(Value, frozen=True):
    """`regild image add` and `show`: one image, its channels and its generations."""

    image: GoldenImage
    channels: tuple[Channel, ...] = ()
    generations: tuple[Generation, ...] = ()


class GenerationsAnswer(Value, frozen=True):
    """`regild generation list`: generations, oldest first."""

    generations: tuple[Generation, ...]


class GenerationAnswer(Value, frozen=True):
    """`regild publish`, `revoke`, `restore` and `pin` of a generation: what it is now."""

    generation: Generation
    heirs: tuple[str, ...] = ()
    """What descends from it, and is revoked with it."""
    channel: Channel | None = None
    """Where it was published to."""


class ChannelAnswer(Value, frozen=True):
    """`regild promote`, `rollback` and `pin` of a channel: where it points now."""

    channel: Channel
    was: int | None = None
    """The generation that it pointed at before."""


class RenewAnswer(Value, frozen=True):
    """`regild update` of a generation in the store: what it became."""

    base: Generation
    update: UpdateAnswer
    generation: Generation | None = None
    """The next one; None where there was nothing to do."""
    channel: Channel | None = None
    """What points at it now."""


class ExportAnswer(Value, frozen=True):
    """`regild export`: the files that were written."""

    generation: str
    outputs: tuple[Output, ...]


class PushAnswer(Value, frozen=True):
    """`regild push`: where a generation is now."""

    generation: str
    where: str
    digest: Digest | None = None
    """What the target itself names it by, where it does."""
    sent_bytes: int = 0
    """Less than its size where the target had some of it."""
    notes: tuple[str, ...] = ()


class DamageAnswer(Value, frozen=True):
    """Something of the store that is not what it must be."""

    where: str
    why: str
    generations: tuple[str, ...] = ()
    """Which cannot be read whole because of it."""


class CheckAnswer(Value, frozen=True):
    """`regild store check`: what is damaged."""

    where: str
    damages: tuple[DamageAnswer, ...] = ()
    strangers: tuple[str, ...] = ()
    """Files among the packs that the catalogue does not know; they are left alone."""
    checked_bytes: int = 0


class CollectAnswer(Value, frozen=True):
    """`regild store gc`: what was given up."""

    generations: tuple[str, ...]
    packs: int
    bytes: int


class StatsAnswer(Value, frozen=True):
    """`regild store stats`: how much is kept, and how much of it is shared."""

    where: str
    images: int
    generations: int
    expired: int
    files_bytes: int
    """The sum of the files of all generations that have their bytes."""
    stored_bytes: int
    packs: int


class EventsAnswer(Value, frozen=True):
    """`regild events`: what happened, oldest first."""

    events: tuple[Event, ...]


class QueryRow(Value, frozen=True):
    """One thing that a question found, and why."""

    generation: str
    packages: tuple[str, ...] = ()
    """What in it fits the question, as `name version`."""
    channels: tuple[str, ...] = ()
    """That point at it."""
    groups: tuple[str, ...] = ()
    instances: tuple[str, ...] = ()
    """That run it."""
    revoked: bool = False


class QueryAnswer(Value, frozen=True):
    """`regild query`: what fits a question, and what cannot be said."""

    question: str
    rows: tuple[QueryRow, ...] = ()
    unknowns: tuple[Unknown, ...] = ()
    """Generations without a content, and packages whose versions have no known order."""


STORE_ANSWERS: dict[str, type[Value]] = {
    "image": ImageAnswer,
    "images": ImagesAnswer,
    "generations": GenerationsAnswer,
    "generation": GenerationAnswer,
    "channel": ChannelAnswer,
    "renew": RenewAnswer,
    "export": ExportAnswer,
    "push": PushAnswer,
    "store-check": CheckAnswer,
    "store-gc": CollectAnswer,
    "store-stats": StatsAnswer,
    "events": EventsAnswer,
    "query": QueryAnswer,
}
"""The answer of each command of the store."""
