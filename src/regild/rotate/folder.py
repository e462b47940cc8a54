"""The folder driver: an instance is a link to its generation's disk, which something else runs.

    FOLDER/NAME.disk     a symbolic link to the disk; flipped by rename, never half there
    FOLDER/NAME.json     what regild knows of it
    FOLDER/NAME.status   what runs it may say so: {"running": true, "healthy": true, "sessions": 0}

Without a status an instance counts as running and healthy.
"""

from __future__ import annotations

import os
from pathlib import Path

from regild.errors import DriverFailed, InputError, RegildError
from regild.host.files import read_limited, write_whole
from regild.model.content import Value
from regild.model.json import from_json, to_json
from regild.model.rotation import Group, Seen, StartOrder

STATUS_LIMIT = 64 << 10


class _Known(Value, frozen=True):
    """What stands in NAME.json."""

    order: StartOrder
    draining: bool = False


class _Status(Value, frozen=True):
    """What may stand in NAME.status."""

    running: bool = True
    healthy: bool | None = True
    sessions: int = 0


class FolderDriver:
    """Instances as links in a folder: `[options] folder`, else the group's own."""

    def __init__(self, group: Group, place: Path) -> None:
        self._folder = Path(group.options.get("folder", "") or place / "instances")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DriverFailed(where=str(self._folder), why=str(error)) from error

    def look(self) -> tuple[Seen, ...]:
        """All instances of the group.

        Raises: DriverFailed.
        """
        return tuple(self._seen(path.stem) for path in sorted(self._folder.glob("*.json")))

    def start(self, order: StartOrder) -> None:
        """Make an instance's link.

        Raises: DriverFailed.
        """
        link, aside = self._path(order.name, "disk"), self._path(order.name, "disk.new")
        try:
            aside.unlink(missing_ok=True)
            aside.symlink_to(order.disk)
            aside.replace(link)
            write_whole(self._path(order.name, "json"), to_json(_Known(order)).encode())
        except (OSError, RegildError) as error:
            raise DriverFailed(where=str(link), why=str(error)) from error

    def drain(self, name: str) -> None:
        """Note that an instance gets no new work; what runs it sees that in its JSON.

        Raises: DriverFailed.
        """
        if self._path(name, "json").exists():
            known = _Known(self._known(name).order, draining=True)
            write_whole(self._path(name, "json"), to_json(known).encode())

    def stop(self, name: str) -> None:
        """Remove an instance's link and what is known of it.

        Raises: DriverFailed.
        """
        try:
            for kind in ("disk", "status", "json"):
                self._path(name, kind).unlink(missing_ok=True)
        except OSError as error:
            raise DriverFailed(where=name, why=str(error)) from error

    def _seen(self, name: str) -> Seen:
        known, status = self._known(name), self._status(name)
        order = known.order
        there = os.path.lexists(self._path(name, "disk"))
        return Seen(
            name,
            order.generation,
            running=status.running and there,
            healthy=status.healthy,
            draining=known.draining,
            sessions=status.sessions,
            owner=order.owner,
        )

    def _known(self, name: str) -> _Known:
        path = self._path(name, "json")
        try:
            return from_json(_Known, read_limited(path, STATUS_LIMIT), str(path))
        except InputError as error:
            raise DriverFailed(where=str(path), why=str(error)) from error

    def _status(self, name: str) -> _Status:
        path = self._path(name, "status")
        if not path.exists():
            return _Status()
        try:
            return from_json(_Status, read_limited(path, STATUS_LIMIT), str(path))
        except InputError:
            # Half written, or nonsense: it is not known how the instance is.
            return _Status(healthy=None)

    def _path(self, name: str, kind: str) -> Path:
        return self._folder / f"{name}.{kind}"
