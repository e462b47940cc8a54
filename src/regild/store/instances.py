"""Instances in the catalogue: what runs in each group, as it was last seen; and what people
decide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, delete, insert, select, update

from regild.errors import NotListed
from regild.model.generation import read_reference
from regild.model.group import Approval, KnownInstance, Verdict
from regild.store.catalogue import Reading, Writing
from regild.store.events import tell
from regild.store.generations import id_of, names_of, resolve
from regild.store.groups import id_of_group
from regild.store.schema import approvals, groups, instances

TOLD = ("state", "current", "staged", "desired", "user")
"""What of an instance is worth an event when it changes."""


def save_instance(change: Writing, instance: KnownInstance) -> KnownInstance:
    """Keep what an instance is now; what changed of it becomes an event.

    Raises: NotListed for a group or a generation that is not there.
    """
    group_id = id_of_group(change, instance.group)
    row: dict[str, Any] = {"group_id": group_id, "name": instance.name, "state": instance.state}
    for which in ("current", "staged", "desired"):
        row[f"{which}_id"] = _generation_id(change, getattr(instance, which))
    row |= {"user": instance.user, "place": instance.place, "facts": dict(instance.facts)}
    row |= {"changed": change.now}
    held = find_instance(change, instance.group, instance.name)
    own = (instances.c.group_id == group_id) & (instances.c.name == instance.name)
    if held is None:
        change.connection.execute(insert(instances).values(row))
    else:
        change.connection.execute(update(instances).where(own).values(row))
    differs = {
        one: getattr(instance, one)
        for one in TOLD
        if getattr(instance, one) != (getattr(held, one) if held else "")
    }
    if differs:
        tell(change, "instance", f"{instance.group}/{instance.name}", differs)
    return read_instance(change, instance.group, instance.name)


def remove_instance(change: Writing, group: str, name: str, why: str = "") -> None:
    """Forget an instance that is gone; the events keep what it was.

    Raises: NotListed.
    """
    held = read_instance(change, group, name)
    own = (instances.c.group_id == id_of_group(change, group)) & (instances.c.name == name)
    change.connection.execute(delete(instances).where(own))
    tell(change, "instance.remove", f"{group}/{name}", {"current": held.current, "why": why})


def find_instance(view: Reading, group: str, name: str) -> KnownInstance | None:
    """One instance of a group."""
    found = [one for one in list_instances(view, group) if one.name == name]
    return found[0] if found else None


def read_instance(view: Reading, group: str, name: str) -> KnownInstance:
    """One instance that is there.

    Raises: NotListed.
    """
    found = find_instance(view, group, name)
    if found is None:
        raise NotListed(where=f"instance {group}/{name}", why="the group has no such instance")
    return found


def list_instances(view: Reading, group: str = "") -> tuple[KnownInstance, ...]:
    """The instances of a group, of all groups without a name; by group and name."""
    wanted = select(instances, groups.c.name.label("group")).join(
        groups, groups.c.id == instances.c.group_id
    )
    if group:
        wanted = wanted.where(groups.c.name == group)
    rows = view.connection.execute(wanted.order_by(groups.c.name, instances.c.name)).all()
    columns = ("current_id", "staged_id", "desired_id")
    ids = sorted({getattr(row, one) for row in rows for one in columns} - {None})
    names = names_of(view, ids)
    return tuple(_instance(row, names) for row in rows)


def ask_approval(change: Writing, subject: str) -> Approval:
    """Ask people about something; the same question that is still open is one."""
    for one in list_approvals(change, subject):
        if one.verdict == "pending":
            return one
    row = {"subject": subject, "asked": change.now, "verdict": "pending", "actor": "", "why": ""}
    added = insert(approvals).values(row).returning(approvals.c.id)
    found = change.connection.execute(added).scalar_one()
    tell(change, "approval.ask", subject, {"id": found})
    return Approval(found, subject, change.now)


def decide_approval(change: Writing, subject: str, verdict: Verdict, why: str = "") -> Approval:
    """Answer the open question about something.

    Raises: NotListed where nobody asks.
    """
    held = [one for one in list_approvals(change, subject) if one.verdict == "pending"]
    if not held:
        raise NotListed(where=f"a question about {subject}", why="nobody waits for an answer")
    values = {"verdict": verdict, "decided": change.now, "actor": change.actor, "why": why}
    own = approvals.c.id == held[0].id
    change.connection.execute(update(approvals).where(own).values(values))
    tell(change, f"approval.{verdict}", subject, {"why": why})
    return next(one for one in list_approvals(change, subject) if one.id == held[0].id)


def list_approvals(view: Reading, subject: str = "") -> Sequence[Approval]:
    """Questions and their answers, in their order."""
    wanted = select(approvals).order_by(approvals.c.id)
    if subject:
        wanted = wanted.where(approvals.c.subject == subject)
    return tuple(
        Approval(row.id, row.subject, row.asked, row.verdict, row.decided, row.actor, row.why)
        for row in view.connection.execute(wanted)
    )


def _generation_id(view: Reading, name: str) -> int | None:
    return id_of(view, resolve(view, read_reference(name))) if name else None


def _instance(row: Row[Any], names: dict[int, str]) -> KnownInstance:
    return KnownInstance(
        group=row.group,
        name=row.name,
        state=row.state,
        current=names.get(row.current_id, ""),
        staged=names.get(row.staged_id, ""),
        desired=names.get(row.desired_id, ""),
        user=row.user,
        place=row.place,
        facts=row.facts,
        changed=row.changed,
    )
