"""Where work is done: a job is a row, and an engine has it carried out, here or on other machines.

    submit_job(change, key, kind, subject, facts)    the row; the same work is the same row
    engine.give(key)                                 now, or somewhere else
    engine.wait(seconds)                             until something ended
    read_job(view, key).result                       the row again

An engine carries nothing but a `Workplace` and keys, so that it may lie between machines: whatever
runs there calls `perform`, which takes the job with a lease, does it by the table `WORKS`, and ends
it. The lease has a token; an effect and the end of its job are one transaction that asks for the
token, so a worker that was only frozen cannot write a second time.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from regild.agent.keeping.storing import Store, open_store
from regild.agent.site import Site
from regild.errors import HostError, LeaseLost, RegildError, Unforeseen
from regild.host.process import has_ended, name_of_process
from regild.model.job import Job, Lease
from regild.model.progress import Progress, Silent
from regild.store import Catalogue, Writing
from regild.store.jobs import check_job, claim_job, end_job, put_back, read_job, renew_job

LEASE_SECONDS = 120.0
"""So long nothing is heard of a worker before another takes over; it renews three times in that."""
TRIES = 5
"""What may pass is tried so often."""
PAUSES = (60, 300, 900, 3600)
"""Seconds before the second try, the third and so on."""
ENDED = ("done", "failed")


@dataclass(frozen=True, slots=True)
class Workplace:
    """What a worker opens before it works: a value that travels to other processes."""

    site: Site
    place: Path | None = None
    """The store's folder; None: as the site's file says."""
    config: Path | None = None
    scratch: Path | None = None
    """Where images are worked on, on the machine of the worker."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What one job is done with."""

    workplace: Workplace
    store: Store
    progress: Progress
    lease: Lease

    @property
    def site(self) -> Site:
        """What the site wants."""
        return self.workplace.site

    def end(self, change: Writing, result: Mapping[str, Any]) -> Job:
        """Note that the job is done, in the transaction that writes its effect.

        Raises: LeaseLost where another has the job by now; then the effect is not written either.
        """
        return end_job(change, self.lease, result)


Work = Callable[[Desk, Job], Mapping[str, Any]]
"""Does a job and gives its result; where that has an effect in the catalogue, it ends the job
itself, in the same transaction. Doing it again after a kill must come to the same."""

WORKS: dict[str, str] = {
    "update": "regild.agent.minding.renewing:update_job",
    "late-patch": "regild.agent.minding.renewing:update_job",
    "push": "regild.agent.minding.promoting:push_job",
    "import": "regild.agent.minding.watching:import_job",
    "notify": "regild.agent.minding.notices:notify_job",
}
"""What does each kind of job, as MODULE:FUNCTION."""


class Engine(Protocol):
    """Has jobs carried out."""

    def give(self, key: str) -> None:
        """Have a job done, now or elsewhere; one that is at work already is left to it."""

    def wait(self, seconds: float) -> None:
        """Wait until a job has ended, or for so long."""

    def close(self) -> None:
        """Take on nothing more; jobs that are under way stay rows and are taken up again."""


class Inline:
    """Does each job at once, in this process."""

    def __init__(self, workplace: Workplace, progress: Progress) -> None:
        self._workplace, self._progress = workplace, progress

    def give(self, key: str) -> None:
        """Do a job.

        Raises: what opening the store raises; a job's own errors stand in its row.
        """
        perform(self._workplace, key, self._progress)

    def wait(self, seconds: float) -> None:
        """Nothing is under way."""

    def close(self) -> None:
        """Nothing is open."""


def finish(
    engine: Engine,
    catalogue: Catalogue,
    keys: Iterable[str],
    watch: Callable[[list[Job], datetime], None] = lambda jobs, now: None,
) -> Iterator[Job]:
    """Have jobs done, each as it ends: done, failed, or put back for later; `watch` is told now and
    then of those that have not ended."""
    with catalogue.reading() as view:
        begun = {key: read_job(view, key).attempts for key in keys}
    waiting = list(begun)
    while waiting:
        for key in waiting:
            engine.give(key)
        with catalogue.reading() as view:
            found = [read_job(view, key) for key in waiting]
            ended = [one for one in found if _has_ended(one, begun[one.key], view.now)]
            now = view.now
        yield from ended
        gone = {one.key for one in ended}
        waiting = [key for key in waiting if key not in gone]
        watch([one for one in found if one.key not in gone], now)
        if waiting:
            engine.wait(1.0)


def _has_ended(job: Job, begun: int, now: datetime) -> bool:
    """Whether nothing more is to be expected of a job at this time."""
    is_later = job.not_before is not None and job.not_before > now
    put_back = job.state == "waiting" and (is_later or (job.attempts > begun and bool(job.why)))
    return job.state in ENDED or put_back


def perform(workplace: Workplace, key: str, progress: Progress | None = None) -> Job:
    """Do a job, if nobody else has it: what every engine has its workers call.

    Raises: what opening the store raises, NotListed; a job's own errors stand in its row.
    """
    progress = progress or Silent()
    with open_store(workplace.place, workplace.config) as store:
        owner = f"{name_of_process()}:{secrets.token_hex(4)}"
        with store.catalogue.writing(store.actor) as change:
            taken = claim_job(change, key, owner, LEASE_SECONDS, is_gone)
            if taken is None:
                return read_job(change, key)
        job, lease = taken
        try:
            with _held(store, lease):
                result = _work_of(job.kind)(Desk(workplace, store, progress, lease), job)
            with store.catalogue.writing(store.actor) as change:
                ended = read_job(change, key)
                return ended if ended.state == "done" else end_job(change, lease, result)
        except LeaseLost:
            with store.catalogue.reading() as view:
                return read_job(view, key)
        except Exception as error:
            return _failed(store, job, lease, error)
        except BaseException:
            with contextlib.suppress(RegildError), store.catalogue.writing(store.actor) as change:
                put_back(change, lease, "its worker was ended")
            raise


def is_gone(owner: str) -> bool:
    """Whether a worker that held a lease is gone for certain, so that nobody need wait for it."""
    return has_ended(owner.rpartition(":")[0])


def _work_of(kind: str) -> Work:
    """What does a kind of job."""
    if kind not in WORKS:
        why = "this version of regild does not know how to do it"
        raise HostError(where=f"work of kind {kind}", why=why)
    module, _, name = WORKS[kind].partition(":")
    work: Work = getattr(import_module(module), name)
    return work


def _failed(store: Store, job: Job, lease: Lease, error: Exception) -> Job:
    """What failed waits for another try where that may help, or is over."""
    known = error if isinstance(error, RegildError) else _unforeseen(error)
    why, result = f"{type(known).__name__}: {known}", {"exit_code": known.exit_code}
    with store.catalogue.writing(store.actor) as change:
        try:
            check_job(change, lease)
        except LeaseLost:
            return read_job(change, job.key)
        if known.retryable and job.attempts < TRIES:
            pause = timedelta(seconds=PAUSES[min(job.attempts, len(PAUSES)) - 1])
            return put_back(change, lease, why, change.now + pause, result)
        return end_job(change, lease, result, why)


def _unforeseen(error: Exception) -> RegildError:
    return Unforeseen(what=f"{type(error).__name__}: {error}".rstrip(": "))


@contextlib.contextmanager
def _held(store: Store, lease: Lease) -> Iterator[None]:
    """Renew a lease as long as the work takes; a process that is frozen does not."""
    over = threading.Event()

    def renew() -> None:
        """Put the lease's end off, three times in its length."""
        while not over.wait(LEASE_SECONDS / 3):
            with (
                contextlib.suppress(RegildError),  # the work itself will notice, and say it
                store.catalogue.writing(store.actor) as change,
            ):
                renew_job(change, lease, LEASE_SECONDS)

    thread = threading.Thread(target=renew, name="regild-lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
