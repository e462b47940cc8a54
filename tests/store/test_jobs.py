from __future__ import annotations

import multiprocessing

import pytest

from regild.errors import LeaseLost, NotListed
from regild.store import Catalogue, open_catalogue
from regild.store.events import list_events
from regild.store.jobs import (
    check_job,
    claim_job,
    end_job,
    list_jobs,
    put_back,
    read_job,
    renew_job,
    submit_job,
)
from regild.store.leases import check_lease, forget_lease, give_back, take_lease
from tests.store.samples import DAY, later

KEYS = [f"job {number}" for number in range(40)]


def test_the_same_work_is_one_job(catalogue: Catalogue) -> None:
    with catalogue.writing("agent", DAY) as change:
        first = submit_job(change, "plan:web", "plan", "web@1", {"mode": "security"})
        again = submit_job(change, "plan:web", "plan", "web@1")
        assert first == again
        assert [one.key for one in list_jobs(change)] == ["plan:web"]


def test_a_job_is_had_by_one_worker_and_ends_once(catalogue: Catalogue) -> None:
    with catalogue.writing("agent", DAY) as change:
        submit_job(change, "a", "update", "web@1")
        taken = claim_job(change, "a", "worker 1", 60)
        assert taken is not None
        job, lease = taken
        assert (job.state, job.owner, job.attempts) == ("running", "worker 1", 1)
        assert claim_job(change, "a", "worker 2", 60) is None
        end_job(change, lease, {"generation": "web@2"})
        assert read_job(change, "a").result == {"generation": "web@2"}
        with pytest.raises(LeaseLost, match="done"):
            end_job(change, lease)


def test_a_frozen_worker_that_wakes_up_too_late_writes_nothing(catalogue: Catalogue) -> None:
    with catalogue.writing("agent", DAY) as change:
        submit_job(change, "a", "update", "web@1")
        frozen = claim_job(change, "a", "worker 1", 60)
    with catalogue.writing("agent", later(seconds=61)) as change:
        other = claim_job(change, "a", "worker 2", 60)
        assert frozen is not None
        assert other is not None
        assert other[1].token > frozen[1].token
        for late in (check_job, end_job):
            with pytest.raises(LeaseLost, match="worker 2 took it over"):
                late(change, frozen[1])
        assert check_job(change, other[1]).attempts == 2


def test_a_lease_that_is_renewed_is_not_taken_over(catalogue: Catalogue) -> None:
    with catalogue.writing("agent", DAY) as change:
        submit_job(change, "a", "update", "web@1")
        taken = claim_job(change, "a", "worker 1", 60)
        assert taken is not None
    with catalogue.writing("agent", later(seconds=50)) as change:
        renew_job(change, taken[1], 60)
    with catalogue.writing("agent", later(seconds=100)) as change:
        assert claim_job(change, "a", "worker 2", 60) is None


def test_a_job_waits_for_its_time_and_goes_back_for_a_reason(catalogue: Catalogue) -> None:
    with catalogue.writing("agent", DAY) as change:
        submit_job(change, "a", "update", "web@1", not_before=later(hours=1))
        assert claim_job(change, "a", "worker 1", 60) is None
    with catalogue.writing("agent", later(hours=2)) as change:
        taken = claim_job(change, "a", "worker 1", 60)
        assert taken is not None
        back = put_back(change, taken[1], "the mirror is away", later(hours=3))
        assert (back.state, back.why) == ("waiting", "the mirror is away")
        kinds = [one.kind for one in list_events(change, subject="web@1")]
    assert kinds == ["job.submit", "job.take", "job.wait"]
    with catalogue.reading() as view, pytest.raises(NotListed):
        read_job(view, "b")


def test_a_right_has_one_owner_at_a_time_and_tokens_grow(catalogue: Catalogue) -> None:
    with catalogue.writing("agent", DAY) as change:
        first = take_lease(change, "leader", "one", 30)
        assert first is not None
        assert take_lease(change, "leader", "two", 30) is None
        assert take_lease(change, "leader", "one", 30) == first
    with catalogue.writing("agent", later(seconds=31)) as change:
        with pytest.raises(LeaseLost, match="its time is up"):
            check_lease(change, first)
        second = take_lease(change, "leader", "two", 30)
        assert second is not None
        assert second.token == first.token + 1
        with pytest.raises(LeaseLost, match="two has it"):
            check_lease(change, first)
        give_back(change, first)
        check_lease(change, second)
        give_back(change, second)
        third = take_lease(change, "leader", "one", 30)
        assert third is not None
        assert third.token == second.token + 1
        forget_lease(change, third)
        with pytest.raises(LeaseLost):
            check_lease(change, third)


def _work(place: str, worker: int) -> None:
    with open_catalogue(place) as catalogue:
        while True:
            with catalogue.writing(f"worker {worker}") as change:
                free = (claim_job(change, key, f"worker {worker}", 600) for key in KEYS)
                taken = next(filter(None, free), None)
                if taken is None:
                    return
                end_job(change, taken[1], {"by": worker})


def test_workers_at_once_do_every_job_once(place: str) -> None:
    with open_catalogue(place) as catalogue, catalogue.writing("agent") as change:
        for key in KEYS:
            submit_job(change, key, "test", "web")
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=_work, args=(place, one)) for one in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0
    with open_catalogue(place) as catalogue, catalogue.reading() as view:
        assert {(one.state, one.attempts) for one in list_jobs(view)} == {("done", 1)}
