"""What the commands of groups and instances answer; the contract of their `--json`."""

from __future__ import annotations

from datetime import datetime

from regild.model.content import Value
from regild.model.group import Approval, Window
from regild.model.rotation import Action, Group, Instance, Line, Rotation


class GroupAnswer(Value, frozen=True):
    """`regild group apply`, `show`, `scale`, `approve`, `resume`: one group as it is now."""

    group: Group
    version: int
    rotation: Rotation
    line: Line
    instances: tuple[Instance, ...] = ()
    approvals: tuple[Approval, ...] = ()
    """What waits for people."""


class GroupsAnswer(Value, frozen=True):
    """`regild group list`: every group."""

    groups: tuple[GroupAnswer, ...]


class GroupFile(Value, frozen=True):
    """A group's file as it was given at some time."""

    version: int
    made: datetime | None
    actor: str
    text: str
    """TOML."""


class GroupHistoryAnswer(Value, frozen=True):
    """`regild group history`: every version of a group's file, oldest first."""

    group: str
    versions: tuple[GroupFile, ...]


class TurnAnswer(Value, frozen=True):
    """`regild group rotate`: what was done, what is waited for, and how the group is now."""

    group: GroupAnswer
    done: tuple[Action, ...] = ()
    waits: tuple[str, ...] = ()
    again: datetime | None = None
    """When something will change without anybody doing anything."""


class InstancesAnswer(Value, frozen=True):
    """`regild instance list`: instances by group."""

    groups: dict[str, tuple[Instance, ...]]


class InstanceAnswer(Value, frozen=True):
    """`regild instance request` and `release`: one instance."""

    group: str
    instance: Instance


class RemovedAnswer(Value, frozen=True):
    """`regild group remove`: a group that is no more."""

    group: str
    stopped: tuple[str, ...] = ()
    """Instances that were ended with it."""


class FreezesAnswer(Value, frozen=True):
    """`regild freeze`: the times in which nothing at the site is rotated."""

    freezes: tuple[Window, ...]


GROUP_ANSWERS: dict[str, type[Value]] = {
    "group": GroupAnswer,
    "groups": GroupsAnswer,
    "group-history": GroupHistoryAnswer,
    "group-rotate": TurnAnswer,
    "instances": InstancesAnswer,
    "instance": InstanceAnswer,
    "group-remove": RemovedAnswer,
    "freezes": FreezesAnswer,
}
"""The answer of each command, by the name of its schema."""
