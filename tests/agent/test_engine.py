"""Jobs are carried out once, whoever is killed, frozen or asked twice."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from regild.agent.keeping import engine
from regild.agent.keeping.engine import Desk, Inline, Workplace, finish, perform
from regild.agent.keeping.storing import Store, open_store
from regild.agent.site import Site
from regild.errors import FeedUnreachable, Malformed
from regild.host.process import has_ended, name_of_process
from regild.model.job import Job
from regild.model.progress import Silent
from regild.store.events import list_events, tell
from regild.store.jobs import find_job, read_job, submit_job

HERE = "tests.agent.test_engine"


def note_effect(desk: Desk, job: Job) -> Mapping[str, Any]:
    """An effect in the catalogue, together with the job's end."""
    with desk.store.catalogue.writing("worker") as change:
        tell(change, "effect", job.subject)
        desk.end(change, {"by": os.getpid()})
    return {}


def give_result(desk: Desk, job: Job) -> Mapping[str, Any]:
    return {"was": job.facts["word"]}


def refuse(desk: Desk, job: Job) -> Mapping[str, Any]:
    raise Malformed(where="the image", why="it is no image")


def lose_the_network(desk: Desk, job: Job) -> Mapping[str, Any]:
    raise FeedUnreachable(where="mirror.example", why="no route")


def stumble(desk: Desk, job: Job) -> Mapping[str, Any]:
    raise ZeroDivisionError("a bug")


def hang_first(desk: Desk, job: Job) -> Mapping[str, Any]:
    """Say that it has begun; the first one then sleeps."""
    (Path(job.facts["folder"]) / str(job.attempts)).touch()
    if job.attempts == 1:
        time.sleep(3)
    return note_effect(desk, job)


@pytest.fixture(autouse=True)
def works(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("note_effect", "give_result", "refuse", "lose_the_network", "stumble"):
        monkeypatch.setitem(engine.WORKS, name, f"{HERE}:{name}")
    monkeypatch.setitem(engine.WORKS, "hang_first", f"{HERE}:hang_first")


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    return Workplace(Site(), tmp_path / "store")


@pytest.fixture
def store(workplace: Workplace) -> Iterator[Store]:
    with open_store(workplace.place) as opened:
        yield opened


def submit(store: Store, kind: str, key: str = "a", **facts: object) -> None:
    with store.catalogue.writing("tests") as change:
        submit_job(change, key, kind, f"web@{key}", facts)


def effects(store: Store) -> list[str]:
    with store.catalogue.reading() as view:
        return [one.subject for one in list_events(view, kind="effect")]


def test_a_job_is_done_and_its_result_is_in_its_row(store: Store, workplace: Workplace) -> None:
    submit(store, "give_result", word="blue")
    submit(store, "note_effect", "b")
    ended = list(finish(Inline(workplace, Silent()), store.catalogue, ["a", "b"]))
    assert [(one.key, one.state) for one in ended] == [("a", "done"), ("b", "done")]
    assert ended[0].result == {"was": "blue"}
    assert ended[1].result == {"by": os.getpid()}


def test_what_is_done_is_not_done_again(store: Store, workplace: Workplace) -> None:
    submit(store, "note_effect")
    for _ in range(3):
        assert perform(workplace, "a").state == "done"
    assert effects(store) == ["web@a"]


def test_what_cannot_pass_is_over_and_what_can_waits(store: Store, workplace: Workplace) -> None:
    for key, kind in (("a", "refuse"), ("b", "lose_the_network"), ("c", "stumble"), ("d", "knit")):
        submit(store, kind, key)
    ended = {
        one.key: one for one in finish(Inline(workplace, Silent()), store.catalogue, list("abcd"))
    }
    assert (ended["a"].state, ended["a"].result) == ("failed", {"exit_code": 4})
    assert "it is no image" in ended["a"].why
    assert ended["b"].state == "waiting"
    assert ended["b"].not_before is not None
    assert "no route" in ended["b"].why
    assert (ended["c"].state, ended["c"].result["exit_code"]) == ("failed", 70)
    assert "ZeroDivisionError: a bug" in ended["c"].why
    assert "does not know how" in ended["d"].why


def test_what_may_pass_is_given_up_after_some_tries(store: Store, workplace: Workplace) -> None:
    submit(store, "lose_the_network")
    for _ in range(engine.TRIES - 1):
        assert perform(workplace, "a").state == "waiting"
        assert perform(workplace, "a").attempts == read_again(store).attempts  # not due yet
        make_due(store)
    assert perform(workplace, "a").state == "failed"


def read_again(store: Store) -> Job:
    with store.catalogue.reading() as view:
        return read_job(view, "a")


def make_due(store: Store) -> None:
    from sqlalchemy import update

    from regild.store.schema import jobs

    with store.catalogue.writing("tests") as change:
        change.connection.execute(update(jobs).values(not_before=change.now))


def _worker(place: Path, lease_seconds: float) -> None:
    engine.WORKS["hang_first"] = f"{HERE}:hang_first"
    engine.LEASE_SECONDS = lease_seconds
    perform(Workplace(Site(), place), "a")


def started(place: Path, folder: Path, lease_seconds: float) -> multiprocessing.Process:
    process = multiprocessing.get_context("spawn").Process(
        target=_worker, args=(place, lease_seconds)
    )
    process.start()
    until = time.monotonic() + 60
    while not (folder / "1").exists():
        assert time.monotonic() < until
        time.sleep(0.02)
    return process


def test_a_killed_workers_job_is_taken_over_at_once(
    store: Store, workplace: Workplace, tmp_path: Path
) -> None:
    submit(store, "hang_first", folder=str(tmp_path))
    assert workplace.place
    process = started(workplace.place, tmp_path, 3600)
    assert perform(workplace, "a").state == "running"  # it is left to who has it
    process.kill()
    process.join()
    ended = perform(workplace, "a")
    assert (ended.state, ended.attempts) == ("done", 2)
    assert effects(store) == ["web@a"]


def test_a_frozen_worker_that_wakes_up_writes_nothing(
    store: Store, workplace: Workplace, tmp_path: Path
) -> None:
    submit(store, "hang_first", folder=str(tmp_path))
    assert workplace.place
    process = started(workplace.place, tmp_path, 1.5)
    assert process.pid
    os.kill(process.pid, signal.SIGSTOP)
    until = time.monotonic() + 60
    while perform(workplace, "a").state != "done":
        assert time.monotonic() < until
        time.sleep(0.2)
    os.kill(process.pid, signal.SIGCONT)
    process.join()
    assert process.exitcode == 0
    assert effects(store) == ["web@a"]


def test_who_is_ended_puts_the_job_back(
    store: Store, workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(desk: Desk, job: Job) -> Mapping[str, Any]:
        raise KeyboardInterrupt

    submit(store, "give_result", word="blue")
    monkeypatch.setattr(f"{HERE}.give_result", interrupted)
    with pytest.raises(KeyboardInterrupt):
        perform(workplace, "a")
    with store.catalogue.reading() as view:
        job = find_job(view, "a")
    assert job is not None
    assert (job.state, job.why) == ("waiting", "its worker was ended")


def test_a_long_job_keeps_its_lease(
    store: Store, workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "LEASE_SECONDS", 0.9)
    submit(store, "hang_first", folder=str(tmp_path))
    assert workplace.place
    process = started(workplace.place, tmp_path, 0.9)
    until = time.monotonic() + 2
    while time.monotonic() < until:
        with store.catalogue.reading() as view:
            job = read_job(view, "a")
            assert job.until is None or job.until > view.now - timedelta(seconds=0.5)
        time.sleep(0.1)
    process.join()
    assert effects(store) == ["web@a"]
    assert read_again(store).attempts == 1


def test_a_process_is_known_to_be_gone_only_where_it_can_be_seen() -> None:
    mine = name_of_process()
    assert not has_ended(mine)
    place = mine.partition(":")[0]
    assert has_ended(f"{place}:{os.getpid()}:1")
    assert not has_ended(f"elsewhere/{place.partition('/')[2]}:{os.getpid()}:1")
    assert not has_ended("worker 1")
