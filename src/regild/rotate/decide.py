"""What to do now with a group's instances, so that it comes to the wanted generation; pure.

Rules, each a property in the tests:
* nothing that is done on purpose leaves fewer instances ready than the group's floor;
* instances are let go, and waves are opened, only inside a window; what was begun may end after it;
* a generation that is revoked is never started;
* a generation that fails is given up before a wave opens behind the one it failed in;
* the way back is open at any time, and without a window;
* with instances that become ready, the group comes to the wanted generation.

The caller carries the actions out, notes them with `advance`, looks again, and asks again.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from regild.model.rotation import (
    Action,
    Aim,
    Decision,
    Drain,
    Group,
    Halt,
    Instance,
    Line,
    OpenWave,
    RollBack,
    Rotation,
    Settle,
    Stage,
    Start,
    Stop,
)
from regild.rotate.calendar import Calendar
from regild.rotate.look import Look, wave_cap, wave_count, wave_time


def decide(
    group: Group,
    rotation: Rotation,
    instances: tuple[Instance, ...],
    line: Line,
    calendar: Calendar,
    now: datetime,
) -> Decision:
    """The actions that bring a group nearer to its wanted generation, and what is waited for."""
    look = Look(group, rotation, instances, line, calendar, now)
    if turn := _new_target(look) or _given_up(look):
        return Decision((turn,))
    # One kind at a time: what is let go is judged when what begins is there.
    if actions := (*_ends(look), *_starts(look)) or _departures(look):
        return Decision(actions, again=_next_moment(look))
    step, waits = _next_step(look)
    return Decision(tuple(step), tuple(waits), _next_moment(look))


# --- the direction


def _new_target(look: Look) -> Action | None:
    """Turn to what the channel points at."""
    wanted, rotation = look.line.wanted, look.rotation
    if wanted in (0, rotation.target) or rotation.phase == "rolling-back":
        return None
    if wanted in rotation.refused or not look.is_usable(wanted):
        return None
    if wanted == rotation.current and not look.others and rotation.phase == "idle":
        return None
    return Aim(wanted, f"the channel {look.group.channel} points at generation {wanted}")


def _given_up(look: Look) -> Action | None:
    """Leave a target that fails or was revoked before all instances had it."""
    target, phase = look.rotation.target, look.rotation.phase
    why = _fault_of_target(look) if phase in ("rotating", "rolling-back") else ""
    if not why:
        return None
    if look.group.rollout.rollback and look.refuge:
        return RollBack(look.refuge, target, why)
    return Halt(target, why)


def _fault_of_target(look: Look) -> str:
    target = look.rotation.target
    if not look.is_usable(target):
        return f"generation {target} was revoked"
    if look.rotation.phase == "rolling-back":
        return ""  # there is nothing better to try than to go on
    failed = [one for one in look.own if one.state == "failed" and one.generation == target]
    count = look.rotation.failures + len(failed)
    if count > look.group.rollout.max_failed.of(look.cap, up=False):
        return f"{count} of {look.cap} instances failed on generation {target}"
    return ""


# --- what ends


def _ends(look: Look) -> tuple[Stop, ...]:
    """Instances that have failed, ended, been given back, or that nobody uses any more."""
    return tuple(stop for one in look.instances if (stop := _end_of(one, look)))


def _end_of(one: Instance, look: Look) -> Stop | None:
    if one.state == "failed":
        counts = look.rotation.phase == "rotating" and one.generation == look.rotation.target
        return Stop(one.name, one.generation if counts else 0, "it failed")
    if one.state == "stopped":
        return Stop(one.name, why="it has ended by itself")
    if one.released:
        return Stop(one.name, why="it was given back")
    if one.state == "draining" and _is_drained(one, look):
        return Stop(one.name, why="it is drained")
    return None


def _is_drained(one: Instance, look: Look) -> bool:
    """Whether nobody uses an instance any more, or the grace for those who do is over."""
    drain = look.group.drain
    if not drain.logoff or one.sessions == 0:
        return True
    return drain.force and look.now >= one.since + timedelta(seconds=drain.grace_seconds)


# --- what begins


def _starts(look: Look) -> tuple[Action, ...]:
    """New instances: in place of those that are missing, and as surge ahead of those to go."""
    missing = look.group.size - len(look.alive)
    target = look.rotation.target
    room = missing + (look.surge if _may_surge(look) else 0)
    renewing = max(0, min(look.cap - len(look.renewed), room))
    if not look.is_usable(target):
        renewing = 0
    first = tuple(Start(target, _why_start(look)) for _ in range(renewing))
    rest = max(0, missing - renewing) if look.rest_generation else 0
    keep = tuple(Start(look.rest_generation, "an instance is missing") for _ in range(rest))
    return (*first, *keep)


def _may_surge(look: Look) -> bool:
    """Whether instances are to be made ahead of others that go for them."""
    is_renewed_now = look.group.rollout.mode == "proactive" or look.rotation.phase == "rolling-back"
    return is_renewed_now and look.may_begin and bool(look.others)


def _why_start(look: Look) -> str:
    if look.rotation.phase == "rolling-back":
        return f"back to generation {look.rotation.target}"
    if look.rotation.phase == "rotating":
        return f"wave {look.rotation.wave}"
    return "an instance is missing"


# --- what is let go


def _departures(look: Look) -> tuple[Action, ...]:
    """Instances to let go, or to lay the target ready for, as the mode has it."""
    surplus = _surplus(look)
    spared = look.ready - look.floor
    actions: list[Action] = []
    for one in surplus:
        if one.state == "ready":
            if spared <= 0:
                continue
            spared -= 1
        actions.append(Drain(one.name, _why_drain(one, look)))
    return (*actions, *_staged(look), *_personal(look))


def _surplus(look: Look) -> list[Instance]:
    """The instances that must go, the least useful first."""
    over = len(look.staying) - look.group.size - _awaited_surge(look)
    extra = [*_by_use(look.others), *_by_use(look.renewed)]
    if look.rotation.phase == "halted":
        extra = [*_by_use(look.renewed), *_by_use(look.others)]
    if look.group.rollout.mode != "proactive" and look.rotation.phase != "rolling-back":
        return extra[: max(0, over)]
    if not look.may_begin or look.rotation.phase == "halted":
        return extra[: max(0, over)]
    kept = look.group.size - look.cap
    going = _by_use(look.others)[: max(0, len(look.others) - kept)]
    going += _by_use(look.renewed)[: max(0, len(look.renewed) - look.cap)]
    return going


def _awaited_surge(look: Look) -> int:
    """Surge that waits for a window to take over; it is not one too many."""
    if look.rotation.phase != "rotating" or look.may_begin:
        return 0
    return min(look.surge, len(look.renewed), len(look.others))


def _by_use(instances: tuple[Instance, ...]) -> list[Instance]:
    """Those first that are missed least."""
    return sorted(
        instances, key=lambda one: (one.state == "ready", one.sessions, one.generation, one.name)
    )


def _why_drain(one: Instance, look: Look) -> str:
    if look.rotation.phase in ("idle", "halted"):
        return "there are more than the group wants"
    return f"generation {look.rotation.target} takes over from {one.generation}"


def _staged(look: Look) -> tuple[Action, ...]:
    """Lay the target ready for the next restart of as many as the wave allows."""
    target = look.rotation.target
    if look.group.rollout.mode != "staged" or not look.may_begin or not look.is_usable(target):
        return ()
    waiting = [one for one in look.others if one.staged == target]
    room = look.cap - len(look.renewed) - len(waiting)
    others = [one for one in _by_use(look.others) if one.staged != target]
    return tuple(Stage(one.name, target, _why_start(look)) for one in others[: max(0, room)])


def _personal(look: Look) -> tuple[Action, ...]:
    """Instances made on request that nobody uses now and that a settled generation replaces."""
    rotation = look.rotation
    if rotation.phase != "idle" or not look.may_begin or look.group.rollout.mode != "proactive":
        return ()
    old = (
        one
        for one in look.instances
        if one.owner and one.state == "ready" and not one.sessions and not one.released
        if look.line.late.get(one.generation, one.generation) != rotation.current
    )
    return tuple(
        Drain(one.name, f"generation {rotation.current} is there, and nobody uses it now")
        for one in old
    )


# --- from wave to wave


def _next_step(look: Look) -> tuple[list[Action], list[str]]:
    """The next wave, the end, or what is waited for."""
    phase = look.rotation.phase
    if phase == "halted":
        return [], [f"halted: {look.rotation.why}"]
    if phase == "idle":
        return [], _idle_waits(look)
    if pending := _unfinished(look):
        return [], [pending]
    if phase == "rolling-back":
        return [Settle(look.rotation.target, "everything is back")], []
    baked = _baked_at(look)
    if baked is not None and baked > look.now:
        return [], [f"wave {look.rotation.wave} bakes until {baked:%Y-%m-%d %H:%M}Z"]
    if look.rotation.wave >= wave_count(look.group):
        return [Settle(look.rotation.target, "every wave is through")], []
    return _opening(look, look.rotation.wave + 1)


def _idle_waits(look: Look) -> list[str]:
    wanted = look.line.wanted
    if wanted in look.rotation.refused and wanted != look.rotation.current:
        return [f"generation {wanted} was given up here: {look.rotation.why}"]
    if wanted and not look.is_usable(wanted):
        return [f"generation {wanted}, which {look.group.channel} points at, is revoked"]
    return []


def _unfinished(look: Look) -> str:
    """What of the open wave is not through; empty when everything is."""
    ready = sum(one.state == "ready" for one in look.renewed)
    if ready < look.cap:
        return f"{ready} of {look.cap} instances are ready on generation {look.rotation.target}"
    if len(look.others) > look.group.size - look.cap or len(look.alive) > len(look.staying):
        return "instances of the old generation are let go"
    return ""


def _baked_at(look: Look) -> datetime | None:
    """When all instances that have the target will have been ready long enough."""
    if not look.renewed:
        return None
    bake = timedelta(seconds=look.group.rollout.bake_seconds)
    return max(one.since for one in look.renewed) + bake


def _opening(look: Look, wave: int) -> tuple[list[Action], list[str]]:
    """The next wave, if its approval is there and a window has room for it."""
    if wave > look.rotation.approved and _needs_approval(look, wave):
        return [], [f"wave {wave} waits for approval: regild group approve {look.group.name}"]
    needed = wave_time(look, wave)
    exempt = look.rotation.forced or look.is_first_fill
    if not exempt and look.calendar.left(look.now) < max(needed, timedelta(microseconds=1)):
        opens = look.calendar.next_open(look.now, needed)
        when = f"{opens:%Y-%m-%d %H:%M}Z" if opens else "none is known"
        return [], [f"wave {wave} needs {needed} in a window; the next one: {when}"]
    cap = wave_cap(look.group, wave)
    why = f"{cap} of {look.group.size} instances may take generation {look.rotation.target}"
    return [OpenWave(wave, look.rotation.target, why)], []


def _needs_approval(look: Look, wave: int) -> bool:
    approval = look.group.rollout.approval
    if look.is_first_fill or approval == "none":
        return False
    return approval == "waves" or wave == 2


def _next_moment(look: Look) -> datetime | None:
    """When something changes without anybody doing anything."""
    grace = timedelta(seconds=look.group.drain.grace_seconds)
    moments = [one.since + grace for one in look.instances if one.state == "draining"]
    moments += look.line.revoked.values()
    if look.rotation.phase == "rotating":
        baked = _baked_at(look)
        moments += [baked] if baked else []
        opens = look.calendar.next_open(look.now, wave_time(look, look.rotation.wave + 1))
        moments += [opens] if opens else []
    return min((one for one in moments if one > look.now), default=None)
