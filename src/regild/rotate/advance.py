"""How far a group is after an action; pure, so that what was noted can be replayed."""

from __future__ import annotations

from datetime import datetime

from msgspec.structs import replace

from regild.model.rotation import (
    Action,
    Aim,
    Halt,
    OpenWave,
    RollBack,
    Rotation,
    Settle,
    Start,
    Stop,
)


def advance(rotation: Rotation, action: Action, now: datetime) -> Rotation:
    """The group's way with one action noted in it."""
    match action:
        case Aim():
            return _aimed(rotation, action.generation)
        case OpenWave():
            return replace(rotation, wave=action.wave, opened=now)
        case Start():
            return replace(rotation, made=rotation.made + 1)
        case Stop() if action.failed_on and action.failed_on == rotation.target:
            return replace(rotation, failures=rotation.failures + 1)
        case Halt():
            return replace(rotation, phase="halted", why=action.why)
        case RollBack():
            return _rolling_back(rotation, action)
        case Settle():
            return _settled(rotation, action.generation)
        case _:
            return rotation


def resume(rotation: Rotation, generation: int) -> Rotation:
    """The way of a group that is to try a generation again that was given up."""
    refused = tuple(one for one in rotation.refused if one != generation)
    again = _aimed(replace(rotation, refused=refused), generation)
    return replace(again, wave=rotation.wave if rotation.target == generation else 0)


def _aimed(rotation: Rotation, generation: int) -> Rotation:
    return replace(
        rotation,
        target=generation,
        phase="rotating",
        wave=0,
        opened=None,
        approved=0,
        failures=0,
        why="",
    )


def _rolling_back(rotation: Rotation, action: RollBack) -> Rotation:
    refused = tuple(dict.fromkeys((*rotation.refused, action.away_from)))
    back = replace(_aimed(rotation, action.generation), phase="rolling-back", why=action.why)
    return replace(back, refused=tuple(one for one in refused if one != action.generation))


def _settled(rotation: Rotation, generation: int) -> Rotation:
    before = rotation.current if rotation.current != generation else rotation.previous
    why = rotation.why if rotation.phase == "rolling-back" else ""
    return replace(
        rotation,
        phase="idle",
        current=generation,
        previous=before,
        target=generation,
        wave=0,
        opened=None,
        failures=0,
        forced=False,
        why=why,
    )
