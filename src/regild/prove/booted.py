"""The machine of a test boot, from its start to the moment when nothing more is to be waited for.

Runs as a stage; not confined, so that it can start the machine as nobody. The network is the
stage's own and holds nothing but the guest's forwarded ports.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import IO, Any, Final, cast

from regild.host.firmware import read_firmware
from regild.host.forward import find_page, find_port, open_port, raise_loopback
from regild.host.machine import Drive, Equipment, Machine, run_machine
from regild.host.monitor import Monitor
from regild.host.run import TIMED_OUT
from regild.host.scratch import check_room
from regild.image.overlay import Overlay
from regild.model.health import BY_NETWORK, Expectation
from regild.model.json import from_json, to_json
from regild.model.progress import Progress
from regild.prove.dress import open_row
from regild.prove.health import Health

GRACE_SECONDS: Final = 60
"""For taking the picture and ending the machine, on top of the guest's own limit."""
CONNECT_SECONDS: Final = 3.0
CONSOLE, SCREEN = "boot-test.console.log", "boot-test.png"


def main(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """The stage: boot the disks over their throw-away overlays, which `regild.prove.dress` made.

    Console and screen go into the job's folder; the answer is what was seen.

    Raises: ToolMissing, CommandFailed, DiskFull, and what reading the disks raises.
    """
    job, seconds = Path(request["job"]), float(request["timeout_seconds"])
    expectations = from_json(tuple[Expectation, ...], request["expectations"])
    health = Health(expectations, request["inside"], seconds, time.monotonic)
    ports = {one.port: find_port() for one in expectations if one.kind in BY_NETWORK}
    if ports:
        raise_loopback()
    with contextlib.ExitStack() as stack:
        drives = []
        for row in request["disks"]:
            below = open_row(row, stack)
            overlay = Overlay.open(Path(row["throw_away"]), below)
            drives.append(Drive(stack.enter_context(overlay)))
        equipment = Equipment(
            bus=request["bus"],
            nic=request["nic"],
            forwards=tuple((ours, its) for its, ours in ports.items()),
            firmware=read_firmware() if request["firmware"] == "efi" else None,
            boot_drive=request["boot"],
            screen=True,
        )
        console = stack.enter_context((job / CONSOLE).open("wb", buffering=0))
        monitor = stack.enter_context(Monitor())
        watch = _Watch(health, monitor, ports, job, progress)
        finished = run_machine(
            Machine(tuple(drives), memory_mib=request["memory_mib"], equipment=equipment),
            purpose="to boot the guest for a test",
            console=cast(IO[bytes], _Heard(console, health)),
            report=health.report.take,
            timeout_seconds=seconds + GRACE_SECONDS,
            watch=watch.look,
            monitor=monitor,
        )
    if finished.code == TIMED_OUT:
        health.timed_out = True
    elif not watch.ended and not health.fatal:
        health.fatal = "it powered off or restarted by itself"
    return _told(health)


class _Heard:
    """A file that is written to, and heard by a guest's health."""

    def __init__(self, file: IO[bytes], health: Health) -> None:
        self._file, self._health = file, health

    def write(self, content: bytes) -> int:
        """Keep what the console says, and look at it."""
        self._health.hear(content)
        return self._file.write(content)


class _Watch:
    """Looks at a guest every second or more often, and ends its machine when all is known."""

    def __init__(
        self,
        health: Health,
        monitor: Monitor,
        ports: dict[int, int],
        job: Path,
        progress: Progress,
    ) -> None:
        self.health, self.monitor, self.ports = health, monitor, ports
        self.job, self.progress = job, progress
        self.ended = False
        self._is_told = False

    def look(self) -> None:
        """One look; what cannot be known yet is looked at the next time.

        Raises: DiskFull.
        """
        check_room(self.job)
        if self.ended:
            return
        if self.health.report.state and not self._is_told:
            self._is_told = True
            self.progress.step(f"The guest is {self.health.report.state}; asking what is expected")
        if self.health.look(self._ask):
            (self.job / SCREEN).write_bytes(self.monitor.screenshot())
            self.ended = True
            self.monitor.quit()

    def _ask(self, expected: Expectation) -> str:
        """What is wrong with something on the network."""
        port = self.ports[expected.port]
        if expected.kind != "tcp":
            return find_page(port, expected.path, expected.kind == "https")
        connection = open_port(port)
        if connection is None:
            return "it cannot be asked"
        with contextlib.closing(connection):
            until = time.monotonic() + CONNECT_SECONDS
            while time.monotonic() < until:
                if expected.port in self.monitor.connected_ports():
                    return ""
                time.sleep(0.2)
        return "no connection is accepted"


def _told(health: Health) -> dict[str, Any]:
    """What was seen, as the stage answers it."""
    report = health.report
    return {
        "reached": report.target if report.is_active else "",
        "state": report.state,
        "failed": report.failed,
        "met": to_json(health.met(), indent=0),
        "faults": health.faults(),
    }
