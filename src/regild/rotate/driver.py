"""The drivers' door: what regild asks of a platform that runs instances, and which it knows.

Every call may be made again: starting what is there, and ending what is gone, is no error. Others
add theirs under the entry point `regild.drivers`: a name, and a function like those in DRIVERS.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from regild.errors import GroupRefused
from regild.model.rotation import Group, Seen, StartOrder

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

ENTRY_POINTS = "regild.drivers"


class Driver(Protocol):
    """A platform, for one group."""

    def look(self) -> tuple[Seen, ...]:
        """All instances of the group.

        Raises: DriverFailed.
        """

    def start(self, order: StartOrder) -> None:
        """Make an instance; its disk is a copy-on-write copy, the generation's is only read.

        Raises: DriverFailed.
        """

    def drain(self, name: str) -> None:
        """Give an instance no new work.

        Raises: DriverFailed.
        """

    def stop(self, name: str) -> None:
        """End an instance and remove what is kept of it, but not its owner's own disk.

        Raises: DriverFailed.
        """


Opener = Callable[[Group, Path], Driver]
"""Opens a driver for a group; the folder is the group's own, for what the driver keeps."""


def _folder(group: Group, place: Path) -> Driver:
    from regild.rotate.folder import FolderDriver

    return FolderDriver(group, place)


def _exec(group: Group, place: Path) -> Driver:
    from regild.rotate.command import CommandDriver

    return CommandDriver(group, place)


def _libvirt(group: Group, place: Path) -> Driver:
    from regild.rotate.libvirt import LibvirtDriver

    return LibvirtDriver(group, place)


DRIVERS: dict[str, Opener] = {"folder": _folder, "exec": _exec, "libvirt": _libvirt}


def open_driver(group: Group, place: Path) -> Driver:
    """The driver that a group names.

    Raises: GroupRefused for one that is not known; DriverFailed, ToolMissing.
    """
    if opener := DRIVERS.get(group.driver):
        return opener(group, place)
    foreign = _foreign()
    if group.driver not in foreign:
        known = ", ".join(sorted({*DRIVERS, *foreign}))
        raise GroupRefused(
            where=group.name, why=f"[group] driver: there are {known}, not {group.driver!r}"
        )
    return _load(foreign[group.driver], group)(group, place)


def _foreign() -> dict[str, EntryPoint]:
    """Drivers that other distributions bring; regild's own names stay its own."""
    from importlib.metadata import entry_points

    return {one.name: one for one in entry_points(group=ENTRY_POINTS)}


def _load(entry: EntryPoint, group: Group) -> Opener:
    try:
        opener: Opener = entry.load()
    except (ImportError, AttributeError) as error:
        why = f"[group] driver: {entry.value} of {entry.name!r} cannot be loaded: {error}"
        raise GroupRefused(where=group.name, why=why) from error
    return opener
