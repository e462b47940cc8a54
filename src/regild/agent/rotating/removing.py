"""Taking a group away: not while its instances run, unless it is said what becomes of them."""

from __future__ import annotations

from regild.agent.rotating.groups import group_of
from regild.agent.rotating.rotation import Means, alone
from regild.errors import StillRunning, UsageError
from regild.model.group_answers import RemovedAnswer
from regild.store.groups import read_group, remove_group
from regild.store.leases import check_lease

SHOWN = 5


def remove(means: Means, name: str, *, stop: bool, leave: bool, why: str) -> RemovedAnswer:
    """Forget a group; its instances are ended with `stop`, and left alone with `leave`.

    What runs is asked of the driver. One that cannot be asked keeps the group, unless instances
    are left anyway.

    Raises: NotListed, UsageError for both at once, StillRunning, DriverFailed, Busy where another
    takes a turn with it, LeaseLost.
    """
    if stop and leave:
        raise UsageError(what="--stop and --leave contradict")
    with means.catalogue.reading() as view:
        read_group(view, name)
    with alone(means, name) as lease:
        running: tuple[str, ...] = ()
        if not leave:
            with means.catalogue.reading() as view:
                group = group_of(view, name)
            with means.driver_of(group) as driver:
                running = tuple(one.name for one in driver.look())
                if running and not stop:
                    shown = ", ".join(running[:SHOWN])
                    more = f" and {len(running) - SHOWN} more" if len(running) > SHOWN else ""
                    raise StillRunning(where=name, why=f"it has {shown}{more}")
                for one in running:
                    with means.catalogue.reading(means.now()) as view:
                        check_lease(view, lease)
                    driver.stop(one)
        with means.catalogue.writing(means.actor, means.now()) as change:
            check_lease(change, lease)
            remove_group(change, name, why)
    return RemovedAnswer(name, running)
