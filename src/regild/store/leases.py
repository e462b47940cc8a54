"""Rights that one owner has for a while, such as being the agent that leads."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from sqlalchemy import delete, insert, select, update

from regild.errors import LeaseLost
from regild.model.job import Lease
from regild.store.catalogue import Reading, Writing
from regild.store.events import tell
from regild.store.schema import leases


def take_lease(
    change: Writing,
    name: str,
    owner: str,
    seconds: float,
    has_ended: Callable[[str], bool] = lambda owner: False,
) -> Lease | None:
    """A right for one owner, also to have it for longer; None while another has it of whom
    `has_ended` does not say that it is gone."""
    held = find_lease(change, name)
    is_held = held is not None and held.owner != owner and held.until > change.now
    if held is not None and is_held and not has_ended(held.owner):
        return None
    until = change.now + timedelta(seconds=seconds)
    if held is None:
        change.connection.execute(
            insert(leases).values(name=name, owner=owner, until=until, token=1)
        )
        tell(change, "lease.take", name, {"owner": owner})
        return Lease(name, owner, until, 1)
    goes_on = held.owner == owner and held.until > change.now
    token = held.token if goes_on else held.token + 1
    values = {"owner": owner, "until": until, "token": token}
    change.connection.execute(update(leases).where(leases.c.name == name).values(values))
    if held.owner != owner:
        tell(change, "lease.take", name, {"owner": owner, "after": held.owner})
    return Lease(name, owner, until, token)


def check_lease(view: Reading, lease: Lease) -> None:
    """A right is still its owner's; asked inside the transaction that relies on it.

    Raises: LeaseLost.
    """
    held = find_lease(view, lease.name)
    if held is None or held.token != lease.token or held.until <= view.now:
        why = f"{held.owner} has it" if held and held.token != lease.token else "its time is up"
        raise LeaseLost(where=lease.name, why=why)


def give_back(change: Writing, lease: Lease) -> None:
    """End a right early; one that another has by now is left alone.

    The row stays, so that tokens go on growing.
    """
    own = (leases.c.name == lease.name) & (leases.c.token == lease.token)
    change.connection.execute(update(leases).where(own).values(until=change.now))


def forget_lease(change: Writing, lease: Lease) -> None:
    """Remove a right that nobody will ask for again, because its name is used once."""
    own = (leases.c.name == lease.name) & (leases.c.token == lease.token)
    change.connection.execute(delete(leases).where(own))


def find_lease(view: Reading, name: str) -> Lease | None:
    """Who has a right, or had it last."""
    row = view.connection.execute(select(leases).where(leases.c.name == name)).first()
    return None if row is None else Lease(row.name, row.owner, row.until, row.token)
