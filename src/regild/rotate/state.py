"""From what a driver shows now, and what was known before, to an instance's state; pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from regild.model.rotation import Health, Instance, InstanceState, Seen


def instance_of(seen: Seen, before: Instance | None, health: Health, now: datetime) -> Instance:
    """An instance as it is to be judged now.

    One that is not ready in time has failed, and so has one that was ready and then ill for as
    long; one that ends before it was ever ready has failed too, one that ends later has ended.
    """
    ill_since = _ill_since(seen, before, now)
    state = _state(seen, before, health, now, ill_since)
    is_as_before = before is not None and before.state == state
    return Instance(
        seen.name,
        seen.generation,
        state,
        before.since if before and is_as_before else now,
        staged=before.staged if before else 0,
        sessions=seen.sessions,
        owner=seen.owner,
        released=before.released if before else False,
        ill_since=ill_since,
    )


def _ill_since(seen: Seen, before: Instance | None, now: datetime) -> datetime | None:
    if seen.healthy is not False or before is None or before.state != "ready":
        return None
    return before.ill_since or now


def _state(
    seen: Seen,
    before: Instance | None,
    health: Health,
    now: datetime,
    ill_since: datetime | None,
) -> InstanceState:
    was = before.state if before else "starting"
    patience = timedelta(seconds=health.within_seconds)
    if was == "failed":
        return "failed"
    if not seen.running:
        return "failed" if was == "starting" else "stopped"
    if seen.draining or was == "draining":
        return "draining"
    if was == "ready":
        return "failed" if ill_since and now - ill_since >= patience else "ready"
    if seen.healthy or health.kind == "none":
        return "ready"
    since = before.since if before else now
    return "failed" if now - since >= patience else "starting"
