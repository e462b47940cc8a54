"""From what a driver shows to an instance's state, with and without a memory of before."""

from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from regild.model.rotation import Health, Instance, Seen
from regild.rotate.state import instance_of

NOW = datetime(2026, 5, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HEALTH = Health(within_seconds=300)
SEEN = Seen("web-1", 7)
READY = Instance("web-1", 7, "ready", NOW - 60 * MINUTE)


def judged(seen: Seen, before: Instance | None, health: Health = HEALTH) -> Instance:
    return instance_of(seen, before, health, NOW)


def test_a_new_one_starts_and_is_ready_when_its_health_says_so() -> None:
    assert judged(SEEN, None).state == "starting"
    assert judged(replace(SEEN, healthy=True), None).state == "ready"


def test_where_nobody_asks_for_health_it_is_ready_when_it_runs() -> None:
    assert judged(SEEN, None, Health("none")).state == "ready"


def test_one_that_is_not_ready_in_time_has_failed() -> None:
    early = Instance("web-1", 7, "starting", NOW - 4 * MINUTE)
    assert judged(replace(SEEN, healthy=False), early).state == "starting"
    late = Instance("web-1", 7, "starting", NOW - 5 * MINUTE)
    assert judged(replace(SEEN, healthy=False), late).state == "failed"


def test_one_that_ends_before_it_was_ready_has_failed_and_later_has_ended() -> None:
    starting = Instance("web-1", 7, "starting", NOW - MINUTE)
    assert judged(replace(SEEN, running=False), starting).state == "failed"
    assert judged(replace(SEEN, running=False), READY).state == "stopped"


def test_a_short_illness_is_waited_out() -> None:
    ill = judged(replace(SEEN, healthy=False), READY)
    assert (ill.state, ill.ill_since) == ("ready", NOW)
    assert judged(replace(SEEN, healthy=True), ill).ill_since is None
    long = replace(ill, ill_since=NOW - 5 * MINUTE)
    assert judged(replace(SEEN, healthy=False), long).state == "failed"


def test_health_that_cannot_be_asked_is_no_illness() -> None:
    assert judged(replace(SEEN, healthy=None), READY).ill_since is None


def test_the_time_of_a_state_is_kept_while_it_lasts() -> None:
    assert judged(replace(SEEN, healthy=True), READY).since == READY.since
    assert judged(replace(SEEN, draining=True), READY).since == NOW


def test_what_is_drained_stays_so_though_its_platform_cannot_tell() -> None:
    drained = Instance("web-1", 7, "draining", NOW - MINUTE)
    told = judged(replace(SEEN, healthy=True), drained)
    assert (told.state, told.since) == ("draining", NOW - MINUTE)
    assert judged(replace(SEEN, running=False), drained).state == "stopped"


def test_what_failed_stays_failed() -> None:
    failed = Instance("web-1", 7, "failed", NOW - MINUTE)
    assert judged(replace(SEEN, healthy=True), failed).state == "failed"


def test_what_only_the_catalogue_knows_is_kept() -> None:
    known = replace(READY, staged=8, released=True)
    found = judged(replace(SEEN, healthy=True, sessions=2, owner="anna"), known)
    assert (found.staged, found.released, found.sessions, found.owner) == (8, True, 2, "anna")
