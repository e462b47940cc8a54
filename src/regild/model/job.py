"""Work that the catalogue remembers: jobs with their leases, and the events of everything."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec

from regild.model.content import Value

JobState = Literal["waiting", "running", "done", "failed"]


class Job(Value, frozen=True):
    """One piece of work; its key is made of its inputs, so that the same work is one row."""

    key: str
    kind: str
    subject: str
    state: JobState = "waiting"
    facts: dict[str, Any] = msgspec.field(default_factory=dict)
    """What the work needs to know."""
    result: dict[str, Any] = msgspec.field(default_factory=dict)
    why: str = ""
    """Why it failed, or waits."""
    attempts: int = 0
    owner: str = ""
    until: datetime | None = None
    """When its lease ends."""
    not_before: datetime | None = None
    made: datetime | None = None
    changed: datetime | None = None


class Lease(Value, frozen=True):
    """A right that one owner has until a moment; `token` grows with every new owner.

    Whoever was frozen and wakes up after another took over holds an old token, and every writing
    step asks for the token first.
    """

    name: str
    owner: str
    until: datetime
    token: int


class Event(Value, frozen=True):
    """Something that happened, who did it, and to what; never changed afterwards."""

    number: int
    at: datetime
    actor: str
    kind: str
    subject: str
    facts: dict[str, Any] = msgspec.field(default_factory=dict)


LeftState = Literal["running", "can go on", "starts again"]


class JobAnswer(Value, frozen=True):
    """A job that did not come to its end, or that is still at work."""

    name: str
    folder: str
    state: LeftState
    phase: str
    """How far it came: `planned`, `changed`; empty where only logs are left."""
    image: str = ""
    output: str = ""
    pid: int = 0
    bytes: int = 0
    """What its folder takes on this machine."""
    log: str = ""


class JobsAnswer(Value, frozen=True):
    """`regild jobs list` and `regild jobs clean`: the jobs that there are, or that were removed."""

    folder: str
    jobs: tuple[JobAnswer, ...] = ()
