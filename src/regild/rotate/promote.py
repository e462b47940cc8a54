"""Deciding which channel may point at what the channel before it points at. Pure: no clock, no
catalogue.

Rules: a channel never goes back by itself; nothing that is revoked, or that a group has given up,
goes on; a generation stays in a channel for its bake time and until every group that follows the
channel has settled on it; a pinned channel stays; people are asked where the policy says so;
channels move inside of windows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from regild.model.generation import Channel
from regild.model.group import Verdict
from regild.model.policy import ImagePolicy
from regild.model.rotation import Line, Rotation
from regild.rotate.calendar import Calendar


@dataclass(frozen=True, slots=True)
class Follower:
    """A group that follows a channel, and how far it is."""

    name: str
    channel: str
    rotation: Rotation


@dataclass(frozen=True, slots=True)
class Step:
    """A channel that may point at a generation now."""

    channel: str
    number: int
    why: str


@dataclass(frozen=True, slots=True)
class Promotions:
    """What may move, what people are asked, what is waited for, and when something changes by
    itself."""

    steps: tuple[Step, ...] = ()
    asks: tuple[str, ...] = ()
    waits: tuple[str, ...] = ()
    halted: tuple[str, ...] = ()
    """What does not go on by itself any more."""
    again: datetime | None = None


@dataclass(slots=True)
class _Answer:
    """How one channel stands: exactly one of these is said."""

    step: Step | None = None
    asks: str = ""
    waits: str = ""
    halted: str = ""
    again: datetime | None = None


def decide_promotions(
    policy: ImagePolicy,
    image: str,
    channels: Sequence[Channel],
    line: Line,
    followers: Sequence[Follower],
    verdicts: Mapping[str, Verdict],
    calendar: Calendar,
    now: datetime,
) -> Promotions:
    """What may be promoted of an image whose channels are given in the order of their way."""
    said = []
    for before, after in pairwise(channels):
        number = before.number
        if number is None or number <= (after.number or 0):
            continue
        where = question_of(image, number, after.name)
        said.append(
            _gone_wrong(where, number, after, before, line, followers, now)
            or _not_yet(where, number, policy, before, followers, now)
            or _asked(where, policy, after, verdicts)
            or _closed(where, calendar, now)
            or _Answer(Step(after.name, number, f"it has stood its time in {before.name}"))
        )
    moments = [one.again for one in said if one.again]
    return Promotions(
        steps=tuple(one.step for one in said if one.step),
        asks=tuple(one.asks for one in said if one.asks),
        waits=tuple(one.waits for one in said if one.waits),
        halted=tuple(one.halted for one in said if one.halted),
        again=min(moments, default=None),
    )


def question_of(image: str, number: int, channel: str) -> str:
    """What people are asked before a channel points at a generation."""
    return f"{image}@{number} -> {channel}"


def _gone_wrong(
    where: str,
    number: int,
    after: Channel,
    before: Channel,
    line: Line,
    followers: Sequence[Follower],
    now: datetime,
) -> _Answer | None:
    """What keeps a generation until somebody does something."""
    if not line.is_usable(number, now):
        return _Answer(halted=f"{where}: it is revoked, or its bytes were given up")
    for one in followers:
        if one.channel == before.name and number in one.rotation.refused:
            return _Answer(halted=f"{where}: group {one.name} has given it up")
    if after.pinned:
        return _Answer(waits=f"{where}: the channel is pinned")
    return None


def _not_yet(
    where: str,
    number: int,
    policy: ImagePolicy,
    before: Channel,
    followers: Sequence[Follower],
    now: datetime,
) -> _Answer | None:
    """What passes by itself."""
    baked = (before.since or now) + timedelta(seconds=policy.bake_seconds)
    if baked > now:
        return _Answer(
            waits=f"{where}: bakes in {before.name} until {baked:%F %H:%MZ}", again=baked
        )
    for one in followers:
        settled = one.rotation.current == number and one.rotation.phase == "idle"
        if one.channel == before.name and not settled:
            return _Answer(waits=f"{where}: group {one.name} has not settled on it")
    return None


def _asked(
    where: str, policy: ImagePolicy, after: Channel, verdicts: Mapping[str, Verdict]
) -> _Answer | None:
    """What a person decides."""
    if after.name not in policy.approval:
        return None
    verdict = verdicts.get(where)
    if verdict == "approved":
        return None
    if verdict == "refused":
        return _Answer(halted=f"{where}: it was refused")
    how = f"regild approve {where.replace(' -> ', ' ')}"
    return _Answer(asks=where, waits=f"{where}: waits for approval: {how}")


def _closed(where: str, calendar: Calendar, now: datetime) -> _Answer | None:
    """What waits for a window."""
    if calendar.left(now):
        return None
    opens = calendar.next_open(now)
    when = f"the next one opens {opens:%F %H:%MZ}" if opens else "none is known to open"
    return _Answer(waits=f"{where}: waits for a window; {when}", again=opens)
