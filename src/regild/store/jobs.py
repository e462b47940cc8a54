"""Work as rows: the same work is one row, one worker at a time has it, and a frozen one that wakes
up too late can write nothing.

A worker takes a job with a lease that ends by itself. Whoever takes it over after that gets a
higher token; every step that writes shows its token, and an old one is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, insert, select, update

from regild.errors import LeaseLost, NotListed
from regild.model.job import Job, Lease
from regild.store.catalogue import Reading, Writing
from regild.store.events import tell
from regild.store.schema import jobs


def submit_job(
    change: Writing,
    key: str,
    kind: str,
    subject: str,
    facts: Mapping[str, Any] | None = None,
    not_before: datetime | None = None,
) -> Job:
    """Ask for some work; where it was asked for already, that job, whatever its state."""
    known = find_job(change, key)
    if known is not None:
        return known
    row: dict[str, Any] = {"key": key, "kind": kind, "subject": subject, "state": "waiting"}
    row |= {"facts": dict(facts or {}), "result": {}, "why": "", "attempts": 0, "owner": ""}
    row |= {"token": 0, "not_before": not_before, "made": change.now, "changed": change.now}
    change.connection.execute(insert(jobs).values(row))
    tell(change, "job.submit", subject, {"key": key, "kind": kind})
    return read_job(change, key)


def claim_job(
    change: Writing,
    key: str,
    owner: str,
    lease_seconds: float,
    has_ended: Callable[[str], bool] = lambda owner: False,
) -> tuple[Job, Lease] | None:
    """One job for one owner; None where it is done, is not due, or another has it.

    An owner of whom `has_ended` says that it is gone has it no longer, whatever its lease says.

    Raises: NotListed.
    """
    job = read_job(change, key)
    if job.not_before is not None and job.not_before > change.now:
        return None
    held = job.until is not None and job.until > change.now and not has_ended(job.owner)
    if job.state not in ("waiting", "running") or (job.state == "running" and held):
        return None
    row = change.connection.execute(select(jobs).where(jobs.c.key == key)).one()
    return _taken(change, row, owner, lease_seconds)


def _taken(change: Writing, row: Row[Any], owner: str, lease_seconds: float) -> tuple[Job, Lease]:
    """A job becomes an owner's, with a token that nobody had before."""
    until = change.now + timedelta(seconds=lease_seconds)
    values = {"state": "running", "owner": owner, "until": until, "token": row.token + 1}
    values |= {"attempts": row.attempts + 1, "changed": change.now}
    change.connection.execute(update(jobs).where(jobs.c.id == row.id).values(values))
    facts = {"key": row.key, "attempt": row.attempts + 1, "after": row.owner}
    tell(change, "job.take", row.subject, facts)
    return read_job(change, row.key), Lease(row.key, owner, until, row.token + 1)


def renew_job(change: Writing, lease: Lease, lease_seconds: float) -> Lease:
    """Have a job for longer.

    Raises: LeaseLost.
    """
    until = change.now + timedelta(seconds=lease_seconds)
    check_job(change, lease)
    change.connection.execute(update(jobs).where(jobs.c.key == lease.name).values(until=until))
    return Lease(lease.name, lease.owner, until, lease.token)


def check_job(view: Reading, lease: Lease) -> Job:
    """A job is still its worker's; asked inside the transaction that writes the job's effect.

    A lease that has ended and that nobody took over still holds.

    Raises: LeaseLost.
    """
    job = read_job(view, lease.name)
    if job.state != "running" or _token(view, lease.name) != lease.token:
        why = f"{job.owner or 'somebody'} took it over" if job.state == "running" else job.state
        raise LeaseLost(where=f"job {lease.name}", why=why)
    return job


def end_job(
    change: Writing, lease: Lease, result: Mapping[str, Any] | None = None, failed: str = ""
) -> Job:
    """A job is done, or has failed for a reason.

    Raises: LeaseLost.
    """
    job = check_job(change, lease)
    state = "failed" if failed else "done"
    values: dict[str, Any] = {"state": state, "result": dict(result or {}), "why": failed}
    values |= {"until": None, "changed": change.now}
    change.connection.execute(update(jobs).where(jobs.c.key == lease.name).values(values))
    tell(change, f"job.{state}", job.subject, {"key": job.key, "why": failed})
    return read_job(change, lease.name)


def put_back(
    change: Writing,
    lease: Lease,
    why: str,
    not_before: datetime | None = None,
    result: Mapping[str, Any] | None = None,
) -> Job:
    """A job waits again: what failed may pass; `result` is what can be said so far.

    Raises: LeaseLost.
    """
    job = check_job(change, lease)
    values: dict[str, Any] = {"state": "waiting", "why": why, "not_before": not_before}
    values |= {"until": None, "changed": change.now, "result": dict(result or {})}
    change.connection.execute(update(jobs).where(jobs.c.key == lease.name).values(values))
    tell(change, "job.wait", job.subject, {"key": job.key, "why": why})
    return read_job(change, lease.name)


def mark(change: Writing, key: str, kind: str, facts: Mapping[str, Any]) -> None:
    """Note how far some work has come that never ends, as a job that is always done."""
    if find_job(change, key) is None:
        submit_job(change, key, kind, kind)
    values = {"state": "done", "facts": dict(facts), "changed": change.now}
    change.connection.execute(update(jobs).where(jobs.c.key == key).values(values))


def retry_job(change: Writing, key: str) -> Job:
    """Have a job that has failed, or waits for its next try, done again at once.

    Raises: NotListed for one that is not there, is at work or is done.
    """
    job = read_job(change, key)
    if job.state not in ("failed", "waiting"):
        raise NotListed(where=f"a job {key} that failed", why=f"it is {job.state}")
    values: dict[str, Any] = {"state": "waiting", "attempts": 0, "not_before": None, "why": ""}
    values |= {"until": None, "changed": change.now, "result": {}}
    change.connection.execute(update(jobs).where(jobs.c.key == key).values(values))
    tell(change, "job.retry", job.subject, {"key": key})
    return read_job(change, key)


def find_job(view: Reading, key: str) -> Job | None:
    """A job by its key."""
    row = view.connection.execute(select(jobs).where(jobs.c.key == key)).first()
    return None if row is None else _job(row)


def read_job(view: Reading, key: str) -> Job:
    """A job that is there.

    Raises: NotListed.
    """
    found = find_job(view, key)
    if found is None:
        raise NotListed(where=f"job {key}", why="nobody asked for it")
    return found


def list_jobs(view: Reading, *, state: str = "", subject: str = "") -> tuple[Job, ...]:
    """Jobs in their order, of one state or subject."""
    wanted = select(jobs).order_by(jobs.c.id)
    if state:
        wanted = wanted.where(jobs.c.state == state)
    if subject:
        wanted = wanted.where(jobs.c.subject == subject)
    return tuple(_job(row) for row in view.connection.execute(wanted))


def _token(view: Reading, key: str) -> int:
    wanted = select(jobs.c.token).where(jobs.c.key == key)
    return int(view.connection.execute(wanted).scalar_one())


def _job(row: Row[Any]) -> Job:
    return Job(
        key=row.key,
        kind=row.kind,
        subject=row.subject,
        state=row.state,
        facts=row.facts,
        result=row.result,
        why=row.why,
        attempts=row.attempts,
        owner=row.owner,
        until=row.until,
        not_before=row.not_before,
        made=row.made,
        changed=row.changed,
    )
