"""A group of running instances, how it is brought to a generation, and what is to be done next.

The words are those of the platforms that people come from: surge and unavailability, canary, bake
time and abort thresholds (docs/adr/0080).
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from regild.model.content import Value

Replacement = Literal["proactive", "opportunistic", "staged"]
"""Replace now; only what is made anew anyway; or lay ready what the next restart takes."""
InstanceState = Literal["starting", "ready", "draining", "failed", "stopped"]
HealthKind = Literal["none", "boot", "port", "http", "command", "agent"]
Approval = Literal["none", "canary", "waves"]
"""Who must say yes: nobody; somebody after the canary; somebody before each wave."""
RequestPolicy = Literal["settled", "late-patch"]
"""What is handed out on request: the settled generation, or that with today's plan."""
Phase = Literal["idle", "rotating", "halted", "rolling-back"]


class Amount(Value, frozen=True):
    """A number of instances, or a share of the group's size."""

    count: int = 0
    percent: bool = False

    def of(self, size: int, up: bool = True) -> int:
        """How many that is in a group of `size`; a share is rounded up or down."""
        if not self.percent:
            return self.count
        return -(-size * self.count // 100) if up else size * self.count // 100


class Health(Value, frozen=True):
    """What tells that an instance does its work."""

    kind: HealthKind = "boot"
    target: str = ""
    """What a console must show, a port, a path, or a command: as `kind` says."""
    within_seconds: int = 600
    """An instance that is not ready by then has failed."""


class DrainPolicy(Value, frozen=True):
    """How an instance is let go."""

    logoff: bool = False
    """Wait until nobody uses it."""
    grace_seconds: int = 0
    """So long it is waited, where `force` is set."""
    force: bool = True
    """End it after the grace, whoever uses it."""


class Rollout(Value, frozen=True):
    """How a new generation comes into a group."""

    mode: Replacement = "proactive"
    canary: int = 1
    """How many instances take it first; 0 for none."""
    waves: tuple[Amount, ...] = (Amount(100, percent=True),)
    """How many have it after each wave that follows, all of them after the last."""
    max_surge: Amount = Amount(1)
    max_unavailable: Amount = Amount(0)
    min_ready: Amount = Amount(0)
    bake_seconds: int = 0
    """How long all instances of a wave must have been ready before the next one opens."""
    max_failed: Amount = Amount(0)
    """How many of those that have the new generation may fail, before it is given up."""
    rollback: bool = True
    approval: Approval = "none"


class Group(Value, frozen=True):
    """A worker group or pool, as its file says."""

    name: str
    image: str
    channel: str
    driver: str
    size: int
    rollout: Rollout = Rollout()
    health: Health = Health()
    drain: DrainPolicy = DrainPolicy()
    request: RequestPolicy = "settled"
    step_seconds: int = 0
    """How long replacing one instance takes, for fitting waves into windows; 0: as long as health
    may take and draining may wait."""
    windows: str = ""
    """iCalendar text; empty: at any time."""
    freezes: str = ""
    """iCalendar text of times in which nothing is rotated, whatever the windows say."""
    options: dict[str, str] = msgspec.field(default_factory=dict)
    """What the driver needs to know, by its own names."""


class Instance(Value, frozen=True):
    """One running machine of a group, as its driver sees it."""

    name: str
    generation: int
    state: InstanceState
    since: datetime
    """When it came into this state."""
    staged: int = 0
    """The generation that its next restart takes; 0 for none."""
    sessions: int = 0
    """How many people use it."""
    owner: str = ""
    """For whom it was made on request; empty for one of the group's own."""
    released: bool = False
    """Its owner has given it back."""
    ill_since: datetime | None = None
    """Since when its health check has failed; None while it does not."""


class Seen(Value, frozen=True):
    """One running machine as its driver shows it at a moment, with no memory of before."""

    name: str
    generation: int
    running: bool = True
    healthy: bool | None = None
    """What its health check says; None where it cannot be asked."""
    draining: bool = False
    sessions: int = 0
    owner: str = ""


class StartOrder(Value, frozen=True):
    """What a driver needs to make an instance."""

    name: str
    generation: int
    digest: str
    """Of the disk."""
    disk: str
    """Where the generation's disk lies; it must never be written to."""
    format: str
    """The disk's, such as qcow2; always said, never guessed from its bytes."""
    owner: str = ""


class Line(Value, frozen=True):
    """The generations of an image, as far as rotating needs to know them."""

    wanted: int
    """What the group's channel, or its pin, points at; 0 for nothing."""
    known: tuple[int, ...] = ()
    revoked: dict[int, datetime] = msgspec.field(default_factory=dict)
    """From when on a generation must not be used."""
    late: dict[int, int] = msgspec.field(default_factory=dict)
    """Generations made for instances on request, with those that they were made from."""

    def is_usable(self, number: int, now: datetime) -> bool:
        """Whether a generation may be started at a time."""
        return number in self.known and not (number in self.revoked and self.revoked[number] <= now)


class Rotation(Value, frozen=True):
    """How far a group is on its way to a generation; kept in the catalogue between two looks."""

    current: int = 0
    """The generation that all instances had when the last rotation ended well."""
    previous: int = 0
    """The one before it."""
    target: int = 0
    phase: Phase = "idle"
    wave: int = 0
    """Waves that were opened; the canary is the first where there is one."""
    opened: datetime | None = None
    approved: int = 0
    """The last wave that somebody said yes to."""
    failures: int = 0
    """Instances that failed on the target and are gone."""
    refused: tuple[int, ...] = ()
    """Generations that were given up here; they are not tried again by themselves."""
    forced: bool = False
    """Somebody wants it now, whatever the windows say."""
    made: int = 0
    """Instances that were ever made; the next one's name has the next number."""
    why: str = ""


class Aim(Value, frozen=True, tag="aim"):
    """Begin to bring the group to a generation."""

    generation: int
    why: str = ""


class OpenWave(Value, frozen=True, tag="open-wave"):
    """Let the next instances take the target."""

    wave: int
    generation: int
    why: str = ""


class Start(Value, frozen=True, tag="start"):
    """Make a new instance."""

    generation: int
    why: str = ""
    owner: str = ""


class Stage(Value, frozen=True, tag="stage"):
    """Lay a generation ready for an instance's next restart."""

    instance: str
    generation: int
    why: str = ""


class Drain(Value, frozen=True, tag="drain"):
    """Give an instance no new work, so that it can be ended."""

    instance: str
    why: str = ""


class Stop(Value, frozen=True, tag="stop"):
    """End an instance and what is kept of it."""

    instance: str
    failed_on: int = 0
    """The generation that it failed on; 0 where it did not fail."""
    why: str = ""


class Halt(Value, frozen=True, tag="halt"):
    """Go no further with the target."""

    generation: int
    why: str = ""


class RollBack(Value, frozen=True, tag="roll-back"):
    """Bring every instance back to an earlier generation, at once."""

    generation: int
    away_from: int
    why: str = ""


class Settle(Value, frozen=True, tag="settle"):
    """The rotation has ended well: this is the group's generation now."""

    generation: int
    why: str = ""


Action = Aim | OpenWave | Start | Stage | Drain | Stop | Halt | RollBack | Settle


class Decision(Value, frozen=True):
    """What to do now, what is waited for, and when to look again at the latest."""

    actions: tuple[Action, ...] = ()
    waits: tuple[str, ...] = ()
    again: datetime | None = None
