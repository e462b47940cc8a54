"""`regild group` and `regild freeze`: who runs an image, and when it may change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regild.cli.options import Config, Debug, Json
from regild.cli.outcome import Outcome
from regild.cli.store_options import StorePlace, Why

if TYPE_CHECKING:
    from regild.agent.rotating.rotating import Floor
    from regild.errors import RotateError
    from regild.model.group_answers import FreezesAnswer, GroupAnswer, TurnAnswer

app = typer.Typer(help="Worker groups and pools: who runs an image.", rich_markup_mode=None)
freeze_app = typer.Typer(help="Times in which nothing is rotated.", rich_markup_mode=None)

GroupName = Annotated[str, typer.Argument(metavar="GROUP", help="The group's name.")]
State = Annotated[
    Path | None,
    typer.Option(
        "--state",
        metavar="DIR",
        help="Where instances' disks are kept here (default: beside the store).",
    ),
]
Wait = Annotated[
    float,
    typer.Option("--wait", min=0, metavar="SECONDS", help="Go on until it is done, so long."),
]


@contextmanager
def open_floor(
    place: Path | None, config: Path | None, state: Path | None, debug: bool
) -> Iterator[Floor]:
    """The store with what groups need of this machine."""
    from regild.agent.keeping.storing import default_place, open_store
    from regild.agent.rotating.rotating import Floor, folder_of
    from regild.cli.progress import open_progress

    folder = state or folder_of(place or default_place())
    with open_store(place, config) as store, open_progress(live=not debug) as progress:
        yield Floor(store, folder.absolute(), progress)


@app.command()
def apply(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The group's TOML file.")],
    place: StorePlace = None,
    config: Config = None,
    state: State = None,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Keep a group as its file says; calendars that it names are kept with it."""
    from regild.agent.rotating import rotating

    with open_floor(place, config, state, debug) as floor:
        return _outcome(rotating.apply(floor, file))


@app.command("list")
def list_groups(
    place: StorePlace = None, config: Config = None, json: Json = False, debug: Debug = False
) -> Outcome:
    """List every group with what it runs."""
    from regild.agent.keeping.storing import open_store
    from regild.agent.rotating import rotating
    from regild.cli.group_text import groups_text

    with open_store(place, config) as store:
        answer = rotating.all_groups(store)
    return Outcome(answer=answer, text=lambda width: groups_text(answer, width))


@app.command()
def show(
    group: GroupName,
    place: StorePlace = None,
    config: Config = None,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Show a group: how far it is, and each of its instances."""
    from regild.agent.keeping.storing import open_store
    from regild.agent.rotating import rotating

    with open_store(place, config) as store:
        return _outcome(rotating.show(store, group))


@app.command()
def history(
    group: GroupName,
    version: Annotated[
        int | None,
        typer.Option("--version", min=1, metavar="NUMBER", help="Print the file of this version."),
    ] = None,
    place: StorePlace = None,
    config: Config = None,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """List the versions of a group's file, or print one of them."""
    from regild.agent.keeping.storing import open_store
    from regild.agent.rotating import rotating
    from regild.cli.group_text import history_text

    with open_store(place, config) as store:
        answer = rotating.history(store, group, version)
    return Outcome(answer=answer, text=lambda width: history_text(answer, width, version))


@app.command()
def scale(
    group: GroupName,
    size: Annotated[int, typer.Argument(min=0, metavar="SIZE", help="How many instances.")],
    place: StorePlace = None,
    config: Config = None,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Give a group another size than its file says; the next turn makes it so."""
    from regild.agent.keeping.storing import open_store
    from regild.agent.rotating import rotating

    with open_store(place, config) as store:
        return _outcome(rotating.resize(store, group, size))


@app.command()
def approve(
    group: GroupName,
    why: Why = "",
    place: StorePlace = None,
    config: Config = None,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Say yes to the wave that waits for somebody to do so."""
    from regild.agent.keeping.storing import open_store
    from regild.agent.rotating import rotating

    with open_store(place, config) as store:
        return _outcome(rotating.approve(store, group, why))


@app.command()
def resume(
    group: GroupName,
    generation: Annotated[
        int | None,
        typer.Argument(min=1, metavar="[NUMBER]", help="Which (the channel's)."),
    ] = None,
    place: StorePlace = None,
    config: Config = None,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Try a generation again that was given up in this group."""
    from regild.agent.keeping.storing import open_store
    from regild.agent.rotating import rotating

    with open_store(place, config) as store:
        return _outcome(rotating.resume(store, group, generation))


@app.command()
def rotate(
    group: GroupName,
    wait_seconds: Wait = 0,
    force: Annotated[
        bool, typer.Option("--force", help="This once, whatever windows and freezes say.")
    ] = False,
    place: StorePlace = None,
    config: Config = None,
    state: State = None,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Bring a group as far to its channel's generation as can be done now."""
    from regild.agent.rotating import rotating
    from regild.cli.group_text import turn_text

    with open_floor(place, config, state, debug) as floor:
        answer = rotating.rotate(floor, group, force=force, wait_seconds=wait_seconds)
    return Outcome(
        answer=answer, text=lambda width: turn_text(answer, width), complaints=_given_up(answer)
    )


def _given_up(turn: TurnAnswer) -> tuple[RotateError, ...]:
    """That the generation which the group is to have failed in it, where it did."""
    from regild.errors import GivenUp

    group, rotation, wanted = turn.group.group, turn.group.rotation, turn.group.line.wanted
    is_halted = rotation.phase == "halted" and rotation.target == wanted
    if wanted not in rotation.refused and not is_halted:
        return ()
    where = f"generation {wanted} of {group.image} in group {group.name}"
    return (GivenUp(where=where, why=rotation.why),)


@app.command()
def remove(
    group: GroupName,
    stop: Annotated[bool, typer.Option("--stop", help="End its instances first.")] = False,
    leave: Annotated[
        bool, typer.Option("--leave", help="Let its instances run; nobody keeps them any more.")
    ] = False,
    why: Why = "",
    place: StorePlace = None,
    config: Config = None,
    state: State = None,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Forget a group; not while it has instances, unless it is said what becomes of them."""
    from regild.agent.rotating import removing
    from regild.cli.group_text import removed_text

    with open_floor(place, config, state, debug) as floor:
        answer = removing.remove(floor.means(), group, stop=stop, leave=leave, why=why)
    return Outcome(answer=answer, text=lambda width: removed_text(answer))


@freeze_app.command("add")
def add_freeze(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call it.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An iCalendar file.")],
    place: StorePlace = None,
    config: Config = None,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Keep a calendar of times in which nothing at this site is rotated."""
    from regild.agent.keeping.storing import open_store
    from regild.agent.rotating import rotating

    with open_store(place, config) as store:
        return _freezes(rotating.add_freeze(store, name, file))


@freeze_app.command("remove")
def remove_freeze(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Which.")],
    place: StorePlace = None,
    config: Config = None,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Forget a freeze."""
    from regild.agent.keeping.storing import open_store
    from regild.agent.rotating import rotating

    with open_store(place, config) as store:
        return _freezes(rotating.remove_freeze(store, name))


@freeze_app.command("list")
def list_freezes(
    place: StorePlace = None, config: Config = None, json: Json = False, debug: Debug = False
) -> Outcome:
    """List every freeze of the site."""
    from regild.agent.keeping.storing import open_store
    from regild.agent.rotating import rotating

    with open_store(place, config) as store:
        return _freezes(rotating.freezes(store))


def _outcome(answer: GroupAnswer) -> Outcome:
    from regild.cli.group_text import group_text

    return Outcome(answer=answer, text=lambda width: group_text(answer, width))


def _freezes(answer: FreezesAnswer) -> Outcome:
    from regild.cli.group_text import freezes_text

    return Outcome(answer=answer, text=lambda width: freezes_text(answer, width))
