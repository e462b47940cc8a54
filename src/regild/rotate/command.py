"""The exec driver: any platform, by four commands of the site (docs/guide/exec-driver.md).

    [options]
    look = "/etc/regild/web look"
    start = "/etc/regild/web start"
    drain = "/etc/regild/web drain"
    stop = "/etc/regild/web stop"

Each is split as a shell splits words and run without one. What it is about stands in its
environment (REGILD_GROUP, REGILD_INSTANCE, ...); `look` prints a JSON list of what there is.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from regild.errors import CommandFailed, DriverFailed, GroupRefused, Malformed, ToolMissing
from regild.host.run import run
from regild.model.json import from_json
from regild.model.rotation import Group, Seen, StartOrder

VERBS = ("look", "start", "drain", "stop")
TIMEOUT_SECONDS = 600
ANSWER_BYTES = 16 << 20


class CommandDriver:
    """A platform behind a site's own commands."""

    def __init__(self, group: Group, place: Path) -> None:
        self._group = group
        self._place = place
        self._lines: dict[str, list[str]] = {}
        for verb in VERBS:
            try:
                self._lines[verb] = shlex.split(group.options.get(verb, ""))
            except ValueError as error:
                raise GroupRefused(where=group.name, why=f"[options] {verb}: {error}") from error
            if not self._lines[verb]:
                raise GroupRefused(where=group.name, why=f"[options] {verb}: no command is given")

    def look(self) -> tuple[Seen, ...]:
        """All instances of the group, as the command prints them.

        Raises: DriverFailed.
        """
        try:
            return from_json(tuple[Seen, ...], self._run("look", {}), "the answer of look")
        except Malformed as error:
            raise DriverFailed(where=self._lines["look"][0], why=str(error)) from error

    def start(self, order: StartOrder) -> None:
        """Make an instance.

        Raises: DriverFailed.
        """
        told = {
            "INSTANCE": order.name,
            "GENERATION": str(order.generation),
            "DIGEST": order.digest,
            "DISK": order.disk,
            "FORMAT": order.format,
            "OWNER": order.owner,
        }
        self._run("start", told)

    def drain(self, name: str) -> None:
        """Give an instance no new work.

        Raises: DriverFailed.
        """
        self._run("drain", {"INSTANCE": name})

    def stop(self, name: str) -> None:
        """End an instance.

        Raises: DriverFailed.
        """
        self._run("stop", {"INSTANCE": name})

    def _run(self, verb: str, told: dict[str, str]) -> bytes:
        line = self._lines[verb]
        about = {"GROUP": self._group.name, "IMAGE": self._group.image, "FOLDER": str(self._place)}
        env = {f"REGILD_{name}": value for name, value in {**about, **told}.items()}
        try:
            return run(
                line,
                purpose=f"to {verb} instances of {self._group.name}",
                env=env,
                timeout_seconds=TIMEOUT_SECONDS,
                output_bytes=ANSWER_BYTES,
            ).stdout
        except (CommandFailed, ToolMissing) as error:
            raise DriverFailed(where=line[0], why=str(error)) from error
