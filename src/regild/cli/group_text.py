"""Groups and instances as a person reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from regild.cli.table import pairs, table
from regild.cli.text import plain, plain_lines
from regild.model.group_answers import (
    FreezesAnswer,
    GroupAnswer,
    GroupHistoryAnswer,
    GroupsAnswer,
    InstanceAnswer,
    InstancesAnswer,
    RemovedAnswer,
    TurnAnswer,
)
from regild.model.rotation import Instance

HEAD = ["INSTANCE", "STATE", "GENERATION", "SINCE", "USER"]


def groups_text(answer: GroupsAnswer, width: int) -> str:
    """Every group with what it runs."""
    rows = [
        (
            one.group.name,
            f"{one.group.image}@{one.group.channel}",
            one.group.driver,
            f"{_ready(one)}/{one.group.size}",
            _running(one.instances) or "nothing",
            _phase(one),
        )
        for one in answer.groups
    ]
    head = ["GROUP", "IMAGE", "DRIVER", "READY", "RUNS", "ROTATION"]
    return "\n".join(table(head, rows, width) or ["no group yet: regild group apply FILE"])


def group_text(answer: GroupAnswer, width: int) -> str:
    """One group and its instances."""
    group, rotation = answer.group, answer.rotation
    summary: list[tuple[str, object]] = [
        ("Image", f"{group.image}@{group.channel}, which is {answer.line.wanted or 'nothing yet'}"),
        ("Driver", group.driver),
        ("Ready", f"{_ready(answer)} of {group.size}"),
        ("Settled on", rotation.current or "nothing yet"),
        ("Rotation", _phase(answer)),
    ]
    if rotation.why:
        summary.append(("Because", rotation.why))
    if rotation.refused:
        summary.append(("Given up", [f"generation {one}" for one in rotation.refused]))
    summary += [("Waits", one.subject) for one in answer.approvals]
    lines = table(HEAD, _rows(answer.instances), width)
    head = [plain(f"{group.name}, version {answer.version}"), *pairs(summary, width)]
    return "\n".join([*head, *([""] if lines else []), *lines])


def history_text(answer: GroupHistoryAnswer, width: int, version: int | None) -> str:
    """The versions of a group's file, or the text of the one that was asked for."""
    if version is not None:
        return plain_lines(answer.versions[0].text.rstrip("\n"))
    rows = [
        (one.version, f"{one.made:%Y-%m-%d %H:%M}Z" if one.made else "", one.actor)
        for one in answer.versions
    ]
    return "\n".join(table(["VERSION", "KEPT", "BY"], rows, width))


def turn_text(answer: TurnAnswer, width: int) -> str:
    """What a turn did, and what is waited for."""
    waits = [plain(f"Waits: {wait}") for wait in answer.waits]
    count = len(answer.done)
    said = "1 action was carried out" if count == 1 else f"{count} actions were carried out"
    done = [said if count else "nothing to do"]
    return "\n".join([*done, *waits, "", group_text(answer.group, width)])


def instances_text(answer: InstancesAnswer, width: int) -> str:
    """Instances by group."""
    rows = [(group, *row) for group, several in answer.groups.items() for row in _rows(several)]
    return "\n".join(table(["GROUP", *HEAD], rows, width) or ["no instance runs"])


def instance_text(answer: InstanceAnswer, width: int) -> str:
    """One instance."""
    one = answer.instance
    summary: list[tuple[str, object]] = [
        ("Group", answer.group),
        ("Generation", one.generation),
        ("State", one.state + (", given back" if one.released else "")),
        ("User", one.owner or "none"),
    ]
    return "\n".join([plain(one.name), *pairs(summary, width)])


def removed_text(answer: RemovedAnswer) -> str:
    """A group that is no more."""
    ended = f"; ended with it: {', '.join(answer.stopped)}" if answer.stopped else ""
    return plain(f"{answer.group} is removed{ended}")


def freezes_text(answer: FreezesAnswer, width: int) -> str:
    """The site's freezes."""
    rows = [
        (one.name, f"{one.made:%Y-%m-%d %H:%M}Z" if one.made else "", one.actor)
        for one in answer.freezes
    ]
    return "\n".join(table(["FREEZE", "KEPT", "BY"], rows, width) or ["no freeze"])


def _rows(instances: Iterable[Instance]) -> list[tuple[object, ...]]:
    return [
        (
            one.name,
            one.state + (" (released)" if one.released else ""),
            f"{one.generation}" + (f", {one.staged} staged" if one.staged else ""),
            f"{one.since:%Y-%m-%d %H:%M}Z",
            one.owner,
        )
        for one in instances
    ]


def _ready(answer: GroupAnswer) -> int:
    return sum(one.state == "ready" and not one.owner for one in answer.instances)


def _running(instances: Iterable[Instance]) -> str:
    counted = Counter(one.generation for one in instances)
    return ", ".join(f"{count} on {number}" for number, count in sorted(counted.items()))


def _phase(answer: GroupAnswer) -> str:
    rotation = answer.rotation
    if rotation.phase == "idle":
        return f"settled on {rotation.current}" if rotation.current else "not begun"
    if rotation.phase == "rotating":
        wave = f"wave {rotation.wave}" if rotation.wave else "no wave opened"
        return f"to {rotation.target}, {wave}"
    if rotation.phase == "halted":
        return f"halted on the way to {rotation.target}"
    return f"rolling back to {rotation.target}"
