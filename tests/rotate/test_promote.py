"""What may be promoted: each rule, and that nothing else ever is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from regild.model.generation import Channel
from regild.model.policy import ImagePolicy
from regild.model.rotation import Line, Phase, Rotation
from regild.rotate.calendar import ALWAYS, Calendar
from regild.rotate.promote import Follower, Promotions, decide_promotions

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
WAY = ("dev", "canary", "production")


def channel(name: str, number: int | None, ago: timedelta = HOUR, pinned: bool = False) -> Channel:
    return Channel("web", name, number, NOW - ago, pinned=pinned)


def decided(
    *channels: Channel,
    policy: ImagePolicy | None = None,
    line: Line | None = None,
    followers: tuple[Follower, ...] = (),
    verdicts: dict[str, str] | None = None,
    calendar: Calendar = ALWAYS,
) -> Promotions:
    return decide_promotions(
        policy or ImagePolicy("web"),
        "web",
        channels,
        line or Line(0, tuple(range(1, 20))),
        followers,
        verdicts or {},  # type: ignore[arg-type] # of tests, plain texts
        calendar,
        NOW,
    )


def steps(found: Promotions) -> list[tuple[str, int]]:
    return [(one.channel, one.number) for one in found.steps]


def test_each_channel_takes_what_the_one_before_it_has() -> None:
    found = decided(channel("dev", 3), channel("canary", 2), channel("production", 1))
    assert steps(found) == [("canary", 3), ("production", 2)]


def test_a_channel_that_never_pointed_anywhere_is_filled() -> None:
    assert steps(decided(channel("dev", 1), channel("canary", None))) == [("canary", 1)]


def test_a_channel_never_goes_back_by_itself() -> None:
    assert decided(channel("dev", 1), channel("canary", 2)) == Promotions()


def test_a_generation_bakes_first() -> None:
    policy = ImagePolicy("web", bake_seconds=7200)
    found = decided(channel("dev", 2), channel("canary", 1), policy=policy)
    assert steps(found) == []
    assert found.again == NOW + HOUR
    assert "bakes in dev until 2026-05-01 13:00Z" in found.waits[0]


def follower(phase: Phase, current: int, refused: tuple[int, ...] = ()) -> Follower:
    return Follower("web-dev", "dev", Rotation(current=current, phase=phase, refused=refused))


def test_groups_settle_before_anything_goes_on() -> None:
    at = channel("dev", 2), channel("canary", 1)
    for late in (follower("rotating", 1), follower("idle", 1)):
        assert "has not settled" in decided(*at, followers=(late,)).waits[0]
    assert steps(decided(*at, followers=(follower("idle", 2),))) == [("canary", 2)]


def test_what_a_group_gave_up_goes_no_further() -> None:
    gave_up = follower("idle", 1, (2,))
    found = decided(channel("dev", 2), channel("canary", 1), followers=(gave_up,))
    assert (steps(found), found.halted) == (
        [],
        ("web@2 -> canary: group web-dev has given it up",),
    )


def test_what_is_revoked_goes_no_further() -> None:
    line = Line(0, (1, 2), {2: NOW})
    found = decided(channel("dev", 2), channel("canary", 1), line=line)
    assert (steps(found), len(found.halted)) == ([], 1)


def test_a_pinned_channel_stays() -> None:
    found = decided(channel("dev", 2), channel("canary", 1, pinned=True))
    assert (steps(found), "pinned" in found.waits[0]) == ([], True)


def test_people_are_asked_where_the_policy_says_so() -> None:
    policy = ImagePolicy("web", approval=("production",))
    at = channel("canary", 2), channel("production", 1)
    question = "web@2 -> production"
    found = decided(*at, policy=policy)
    assert (steps(found), found.asks) == ([], (question,))
    assert steps(decided(*at, policy=policy, verdicts={question: "approved"})) == [
        ("production", 2)
    ]
    refused = decided(*at, policy=policy, verdicts={question: "refused"})
    assert (steps(refused), refused.asks, len(refused.halted)) == ([], (), 1)


def test_channels_move_inside_of_windows() -> None:
    at = channel("dev", 2), channel("canary", 1)
    later = Calendar(((NOW + HOUR, NOW + 2 * HOUR),))
    found = decided(*at, calendar=later)
    assert (steps(found), found.again) == ([], NOW + HOUR)
    assert "none is known" in decided(*at, calendar=Calendar(())).waits[0]
    assert steps(decided(*at, calendar=Calendar(((NOW - HOUR, NOW + HOUR),))))


NUMBERS = st.one_of(st.none(), st.integers(1, 5))


@given(
    numbers=st.lists(NUMBERS, min_size=3, max_size=3),
    pinned=st.lists(st.booleans(), min_size=3, max_size=3),
    revoked=st.sets(st.integers(1, 5)),
    refused=st.sets(st.integers(1, 5)),
    settled=st.integers(0, 5),
    approved=st.booleans(),
    ages=st.lists(st.integers(0, 3), min_size=3, max_size=3),
)
def test_nothing_moves_that_must_not(
    numbers: list[int | None],
    pinned: list[bool],
    revoked: set[int],
    refused: set[int],
    settled: int,
    approved: bool,
    ages: list[int],
) -> None:
    way = tuple(
        channel(name, number, age * HOUR, pin)
        for name, number, pin, age in zip(WAY, numbers, pinned, ages, strict=True)
    )
    group = Follower("g", "dev", Rotation(current=settled, refused=tuple(refused)))
    policy = ImagePolicy("web", bake_seconds=3600, approval=("production",))
    verdicts = {f"web@{n} -> production": "approved" for n in range(1, 6)} if approved else {}
    line = Line(0, (1, 2, 3, 4, 5), dict.fromkeys(revoked, NOW))
    found = decided(*way, policy=policy, line=line, followers=(group,), verdicts=verdicts)
    for step in found.steps:
        after = next(one for one in way if one.name == step.channel)
        before = way[way.index(after) - 1]
        assert step.number == before.number
        assert step.number > (after.number or 0)
        assert step.number not in revoked
        assert not after.pinned
        assert before.since is not None
        assert NOW - before.since >= HOUR
        if before.name == "dev":
            assert step.number == settled
            assert step.number not in refused
        assert approved or step.channel != "production"
