"""Deciding what to do with a group: each rule of `decide`, and all of them in worlds of chance."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from regild.model.rotation import (
    Amount,
    DrainPolicy,
    Group,
    Health,
    Instance,
    Line,
    Rollout,
    Rotation,
)
from regild.rotate.advance import advance, resume
from regild.rotate.calendar import Calendar
from regild.rotate.decide import decide
from tests.rotate.world import START, World

HOUR = timedelta(hours=1)
TWO = Line(2, (1, 2))


def group(size: int = 4, **rollout: object) -> Group:
    return Group(
        "web",
        "web",
        "production",
        "folder",
        size,
        rollout=Rollout(**rollout),  # type: ignore[arg-type] - by its field names
        health=Health(within_seconds=120),
    )


def running(world: World, generation: int = 1) -> World:
    world.fill(generation)
    return world


def test_an_empty_group_is_filled_through_the_canary() -> None:
    world = World(group(), Line(1, (1,)))
    world.run(START + HOUR)
    assert [one.generation for one in world.instances.values()] == [1] * 4
    assert world.rotation.current == 1
    assert world.kinds()[:3] == ["Aim", "OpenWave", "Start"]


def test_a_new_generation_replaces_the_old_one_and_settles() -> None:
    world = running(World(group(), TWO))
    world.run(START + HOUR)
    assert world.generations() == {2}
    assert (world.rotation.current, world.rotation.previous) == (2, 1)
    assert world.rotation.phase == "idle"


def test_nothing_is_done_where_all_is_as_wanted() -> None:
    world = running(World(group(), Line(1, (1,))))
    assert world.ask().actions == ()


def test_with_surge_nothing_is_let_go_before_its_replacement_is_ready() -> None:
    world = running(World(group(max_surge=Amount(1)), TWO))
    world.settle()
    assert world.kinds() == ["Aim", "OpenWave", "Start"]


def test_without_surge_as_many_are_let_go_as_may_be_missing() -> None:
    rollout = {"max_surge": Amount(0), "max_unavailable": Amount(2), "canary": 0}
    world = running(World(group(**rollout), TWO))
    world.settle()
    assert world.kinds().count("Drain") == 2
    world.run(START + HOUR)
    assert world.generations() == {2}


def test_a_bad_generation_reaches_the_canary_and_is_rolled_back() -> None:
    world = running(World(group(), TWO, bad=frozenset({2})))
    world.run(START + HOUR)
    assert world.reached[2] == 1
    assert world.generations() == {1}
    assert world.rotation.refused == (2,)
    assert "1 of 1 instances failed on generation 2" in world.rotation.why


def test_without_rollback_it_is_halted_and_stays_so() -> None:
    world = running(World(group(rollback=False), TWO, bad=frozenset({2})))
    world.run(START + HOUR)
    assert world.rotation.phase == "halted"
    assert len([one for one in world.instances.values() if one.generation == 1]) == 4
    assert "halted" in " ".join(world.ask().waits)


def test_what_was_given_up_is_tried_again_when_somebody_says_so() -> None:
    world = running(World(group(), TWO, bad=frozenset({2})))
    world.run(START + HOUR)
    world.bad = frozenset()
    world.rotation = resume(world.rotation, 2)
    world.run(START + 2 * HOUR)
    assert world.generations() == {2}


def test_tolerated_failures_do_not_stop_a_rotation() -> None:
    world = running(World(group(max_failed=Amount(50), size=20), TWO, failure=0.2, seed=3))
    world.run(START + 6 * HOUR)
    assert world.generations() == {2}


def test_a_revoked_target_is_left() -> None:
    world = running(World(group(), TWO))
    world.settle()
    world.line = replace(world.line, revoked={2: START + timedelta(seconds=1)})
    world.run(START + HOUR)
    assert world.generations() == {1}
    assert "revoked" in world.rotation.why


def test_a_revoked_generation_is_not_aimed_at() -> None:
    world = running(World(group(), replace(TWO, revoked={2: START - HOUR})))
    decision = world.ask()
    assert decision.actions == ()
    assert "revoked" in decision.waits[0]


def test_a_wave_waits_for_a_window_with_room_for_it() -> None:
    short, long = START + HOUR, START + 10 * HOUR
    calendar = Calendar(((short, short + timedelta(seconds=60)), (long, long + 5 * HOUR)))
    world = running(World(group(), TWO, calendar))
    world.run(START + 9 * HOUR)
    assert world.generations() == {1}
    assert "wave 1 needs 0:02:00 in a window" in world.ask().waits[0]
    world.run(START + 15 * HOUR)
    assert world.generations() == {2}


def test_what_is_ready_too_late_takes_over_in_the_next_window() -> None:
    first = (START, START + timedelta(minutes=3))
    calendar = Calendar((first, (START + 10 * HOUR, START + 15 * HOUR)))
    world = running(World(group(), TWO, calendar, boot_seconds=(600, 600)))
    world.run(START + 9 * HOUR)
    assert len(world.instances) == 5, "the new one beside the old ones"
    assert "Drain" not in world.kinds()
    world.run(START + 15 * HOUR)
    assert world.generations() == {2}
    assert len(world.instances) == 4


def test_a_wave_waits_for_the_bake_time_of_the_one_before() -> None:
    world = running(World(group(bake_seconds=7200), TWO))
    world.run(START + HOUR)
    assert world.reached[2] == 1
    assert "bakes until" in world.ask().waits[0]
    world.run(START + 3 * HOUR)
    assert world.generations() == {2}


@pytest.mark.parametrize(("approval", "asked"), [("canary", [2]), ("waves", [1, 2])])
def test_a_wave_waits_for_approval(approval: str, asked: list[int]) -> None:
    world = running(World(group(approval=approval), TWO))
    for wave in asked:
        world.run(world.now + HOUR)
        assert f"wave {wave} waits for approval" in world.ask().waits[0]
        world.rotation = replace(world.rotation, approved=wave)
    world.run(world.now + HOUR)
    assert world.generations() == {2}


def test_people_are_waited_for_until_the_grace_is_over() -> None:
    drain = DrainPolicy(logoff=True, grace_seconds=1800)
    world = running(World(replace(group(size=1), drain=drain), TWO))
    (name,) = world.instances
    world.instances[name] = replace(world.instances[name], sessions=1)
    world.run(START + timedelta(minutes=20))
    assert world.instances[name].state == "draining"
    world.run(START + HOUR)
    assert name not in world.instances


def test_who_may_not_be_thrown_out_is_waited_for() -> None:
    drain = DrainPolicy(logoff=True, force=False)
    world = running(World(replace(group(size=1), drain=drain), TWO))
    (name,) = world.instances
    world.instances[name] = replace(world.instances[name], sessions=1)
    world.run(START + 50 * HOUR)
    assert world.instances[name].state == "draining"
    world.instances[name] = replace(world.instances[name], sessions=0)
    world.run(START + 51 * HOUR)
    assert name not in world.instances


def test_what_fails_on_its_own_is_made_again_at_any_time() -> None:
    world = running(World(group(), Line(1, (1,)), Calendar(())))
    name = next(iter(world.instances))
    world.instances[name] = replace(world.instances[name], state="failed")
    world.run(START + HOUR)
    assert len(world.instances) == 4
    assert {one.state for one in world.instances.values()} == {"ready"}


def test_opportunistic_replaces_only_what_is_made_anew_anyway() -> None:
    world = running(World(group(mode="opportunistic"), TWO))
    world.run(START + HOUR)
    assert world.generations() == {1}
    name = next(iter(world.instances))
    world.instances[name] = replace(world.instances[name], state="stopped")
    world.run(START + 2 * HOUR)
    assert [one.generation for one in world.instances.values()].count(2) == 1
    assert "Drain" not in world.kinds()


def test_staged_lays_the_target_ready_for_a_restart() -> None:
    world = running(World(group(mode="staged"), TWO))
    world.run(START + HOUR)
    staged = [one for one in world.instances.values() if one.staged == 2]
    assert len(staged) == 1, "the canary"
    world.instances[staged[0].name] = replace(staged[0], state="stopped")
    world.run(START + 2 * HOUR)
    assert [one.staged for one in world.instances.values() if one.generation == 1] == [2] * 3


def test_scaling_up_and_down_is_not_a_rotation() -> None:
    world = running(World(group(), Line(1, (1,)), Calendar(())))
    world.group = replace(world.group, size=6)
    world.run(START + HOUR)
    assert len(world.instances) == 6
    world.group = replace(world.group, size=2)
    world.run(START + 2 * HOUR)
    assert len(world.instances) == 2


def test_scaling_while_a_wave_is_open() -> None:
    world = running(World(group(size=8), TWO))
    world.run(START + timedelta(seconds=100))
    world.group = replace(world.group, size=3)
    world.run(START + 2 * HOUR)
    assert len(world.instances) == 3
    assert world.generations() == {2}


def test_a_personal_instance_is_its_owners_until_nobody_uses_it() -> None:
    world = running(World(group(), Line(1, (1,))))
    mine = Instance("web-anna", 0, "ready", START, sessions=1, owner="anna")
    world.instances["web-anna"] = mine
    world.run(START + HOUR)
    assert world.instances["web-anna"].state == "ready"
    world.instances["web-anna"] = replace(mine, sessions=0)
    world.run(START + 2 * HOUR)
    assert "web-anna" not in world.instances
    assert len(world.instances) == 4


def test_what_is_given_back_is_recycled() -> None:
    world = running(World(group(), Line(1, (1,))))
    world.instances["web-anna"] = Instance(
        "web-anna", 1, "ready", START, sessions=1, owner="anna", released=True
    )
    world.settle()
    assert "web-anna" not in world.instances


def test_forced_goes_ahead_outside_of_windows() -> None:
    world = running(World(group(), TWO, Calendar(())))
    world.rotation = replace(world.rotation, forced=True)
    world.run(START + HOUR)
    assert world.generations() == {2}
    assert not world.rotation.forced, "it held for this once"


def test_the_way_back_needs_no_window() -> None:
    opened = Calendar(((START, START + timedelta(minutes=3)),))
    world = running(World(group(), TWO, opened, bad=frozenset({2}), boot_seconds=(600, 600)))
    world.run(START + HOUR)
    assert world.generations() == {1}
    assert world.rotation.refused == (2,)


AMOUNTS = st.builds(Amount, st.integers(0, 4), st.just(False)) | st.builds(
    Amount, st.integers(1, 60), st.just(True)
)


@st.composite
def groups(draw: st.DrawFn) -> Group:
    size = draw(st.integers(1, 12))
    surge, missing = draw(AMOUNTS), draw(AMOUNTS)
    if surge.of(size) == 0 and missing.of(size, up=False) == 0:
        surge = Amount(1)
    mode = draw(st.sampled_from(["proactive", "proactive", "opportunistic", "staged"]))
    return Group(
        "g",
        "i",
        "c",
        "folder",
        size,
        rollout=Rollout(
            mode=mode,
            canary=draw(st.integers(0, 3)),
            waves=(Amount(draw(st.integers(10, 60)), True), Amount(100, True)),
            max_surge=surge,
            max_unavailable=missing,
            min_ready=Amount(draw(st.integers(0, size)) if surge.of(size) else 0),
            bake_seconds=draw(st.sampled_from([0, 60, 3600])),
            max_failed=draw(AMOUNTS),
            rollback=draw(st.booleans()),
        ),
        health=Health(within_seconds=100),
        drain=DrainPolicy(draw(st.booleans()), draw(st.integers(0, 600)), draw(st.booleans())),
    )


@settings(max_examples=150, deadline=None)
@given(groups(), st.integers(0, 2**32), st.sets(st.integers(2, 4)), st.floats(0, 0.3), st.data())
def test_the_rules_hold_in_every_world(
    kept: Group, seed: int, bad: set[int], failure: float, data: st.DataObject
) -> None:
    starts = [START + timedelta(hours=6 * number) for number in range(1, 20, 3)]
    calendar = Calendar(tuple((start, start + timedelta(hours=2)) for start in starts))
    world = World(kept, Line(1, (1,)), calendar, seed, frozenset(bad), failure)
    world.run(START + 5 * HOUR)
    for number in (2, 3, 4):
        line = Line(number, tuple(range(1, number + 1)), dict(world.line.revoked))
        if data.draw(st.booleans()):
            line.revoked[data.draw(st.integers(2, number))] = world.now + 3 * HOUR
        world.line = line
        world.run(world.now + data.draw(st.integers(1, 30)) * HOUR)


@settings(max_examples=60, deadline=None)
@given(groups(), st.integers(0, 2**32))
def test_with_instances_that_become_ready_a_proactive_group_gets_there(
    kept: Group, seed: int
) -> None:
    kept = replace(kept, rollout=replace(kept.rollout, mode="proactive"))
    world = World(kept, TWO, seed=seed)
    world.fill(1)
    world.run(START + 100 * HOUR)
    assert world.generations() == {2}
    assert len(world.instances) == kept.size
    assert world.rotation.phase == "idle"


@settings(max_examples=60, deadline=None)
@given(groups(), st.integers(0, 2**32))
def test_a_bad_generation_never_leaves_its_first_wave(kept: Group, seed: int) -> None:
    kept = replace(kept, rollout=replace(kept.rollout, canary=1, max_failed=Amount(0)))
    world = World(kept, TWO, seed=seed, bad=frozenset({2}))
    world.fill(1)
    world.run(START + 50 * HOUR)
    assert world.reached.get(2, 0) <= 1
    assert sum(one.generation == 1 for one in world.instances.values()) >= kept.size - 1


def test_equal_questions_have_equal_answers() -> None:
    world = running(World(group(), TWO))
    world.run(START + timedelta(seconds=90))
    assert world.ask() == world.ask()


def test_actions_of_no_consequence_leave_the_way_as_it_is() -> None:
    rotation = Rotation(current=1, target=1)
    world = running(World(group(), Line(1, (1,))))
    look = tuple(world.instances.values())
    assert decide(world.group, rotation, look, world.line, world.calendar, START).actions == ()
    for _, action in world.log:
        assert advance(rotation, action, START) == rotation
