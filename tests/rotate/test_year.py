"""A year of many groups: windows, freezes, changing clocks, failures, revocations; bad images."""

import random
import time
from datetime import timedelta

import pytest
from msgspec.structs import replace

from regild.model.rotation import (
    Amount,
    DrainPolicy,
    Group,
    Health,
    Line,
    RollBack,
    Rollout,
    Settle,
)
from regild.rotate.advance import resume
from regild.rotate.calendar import Calendar, read_calendar
from tests.rotate.test_calendar import ics
from tests.rotate.world import START, World

pytestmark = pytest.mark.slow

YEAR = timedelta(days=365)
GROUPS, SIZE = 50, 40
NIGHTS = (
    "DTSTART;TZID=Europe/Berlin:20251229T220000\nDURATION:PT5H\nRRULE:FREQ=WEEKLY;BYDAY=TU,TH",
    "DTSTART;TZID=America/New_York:20251229T010000\nDURATION:PT4H\nRRULE:FREQ=DAILY",
    "DTSTART;TZID=Europe/Berlin:20260104T013000\nDURATION:PT3H\nRRULE:FREQ=WEEKLY;BYDAY=SU,WE",
)
FREEZES = ics(
    "DTSTART;VALUE=DATE:20260401\nDTEND;VALUE=DATE:20260408",
    "DTSTART;VALUE=DATE:20261127\nDTEND;VALUE=DATE:20261201",
)


def calendars() -> list[Calendar]:
    return [
        read_calendar(ics(night), FREEZES, START - timedelta(days=1), START + YEAR)
        for night in NIGHTS
    ]


def group(number: int, seed: random.Random) -> Group:
    rollout = Rollout(
        canary=seed.choice([1, 2]),
        waves=(Amount(25, True), Amount(100, True)),
        max_surge=Amount(seed.choice([2, 4])),
        max_unavailable=Amount(seed.choice([0, 10]), percent=True),
        min_ready=Amount(80, percent=True),
        bake_seconds=seed.choice([0, 3600, 86400]),
        max_failed=Amount(10, percent=True),
    )
    drain = DrainPolicy(seed.random() < 0.5, 900)
    return Group(
        f"g{number}",
        "image",
        "production",
        "folder",
        SIZE,
        rollout=rollout,
        health=Health(within_seconds=120),
        drain=drain,
        step_seconds=120,
    )


def live(world: World, seed: random.Random) -> int:
    """A year: a new generation every few weeks, some bad, some revoked; how often it settled."""
    number = 1
    while world.now < START + YEAR:
        number += 1
        revoked = dict(world.line.revoked)
        if number > 4 and seed.random() < 0.3:
            revoked[number - 3] = world.now + timedelta(days=2)
        world.line = Line(number, tuple(range(1, number + 1)), revoked)
        if seed.random() < 0.2:
            world.bad |= {number}
        until = min(START + YEAR, world.now + timedelta(days=seed.randint(14, 35)))
        world.run(until)
        disturb(world, seed)
    return sum(isinstance(action, Settle) for _, action in world.log)


def disturb(world: World, seed: random.Random) -> None:
    """Instances that die on their own; somebody who has a failed generation tried again."""
    for name in seed.sample(sorted(world.instances), 2):
        if world.instances[name].state == "ready":
            world.instances[name] = replace(world.instances[name], state="failed", since=world.now)
    wanted = world.line.wanted
    if wanted in world.rotation.refused and wanted not in world.bad:
        world.rotation = resume(world.rotation, wanted)


def test_a_year_of_many_groups_keeps_every_rule() -> None:
    begin, times = time.process_time(), calendars()
    settled = 0
    for number in range(GROUPS):
        seed = random.Random(number)
        line = Line(1, (1,))
        world = World(group(number, seed), line, times[number % 3], number, failure=0.01)
        world.fill(1)
        settled += live(world, seed)
    print(f"{settled} rotations in {time.process_time() - begin:.1f} CPU s")
    assert settled > GROUPS * 8


@pytest.mark.parametrize("seed", range(100))
def test_a_bad_image_reaches_the_canary_at_most(seed: int) -> None:
    chance = random.Random(seed)
    kept = group(seed, chance)
    kept = replace(kept, rollout=replace(kept.rollout, max_failed=Amount(0)))
    world = World(kept, Line(2, (1, 2)), calendars()[seed % 3], seed, frozenset({2}), 0.02)
    world.fill(1)
    world.run(START + timedelta(days=30))
    assert world.reached[2] <= kept.rollout.canary
    assert any(isinstance(action, RollBack) for _, action in world.log)
    assert world.generations() == {1}
