"""What the catalogue says of images and generations, as the commands answer it."""

from __future__ import annotations

from regild.agent.keeping.storing import Store
from regild.errors import IntegrityError, UsageError
from regild.model.generation import Reference, Retention
from regild.model.progress import Progress
from regild.model.store_answers import (
    ChannelAnswer,
    CheckAnswer,
    CollectAnswer,
    DamageAnswer,
    EventsAnswer,
    GenerationAnswer,
    GenerationsAnswer,
    ImageAnswer,
    ImagesAnswer,
    StatsAnswer,
)
from regild.store import Reading
from regild.store.channels import list_channels, pin_channel
from regild.store.check import check_store, unknown_files
from regild.store.collect import bytes_of, collect
from regild.store.events import list_events
from regild.store.generations import list_generations, pin_generation
from regild.store.images import add_image, id_of_image, list_images, set_retention


def add(
    store: Store, name: str, about: str, channels: tuple[str, ...], retention: Retention
) -> ImageAnswer:
    """Begin a line of generations.

    Raises: UsageError, ListedAlready.
    """
    chosen = {"channel_names": channels} if channels else {}
    with store.catalogue.writing(store.actor) as change:
        add_image(change, name, about=about, retention=retention, **chosen)
        return _image(change, name)


def keep(store: Store, name: str, retention: Retention) -> ImageAnswer:
    """Say anew which old generations of an image stay.

    Raises: NotListed.
    """
    with store.catalogue.writing(store.actor) as change:
        set_retention(change, name, retention)
        return _image(change, name)


def show(store: Store, name: str) -> ImageAnswer:
    """One image with everything of its line.

    Raises: NotListed.
    """
    with store.catalogue.reading() as view:
        return _image(view, name)


def all_images(store: Store) -> ImagesAnswer:
    """Every image, with its channels; without generations."""
    with store.catalogue.reading() as view:
        channels = list_channels(view)
        return ImagesAnswer(
            tuple(
                ImageAnswer(one, tuple(each for each in channels if each.image == one.name))
                for one in list_images(view)
            )
        )


def generations(store: Store, image: str = "") -> GenerationsAnswer:
    """The generations of one image, or of all.

    Raises: NotListed.
    """
    with store.catalogue.reading() as view:
        return GenerationsAnswer(list_generations(view, image))


def pin(store: Store, reference: Reference, pinned: bool) -> GenerationAnswer | ChannelAnswer:
    """Keep a generation from being given up, or a channel from moving; or let it go.

    Raises: NotListed, UsageError for an image alone.
    """
    if not reference.at:
        what = f"{reference}: say which generation or channel, as {reference}@1 or {reference}@dev"
        raise UsageError(what=what)
    with store.catalogue.writing(store.actor) as change:
        if reference.number is not None:
            return GenerationAnswer(pin_generation(change, reference, pinned))
        channel = pin_channel(change, reference.image, reference.at, pinned)
        return ChannelAnswer(channel, channel.number)


def check(store: Store, progress: Progress, quick: bool) -> CheckAnswer:
    """Read all that the store holds, or only look at it."""
    damages = check_store(store.catalogue, store.shelf, progress, quick=quick)
    with store.catalogue.reading() as view:
        _, size = bytes_of(view)
    return CheckAnswer(
        where=store.shelf.where,
        damages=tuple(DamageAnswer(one.where, one.why, one.generations) for one in damages),
        strangers=unknown_files(store.catalogue, store.shelf),
        checked_bytes=0 if quick else size,
    )


def complaints_of(answer: CheckAnswer) -> tuple[IntegrityError, ...]:
    """The damages as errors that stand beside the answer."""
    return tuple(IntegrityError(where=one.where, why=one.why) for one in answer.damages)


def gc(store: Store) -> CollectAnswer:
    """Give up what retention lets go."""
    found = collect(store.catalogue, store.shelf, store.actor)
    return CollectAnswer(found.generations, found.packs, found.bytes)


def stats(store: Store) -> StatsAnswer:
    """How much is kept."""
    with store.catalogue.reading() as view:
        line = list_generations(view)
        count, size = bytes_of(view)
        images = list_images(view)
    held = [one for one in line if one.expired is None]
    return StatsAnswer(
        where=store.shelf.where,
        images=len(images),
        generations=len(line),
        expired=len(line) - len(held),
        files_bytes=sum(file.bytes for one in held for file in one.files),
        stored_bytes=size,
        packs=count,
    )


def events(store: Store, subject: str, limit: int) -> EventsAnswer:
    """What happened, newest last."""
    with store.catalogue.reading() as view:
        return EventsAnswer(list_events(view, subject=subject, limit=limit, newest=True))


def _image(view: Reading, name: str) -> ImageAnswer:
    id_of_image(view, name)
    (image,) = (one for one in list_images(view) if one.name == name)
    return ImageAnswer(image, list_channels(view, name), list_generations(view, name))
