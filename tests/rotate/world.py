"""A world in which groups run: instances boot, fail and are used, and time passes; no driver."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from regild.model.rotation import (
    Action,
    Aim,
    Decision,
    Drain,
    Group,
    Instance,
    Line,
    OpenWave,
    RollBack,
    Rotation,
    Settle,
    Stage,
    Start,
    Stop,
)
from regild.rotate.advance import advance
from regild.rotate.calendar import ALWAYS, Calendar
from regild.rotate.decide import decide
from regild.rotate.look import Look, wave_cap

START = datetime(2026, 1, 1, tzinfo=UTC)
ROUNDS = 40


@dataclass
class World:
    """One group over time; `bad` generations never become ready, others fail by chance."""

    group: Group
    line: Line
    calendar: Calendar = ALWAYS
    seed: int = 0
    bad: frozenset[int] = frozenset()
    failure: float = 0.0
    """The chance that an instance of a good generation fails while it starts."""
    boot_seconds: tuple[int, int] = (20, 90)
    now: datetime = START
    rotation: Rotation = field(default_factory=Rotation)
    instances: dict[str, Instance] = field(default_factory=dict)
    log: list[tuple[datetime, Action]] = field(default_factory=list)
    reached: dict[int, int] = field(default_factory=dict)
    """The most instances that ever had each generation."""

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.due: dict[str, datetime] = {}
        self.made = 0

    # --- time

    def run(self, until: datetime) -> None:
        """Let time pass to a moment, from one event to the next."""
        while self.now < until:
            decision = self.settle()
            moments = [*self.due.values(), until]
            if decision.again:
                moments.append(decision.again)
            self.now = max(self.now + timedelta(seconds=1), min(moments))
            self.happen()
        self.settle()

    def happen(self) -> None:
        """What has become due: instances that are up, or are not."""
        for name in [name for name, when in self.due.items() if when <= self.now]:
            del self.due[name]
            one = self.instances[name]
            lost = one.generation in self.bad or self.random.random() < self.failure
            self.instances[name] = replace(one, state="failed" if lost else "ready", since=self.now)

    def settle(self) -> Decision:
        """Ask and act until nothing more is to be done at this moment."""
        for _ in range(ROUNDS):
            decision = self.ask()
            if not decision.actions:
                return decision
            for action in decision.actions:
                self.act(action)
        raise AssertionError(f"it does not come to rest: {self.log[-6:]}")

    def ask(self) -> Decision:
        present = tuple(self.instances.values())
        return decide(self.group, self.rotation, present, self.line, self.calendar, self.now)

    # --- what is done

    def act(self, action: Action) -> None:
        look = self.look()
        self.check(action, look)
        self.log.append((self.now, action))
        match action:
            case Start():
                self.start(action.generation)
            case Stage():
                one = self.instances[action.instance]
                self.instances[action.instance] = replace(one, staged=action.generation)
            case Drain():
                one = self.instances[action.instance]
                self.instances[action.instance] = replace(one, state="draining", since=self.now)
                self.due.pop(action.instance, None)
            case Stop():
                del self.instances[action.instance]
                self.due.pop(action.instance, None)
        self.rotation = advance(self.rotation, action, self.now)

    def start(self, generation: int) -> None:
        self.made += 1
        name = f"{self.group.name}-{self.made}"
        self.instances[name] = Instance(name, generation, "starting", self.now)
        self.due[name] = self.now + timedelta(seconds=self.random.randint(*self.boot_seconds))
        count = sum(one.generation == generation for one in self.instances.values())
        self.reached[generation] = max(self.reached.get(generation, 0), count)

    def fill(self, generation: int) -> None:
        """Begin with a whole group that has run a generation for long."""
        for number in range(self.group.size):
            name = f"{self.group.name}-old-{number}"
            self.instances[name] = Instance(name, generation, "ready", START - timedelta(days=1))
        self.rotation = Rotation(current=generation, target=generation)

    # --- what must hold

    def look(self) -> Look:
        present = tuple(self.instances.values())
        return Look(self.group, self.rotation, present, self.line, self.calendar, self.now)

    def check(self, action: Action, look: Look) -> None:
        """The invariants, at the moment of one action."""
        is_open = look.calendar.left(self.now) > timedelta()
        exempt = look.is_first_fill or look.rotation.forced
        match action:
            case Start() | Stage():
                assert look.is_usable(action.generation), f"{action} is revoked"
                if action.generation == look.rotation.target and look.rotation.phase == "rotating":
                    assert len(look.renewed) < wave_cap(self.group, look.rotation.wave)
                if isinstance(action, Start):
                    assert len(look.alive) < self.group.size + look.surge
            case Drain():
                one = self.instances[action.instance]
                if one.state == "ready" and not one.owner:
                    assert look.ready - 1 >= look.floor, f"{action} leaves too few"
                if look.rotation.phase == "rotating" and not one.owner:
                    awaited = min(look.surge, len(look.renewed), len(look.others))
                    over = len(look.staying) > self.group.size + awaited
                    assert is_open or exempt or over, f"{action} outside of a window"
            case OpenWave():
                assert is_open or exempt, f"{action} outside of a window"
                assert action.wave == look.rotation.wave + 1
            case RollBack() | Aim() | Settle():
                assert look.is_usable(action.generation)
            case Stop():
                assert self.instances[action.instance].state != "ready" or (
                    self.instances[action.instance].released
                )

    def generations(self) -> set[int]:
        return {one.generation for one in self.instances.values()}

    def kinds(self) -> list[str]:
        return [type(action).__name__ for _, action in self.log]
