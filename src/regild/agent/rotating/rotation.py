"""One turn of a group: look at what runs, decide, note, do; killed anywhere, the next turn goes on.

What is to be done is noted in the catalogue first, then done by the driver, then noted as done.
Every call of a driver may be made again, names are never used twice, and only who holds the
group's lease takes a turn, so that each effect is there once.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

from msgspec import to_builtins
from msgspec.structs import replace

from regild.agent.keeping.engine import is_gone
from regild.agent.rotating.groups import (
    GONE,
    calendar_of,
    group_of,
    instance_of_row,
    keep_rotation,
    line_of,
    rotation_of,
    row_of_instance,
)
from regild.errors import Busy, DriverFailed, NotListed, RegildError, Revoked, UsageError
from regild.model.group import KnownInstance
from regild.model.job import Lease
from regild.model.rotation import (
    Action,
    Decision,
    Drain,
    Group,
    Instance,
    Rotation,
    Seen,
    Stage,
    Start,
    StartOrder,
    Stop,
)
from regild.rotate.advance import advance
from regild.rotate.decide import decide
from regild.rotate.driver import Driver
from regild.rotate.state import instance_of
from regild.store import Catalogue, Writing
from regild.store.events import tell
from regild.store.instances import ask_approval, list_instances, remove_instance, save_instance
from regild.store.leases import check_lease, give_back, take_lease

LEASE_SECONDS = 900
"""Longer than a turn takes; a driver that ends guests politely may need minutes."""
ROUNDS = 50
STARTING, STOPPING = "start", "stop"
USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
"""A user's name also names the file of their own disk."""


class Disk(NamedTuple):
    """Where a generation's disk lies for instances to be made above it."""

    path: str
    format: str
    digest: str


@dataclass(frozen=True, slots=True)
class Means:
    """What a turn works with."""

    catalogue: Catalogue
    actor: str
    owner: str
    """Who holds leases: this process, and no other."""
    driver_of: Callable[[Group], contextlib.AbstractContextManager[Driver]]
    disk_of: Callable[[str, int], Disk]
    """A generation's disk, by image and number, brought here where it is not."""
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


@dataclass
class Turn:
    """What a turn did, and what it left."""

    group: Group
    rotation: Rotation
    instances: tuple[Instance, ...] = ()
    done: list[Action] = field(default_factory=list)
    waits: tuple[str, ...] = ()
    again: datetime | None = None
    failures: list[RegildError] = field(default_factory=list)


def take_turn(means: Means, name: str) -> Turn:
    """Bring a group as much nearer to its wanted generation as can be done now.

    What a driver refuses stands in `failures`, and is tried again in the next turn.

    Raises: NotListed, GroupRefused, Busy where another holds the group; DriverFailed where
    nothing can be seen.
    """
    with _open_turn(means, name) as turn:
        return turn.take()


def request_instance(means: Means, name: str, user: str, generation: int = 0) -> Instance:
    """An instance for one user, made of a `generation` or the group's settled one; who has one
    gets that.

    Raises: UsageError for what is no user's name, Revoked where no generation may be used,
    DriverFailed; as `take_turn`.
    """
    if not USER.fullmatch(user):
        raise UsageError(what=f"{user!r} is no user: letters, digits, dots, hyphens, at most 63")
    with _open_turn(means, name) as turn:
        return turn.request(user, generation)


def release_instance(means: Means, name: str, instance: str) -> Instance:
    """Give an instance back; the next turn ends it, its owner's own disk stays.

    Raises: NotListed, UsageError for one that nobody requested; as `take_turn`.
    """
    with _open_turn(means, name) as turn:
        return turn.release(instance)


@contextlib.contextmanager
def _open_turn(means: Means, name: str) -> Iterator[_GroupTurn]:
    with alone(means, name) as lease, contextlib.ExitStack() as stack:
        with means.catalogue.reading() as view:
            group = group_of(view, name)
        driver = stack.enter_context(means.driver_of(group))
        yield _GroupTurn(means, lease, group, driver)


@contextlib.contextmanager
def alone(means: Means, name: str) -> Iterator[Lease]:
    """Hold a group's lease.

    Raises: Busy.
    """
    with means.catalogue.writing(means.actor, means.now()) as change:
        lease = take_lease(change, f"group/{name}", means.owner, LEASE_SECONDS, is_gone)
    if lease is None:
        raise Busy(where=f"group {name}", why="another agent takes a turn with it")
    try:
        yield lease
    finally:
        with means.catalogue.writing(means.actor, means.now()) as change:
            give_back(change, lease)


class _GroupTurn:
    """One turn; the lease is asked for before every note."""

    def __init__(self, means: Means, lease: Lease, group: Group, driver: Driver) -> None:
        self._means, self._lease, self._group, self._driver = means, lease, group, driver
        with means.catalogue.reading(means.now()) as view:
            rotation = rotation_of(view, group.name)
            self._line, self._calendar = line_of(view, group), calendar_of(view, group)
            self._rows = {one.name: one for one in list_instances(view, group.name)}
        self._turn = Turn(group, rotation)
        self._tried: set[str] = set()

    def take(self) -> Turn:
        """Look, decide and carry out until nothing new is to do."""
        self._finish_what_was_begun()
        instances = self._look()
        for _ in range(ROUNDS):
            decision = self._decide(instances)
            actions = [one for one in decision.actions if self._is_new(one)]
            if not actions:
                break
            for action in actions:
                self._carry_out(action)
            instances = self._look()
        self._turn.instances = instances
        self._turn.waits, self._turn.again = decision.waits, decision.again
        self._ask(decision)
        return self._turn

    def request(self, user: str, late: int) -> Instance:
        """Their instance, made now if there is none."""
        self._finish_what_was_begun()
        for one in self._look():
            if one.owner == user and one.state in ("starting", "ready") and not one.released:
                return one
        now, rotation = self._means.now(), self._turn.rotation
        chosen = (late, rotation.current, self._line.wanted)
        generation = next((one for one in chosen if self._line.is_usable(one, now)), 0)
        if not generation:
            raise Revoked(where=f"group {self._group.name}", why="it has no generation to use")
        self._carry_out(Start(generation, f"requested for {user}", user))
        for failure in self._turn.failures:
            raise failure
        return next(one for one in self._look() if one.owner == user and not one.released)

    def release(self, name: str) -> Instance:
        """Note that an instance was given back."""
        row = self._rows.get(name)
        if row is None or row.state == GONE:
            why = "the group has no such instance"
            raise NotListed(where=f"instance {self._group.name}/{name}", why=why)
        if not row.user:
            raise UsageError(what=f"{name} is one of the group's own; nobody requested it")
        with self._noting() as change:
            self._keep(change, replace(row, facts={**row.facts, "released": "true"}))
            tell(change, "instance.release", f"{self._group.name}/{name}", {"user": row.user})
        return instance_of_row(self._rows[name])

    def _decide(self, instances: tuple[Instance, ...]) -> Decision:
        now = self._means.now()
        turn = self._turn
        return decide(turn.group, turn.rotation, instances, self._line, self._calendar, now)

    def _is_new(self, action: Action) -> bool:
        """Not something that the driver refused in this turn already."""
        return not (isinstance(action, Stop | Drain | Stage) and action.instance in self._tried)

    # --- what is there

    def _look(self) -> tuple[Instance, ...]:
        """What runs, with what the catalogue knows of it; what changed is noted."""
        seen = {one.name: one for one in self._driver.look()}
        rows = {name: row for name, row in self._rows.items() if row.state != GONE}
        gone = {name for name, row in self._rows.items() if row.state == GONE}
        found = []
        for name in sorted({*seen, *rows} - gone):
            before = instance_of_row(rows[name]) if name in rows else None
            now_seen = seen.get(name) or self._vanished(before, name)
            judged = instance_of(now_seen, before, self._group.health, self._means.now())
            if before is not None and before.owner and not judged.owner:
                judged = replace(judged, owner=before.owner)
            found.append(judged)
        self._note_states(found)
        return tuple(found)

    def _vanished(self, before: Instance | None, name: str) -> Seen:
        """One that the catalogue knows and the driver does not show: gone, or not made yet.

        What a driver could not make is no fault of the generation, as long as it may still come.
        """
        begun = self._intent(name) == STARTING
        return Seen(name, before.generation if before else 0, running=begun, healthy=False)

    def _note_states(self, found: list[Instance]) -> None:
        rows = [row_of_instance(self._group, one, self._intent(one.name)) for one in found]
        changed = [row for row in rows if self._differs(row)]
        if changed:
            with self._noting() as change:
                for row in changed:
                    self._keep(change, row)

    def _differs(self, row: KnownInstance) -> bool:
        held = self._rows.get(row.name)
        return held is None or replace(held, changed=None, desired="") != row

    def _intent(self, name: str) -> str:
        row = self._rows.get(name)
        return row.facts.get("intent", "") if row else ""

    # --- what was begun

    def _finish_what_was_begun(self) -> None:
        """Do again what was noted and may not have been done before somebody was killed."""
        for row in list(self._rows.values()):
            intent = row.facts.get("intent", "")
            if intent == STOPPING:
                self._try(row.name, partial(self._stop, row.name))
            elif intent == STARTING:
                self._try(row.name, partial(self._start, instance_of_row(row)))

    # --- what is done

    def _carry_out(self, action: Action) -> None:
        """Note an action, do it, and note that it is done."""
        rotation = advance(self._turn.rotation, action, self._means.now())
        made: Instance | None = None
        with self._noting() as change:
            if isinstance(action, Start):
                name = f"{self._group.name}-{rotation.made}"
                made = Instance(
                    name, action.generation, "starting", self._means.now(), owner=action.owner
                )
                self._keep(change, row_of_instance(self._group, made, STARTING))
            elif isinstance(action, Stop):
                self._mark_gone(change, action.instance)
            elif isinstance(action, Stage):
                self._mark_staged(change, action)
            keep_rotation(change, self._group.name, rotation)
            tell(change, f"rotate.{kind_of(action)}", self._group.name, to_builtins(action))
        self._turn.rotation = rotation
        self._turn.done.append(action)
        if made is not None:
            self._try(made.name, partial(self._start, made))
        elif isinstance(action, Stop):
            self._try(action.instance, partial(self._stop, action.instance))
        elif isinstance(action, Drain):
            self._try(action.instance, partial(self._drain, action.instance))

    def _start(self, made: Instance) -> None:
        disk = self._means.disk_of(self._group.image, made.generation)
        order = StartOrder(
            made.name, made.generation, disk.digest, disk.path, disk.format, made.owner
        )
        self._driver.start(order)
        with self._noting() as change:
            self._keep(change, row_of_instance(self._group, made))

    def _drain(self, name: str) -> None:
        """Remembered here too: not every platform can say what it was told."""
        self._driver.drain(name)
        one = instance_of_row(self._rows[name])
        drained = replace(one, state="draining", since=self._means.now())
        with self._noting() as change:
            self._keep(change, row_of_instance(self._group, drained, self._intent(name)))

    def _stop(self, name: str) -> None:
        self._driver.stop(name)
        with self._noting() as change:
            remove_instance(change, self._group.name, name)
        del self._rows[name]

    def _mark_gone(self, change: Writing, name: str) -> None:
        row = self._rows[name]
        self._keep(change, replace(row, state=GONE, facts={**row.facts, "intent": STOPPING}))

    def _mark_staged(self, change: Writing, action: Stage) -> None:
        row = self._rows[action.instance]
        self._keep(change, replace(row, staged=f"{self._group.image}@{action.generation}"))

    def _try(self, name: str, do: Callable[[], None]) -> None:
        """Do something that the driver may refuse; it is tried again in the next turn."""
        try:
            do()
        except DriverFailed as error:
            self._tried.add(name)
            self._turn.failures.append(error)
            with self._noting() as change:
                tell(change, "rotate.failed", self._group.name, {"of": name, "why": str(error)})

    # --- the catalogue

    @contextlib.contextmanager
    def _noting(self) -> Iterator[Writing]:
        """Change the catalogue, as long as the group is this process's.

        Raises: LeaseLost.
        """
        with self._means.catalogue.writing(self._means.actor, self._means.now()) as change:
            check_lease(change, self._lease)
            yield change

    def _keep(self, change: Writing, row: KnownInstance) -> None:
        self._rows[row.name] = save_instance(change, row)

    def _ask(self, decision: Decision) -> None:
        """Ask people where a wave waits for them."""
        if any("waits for approval" in wait for wait in decision.waits):
            with self._noting() as change:
                ask_approval(change, question_of(self._group, self._turn.rotation))


def question_of(group: Group, rotation: Rotation) -> str:
    """What people are asked before the next wave."""
    return f"{group.name}: wave {rotation.wave + 1} of {group.image}@{rotation.target}"


def kind_of(action: Action) -> str:
    """An action's word, as it stands in events and JSON."""
    return str(action.__struct_config__.tag)
