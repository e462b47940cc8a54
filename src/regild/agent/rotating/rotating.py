"""Groups and instances for the commands: store, drivers and backing disks brought together."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from msgspec.structs import replace

from regild.agent.keeping.storing import Store
from regild.agent.rotating import backing
from regild.agent.rotating.groups import (
    GONE,
    apply_group,
    group_of,
    instance_of_row,
    keep_rotation,
    line_of,
    number_of,
    rotation_of,
    scale,
)
from regild.agent.rotating.rotation import (
    Disk,
    Means,
    Turn,
    kind_of,
    question_of,
    release_instance,
    request_instance,
    take_turn,
)
from regild.errors import Busy, NotListed, UsageError
from regild.host.files import make_passable, read_limited, translated
from regild.host.process import name_of_process
from regild.model.group_answers import (
    FreezesAnswer,
    GroupAnswer,
    GroupFile,
    GroupHistoryAnswer,
    GroupsAnswer,
    InstanceAnswer,
    InstancesAnswer,
    TurnAnswer,
)
from regild.model.progress import Progress, end_step
from regild.model.rotation import Action, Drain, Group, Instance, Stage, Stop
from regild.rotate.advance import resume as tried_again
from regild.rotate.calendar import TEXT_LIMIT, spans_of
from regild.rotate.driver import Driver, open_driver
from regild.store import Reading
from regild.store.events import tell
from regild.store.generations import find_generation
from regild.store.groups import (
    history_of_group,
    list_groups,
    list_windows,
    read_group,
    remove_window,
    save_window,
)
from regild.store.instances import decide_approval, list_approvals, list_instances

PAUSE_SECONDS = 1.0
PATIENCE_SECONDS = 30.0
"""So long a person's wish waits for a turn of the agent."""
BACKING = "backing"
OF_INSTANCES = (Drain, Stage, Stop)


@dataclass(frozen=True, slots=True)
class Floor:
    """Where groups run from here: the store, and a folder for drivers and backing disks."""

    store: Store
    folder: Path
    progress: Progress
    owner: str = field(default_factory=lambda: f"{name_of_process()}:{secrets.token_hex(4)}")

    def means(self) -> Means:
        """What turns are taken with."""
        return Means(
            self.store.catalogue, self.store.actor, self.owner, self.driver_of, self.disk_of
        )

    @contextlib.contextmanager
    def driver_of(self, group: Group) -> Iterator[Driver]:
        """A group's driver, for as long as a turn takes."""
        with translated(self.folder):
            make_passable(self.folder / group.name)
        driver = open_driver(group, self.folder / group.name)
        try:
            yield driver
        finally:
            close: Callable[[], None] | None = getattr(driver, "close", None)
            if close is not None:
                close()

    def disk_of(self, image: str, number: int) -> Disk:
        """A generation's backing disk."""
        return backing.backing_of(self.store, self.folder / BACKING, image, number, self.progress)


def folder_of(place: Path) -> Path:
    """The folder for a store's instances when nobody says: beside the store.

    Earlier versions had it inside of the store, at a path that overlays and domains name and that
    can therefore not be moved under them: where there is one with something in it, it stays.

    Raises: UsageError where both are in use, so that nobody loses sight of instances.
    """
    place = place.absolute()
    beside, inside = place.with_name(f"{place.name}.groups"), place / "groups"
    if not _holds_files(inside):
        return beside
    if _holds_files(beside):
        what = f"instances are kept in {inside}, as by an earlier version, and in {beside}"
        raise UsageError(what=f"{what}: say with --state which is meant")
    return inside


def _holds_files(folder: Path) -> bool:
    with translated(folder):
        return any(path.is_symlink() or not path.is_dir() for path in folder.rglob("*"))


# --- groups


def apply(floor: Floor, path: Path) -> GroupAnswer:
    """Keep a group as its file says.

    Raises: as `apply_group`.
    """
    with floor.store.catalogue.writing(floor.store.actor) as change:
        group = apply_group(change, path, floor.folder)
        return _answer(change, group.name)


def show(store: Store, name: str) -> GroupAnswer:
    """One group.

    Raises: NotListed, GroupRefused.
    """
    with store.catalogue.reading() as view:
        return _answer(view, name)


def all_groups(store: Store) -> GroupsAnswer:
    """Every group."""
    with store.catalogue.reading() as view:
        return GroupsAnswer(tuple(_answer(view, one.name) for one in list_groups(view)))


def history(store: Store, name: str, version: int | None = None) -> GroupHistoryAnswer:
    """Every version of a group's file, or one of them.

    Raises: NotListed.
    """
    with store.catalogue.reading() as view:
        found = history_of_group(view, name) if version is None else ()
        found = found or (read_group(view, name, version),)
    files = (GroupFile(one.version, one.made, one.actor, one.text) for one in found)
    return GroupHistoryAnswer(name, tuple(files))


def resize(store: Store, name: str, size: int) -> GroupAnswer:
    """Give a group another size than its file says.

    Raises: NotListed, GroupRefused, UsageError.
    """
    with store.catalogue.writing(store.actor) as change:
        scale(change, name, size)
        return _answer(change, name)


def approve(store: Store, name: str, why: str) -> GroupAnswer:
    """Say yes to the wave that waits for it.

    Raises: NotListed where none waits.
    """
    with store.catalogue.writing(store.actor) as change:
        group, rotation = group_of(change, name), rotation_of(change, name)
        decide_approval(change, question_of(group, rotation), "approved", why)
        keep_rotation(change, name, replace(rotation, approved=rotation.wave + 1))
        return _answer(change, name)


def resume(store: Store, name: str, number: int | None) -> GroupAnswer:
    """Try a generation again that was given up in a group.

    Raises: NotListed, UsageError where nothing was given up.
    """
    with store.catalogue.writing(store.actor) as change:
        group, rotation = group_of(change, name), rotation_of(change, name)
        wanted = number or line_of(change, group).wanted
        is_halted = rotation.phase == "halted" and rotation.target == wanted
        if wanted not in rotation.refused and not is_halted:
            raise UsageError(what=f"generation {wanted} was not given up in group {name}")
        find_generation(change, group.image, wanted)
        keep_rotation(change, name, tried_again(rotation, wanted))
        tell(change, "group.resume", name, {"generation": wanted})
        return _answer(change, name)


def rotate(floor: Floor, name: str, *, force: bool = False, wait_seconds: float = 0) -> TurnAnswer:
    """Take turns with a group: one, or one after the other until it has settled or time is up.

    Raises: as `take_turn`; what the driver refused in the last turn.
    """
    if force:
        with floor.store.catalogue.writing(floor.store.actor) as change:
            keep_rotation(change, name, replace(rotation_of(change, name), forced=True))
            tell(change, "group.force", name)
    until, done = time.monotonic() + wait_seconds, []
    while True:
        turn = take_turn(floor.means(), name)
        done += turn.done
        for action in turn.done:
            floor.progress.note(_story(name, action))
        if is_settled(turn) or time.monotonic() >= until:
            break
        end_step(floor.progress)
        time.sleep(PAUSE_SECONDS)
    tidy(floor)
    for failure in turn.failures:
        raise failure
    with floor.store.catalogue.reading() as view:
        return TurnAnswer(_answer(view, name), tuple(done), turn.waits, turn.again)


def tidy(floor: Floor) -> list[str]:
    """Remove the backing disks that no instance and no rotation needs."""
    needed = set()
    with floor.store.catalogue.reading() as view:
        for version in list_groups(view):
            rotation = rotation_of(view, version.name)
            numbers = {rotation.current, rotation.previous, rotation.target} - {0}
            numbers |= {number_of(row.current) for row in list_instances(view, version.name)}
            for number in numbers:
                with contextlib.suppress(NotListed):
                    needed.add(backing.name_of(find_generation(view, version.image, number)))
    return backing.prune(floor.folder / BACKING, needed)


# --- instances


def instances(store: Store, group: str) -> InstancesAnswer:
    """The instances of one group, or of all.

    Raises: NotListed.
    """
    with store.catalogue.reading() as view:
        names = [group] if group else [one.name for one in list_groups(view)]
        for name in names:
            read_group(view, name)
        return InstancesAnswer({name: _instances(view, name) for name in names})


def request(
    floor: Floor, group: str, user: str, wait_seconds: float, late: Callable[[], int] = lambda: 0
) -> InstanceAnswer:
    """An instance for a user, handed out when it is ready or the time is up; `late` says which
    generation it is made from, where it has to be made.

    Raises: as `request_instance`; what `late` raises.
    """
    means = floor.means()
    number = 0 if _has_one(floor.store, group, user) else late()
    made = patiently(lambda: request_instance(means, group, user, number))
    until = time.monotonic() + wait_seconds
    while made.state == "starting" and time.monotonic() < until:
        time.sleep(PAUSE_SECONDS / 4)
        made = patiently(lambda: request_instance(means, group, user))
    return InstanceAnswer(group, made)


def _has_one(store: Store, group: str, user: str) -> bool:
    """Whether a user has an instance already, as far as the catalogue knows."""
    with store.catalogue.reading() as view:
        read_group(view, group)
        return any(
            one.owner == user and one.state in ("starting", "ready") and not one.released
            for one in _instances(view, group)
        )


def release(floor: Floor, group: str, name: str) -> InstanceAnswer:
    """Give a requested instance back.

    Raises: as `release_instance`.
    """
    return InstanceAnswer(group, patiently(lambda: release_instance(floor.means(), group, name)))


def patiently(act: Callable[[], Instance]) -> Instance:
    """Do something with an instance; while an agent takes a turn with its group, wait for that.

    Raises: Busy where the turn does not end in time; what `act` raises.
    """
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return act()
        except Busy:
            if time.monotonic() >= until:
                raise
            time.sleep(PAUSE_SECONDS / 4)


# --- freezes


def add_freeze(store: Store, name: str, path: Path) -> FreezesAnswer:
    """Keep a calendar of times in which nothing at this site is rotated.

    Raises: UsageError, MissingFile, Malformed, TooLarge.
    """
    if "." in name:
        raise UsageError(what=f"{name}: the name of a site's freeze has no dot")
    text = read_limited(path, TEXT_LIMIT).decode(errors="replace")
    with store.catalogue.writing(store.actor) as change:
        spans_of(text, str(path), change.now, change.now)
        save_window(change, name, "freeze", text)
        return _freezes(change)


def remove_freeze(store: Store, name: str) -> FreezesAnswer:
    """Forget a freeze of the site.

    Raises: NotListed.
    """
    with store.catalogue.writing(store.actor) as change:
        if "." in name:
            raise NotListed(where=f"freeze {name}", why="it is a group's own, and its file says it")
        remove_window(change, name)
        return _freezes(change)


def freezes(store: Store) -> FreezesAnswer:
    """Every freeze of the site."""
    with store.catalogue.reading() as view:
        return _freezes(view)


def _freezes(view: Reading) -> FreezesAnswer:
    found = (one for one in list_windows(view) if one.kind == "freeze" and "." not in one.name)
    return FreezesAnswer(tuple(found))


def _answer(view: Reading, name: str) -> GroupAnswer:
    group = group_of(view, name)
    return GroupAnswer(
        replace(group, windows="", freezes=""),
        read_group(view, name).version,
        rotation_of(view, name),
        line_of(view, group),
        _instances(view, name),
        tuple(
            one
            for one in list_approvals(view)
            if one.verdict == "pending" and one.subject.startswith(f"{name}: ")
        ),
    )


def _instances(view: Reading, name: str) -> tuple[Instance, ...]:
    rows = sorted(list_instances(view, name), key=lambda row: (len(row.name), row.name))
    return tuple(instance_of_row(row) for row in rows if row.state != GONE)


def is_settled(turn: Turn) -> bool:
    """Whether a group has all its instances, ready, and nothing was done in a turn."""
    own = [one for one in turn.instances if not one.owner]
    is_whole = len(own) == turn.group.size and all(one.state == "ready" for one in own)
    return turn.rotation.phase in ("idle", "halted") and is_whole and not turn.done


def story_of(action: Action) -> tuple[str, str]:
    """An action as a word and what it was done to."""
    what = (
        action.instance if isinstance(action, OF_INSTANCES) else f"generation {action.generation}"
    )
    return kind_of(action), what + (f", {action.why}" if action.why else "")


def _story(name: str, action: Action) -> str:
    """An action in a line."""
    return f"{name}: {' '.join(story_of(action))}"
