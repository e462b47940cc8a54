"""One look at a group: what is there, sorted by what matters for deciding; pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from regild.model.rotation import Group, Instance, Line, Rotation
from regild.rotate.calendar import Calendar

NEVER = timedelta()


@dataclass(frozen=True)
class Look:
    """A group, how far it is, and what runs, at one moment."""

    group: Group
    rotation: Rotation
    instances: tuple[Instance, ...]
    line: Line
    calendar: Calendar
    now: datetime

    @cached_property
    def own(self) -> tuple[Instance, ...]:
        """The instances that the group itself keeps; those made on request are their owners'."""
        return tuple(one for one in self.instances if not one.owner)

    @cached_property
    def alive(self) -> tuple[Instance, ...]:
        """Own instances that take up room: everything that has not failed or ended."""
        return tuple(one for one in self.own if one.state not in ("failed", "stopped"))

    @cached_property
    def staying(self) -> tuple[Instance, ...]:
        """Those of them that are not being let go."""
        return tuple(one for one in self.alive if one.state != "draining")

    @cached_property
    def renewed(self) -> tuple[Instance, ...]:
        """Staying instances that have the target."""
        return tuple(one for one in self.staying if one.generation == self.rotation.target)

    @cached_property
    def others(self) -> tuple[Instance, ...]:
        """Staying instances that have another generation."""
        return tuple(one for one in self.staying if one.generation != self.rotation.target)

    @cached_property
    def ready(self) -> int:
        """How many instances do their work and go on doing it."""
        return sum(one.state == "ready" for one in self.staying)

    @cached_property
    def floor(self) -> int:
        """How many must be ready before and after everything that is done on purpose."""
        size, rollout = self.group.size, self.group.rollout
        available = size - rollout.max_unavailable.of(size, up=False)
        return min(size, max(available, rollout.min_ready.of(size)))

    @cached_property
    def surge(self) -> int:
        """How many instances there may be beyond the group's size."""
        return self.group.rollout.max_surge.of(self.group.size)

    @cached_property
    def cap(self) -> int:
        """How many instances may have the target now."""
        if self.rotation.phase == "halted":
            return min(len(self.renewed), self.group.size)
        if self.rotation.phase != "rotating":
            return self.group.size
        return wave_cap(self.group, self.rotation.wave)

    @cached_property
    def is_first_fill(self) -> bool:
        """Whether nothing has run here yet, so that no window protects anybody."""
        return self.rotation.current == 0

    @cached_property
    def may_begin(self) -> bool:
        """Whether replacing one more instance may begin now."""
        if self.rotation.phase == "rolling-back" or self.rotation.forced or self.is_first_fill:
            return True
        return self.rotation.phase != "halted" and self.calendar.left(self.now) > NEVER

    def is_usable(self, number: int) -> bool:
        """Whether a generation may be started now."""
        return self.line.is_usable(number, self.now)

    @cached_property
    def refuge(self) -> int:
        """The generation to go back to from the target; 0 where there is none."""
        known = (self.rotation.current, self.rotation.previous)
        good = (one for one in known if one != self.rotation.target and self.is_usable(one))
        return next(good, 0)

    @cached_property
    def rest_generation(self) -> int:
        """What instances beyond the target's share are made of; 0 where nothing is usable."""
        known = (self.rotation.current, self.rotation.previous)
        return next((one for one in known if one and self.is_usable(one)), 0)


def wave_count(group: Group) -> int:
    """How many waves a rotation of this group has."""
    return len(group.rollout.waves) + bool(group.rollout.canary)


def wave_cap(group: Group, wave: int) -> int:
    """How many instances have the new generation when a wave is through; the last one's is all."""
    if wave <= 0:
        return 0
    if wave >= wave_count(group):
        return group.size
    canary = (group.rollout.canary,) if group.rollout.canary else ()
    shares: list[int] = [*canary, *(amount.of(group.size) for amount in group.rollout.waves)]
    return min(group.size, max(shares[:wave]))


def step_seconds(group: Group) -> int:
    """How long replacing one instance may take."""
    worst = group.health.within_seconds + (group.drain.grace_seconds if group.drain.logoff else 0)
    return group.step_seconds or worst


def wave_time(look: Look, wave: int) -> timedelta:
    """How long a wave will take, as far as can be said: rounds of as many as go at a time."""
    left = max(0, wave_cap(look.group, wave) - len(look.renewed))
    together = max(1, look.surge + look.group.size - look.floor)
    return timedelta(seconds=-(-left // together) * step_seconds(look.group))
