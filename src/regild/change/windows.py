"""BOOT of a Windows: it installs what lies on a medium, over an overlay of its disk.

Runs as a stage. Before the first start the registry's hook is written into the overlay; a restart
ends the machine, and it is started again, as often as the run may want that. What the overlay holds
when the machine went off for good is the change: nobody recorded it path by path.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import IO, Any, Final, cast

from regild.change.ended import tail_of
from regild.change.windows_media import MediaFile
from regild.change.windows_report import Report
from regild.errors import CommandFailed, GuestCommandHung, MediaFailed, ReportRefused
from regild.host.firmware import read_firmware
from regild.host.machine import Drive, Equipment, Machine, run_machine
from regild.host.monitor import Monitor
from regild.host.run import TIMED_OUT
from regild.host.scratch import check_room
from regild.image.disk import Disk
from regild.image.formats import disk_of
from regild.image.overlay import Overlay
from regild.image.raw import RawDisk
from regild.image.window import Window, open_window
from regild.model.json import from_json
from regild.model.progress import Progress

MEMORY_MIB: Final = 2048
STARTS_MAX: Final = 24
"""Windows restarts by itself, too, while updates are put in place."""
GRACE_SECONDS: Final = 60
"""For a picture of the screen and the machine's end, behind the run's own limit."""
PICTURE_SECONDS: Final = 15.0
"""Where Windows stops without a word, only its screen tells why."""
LOG, SCREEN = "guest.log", "screen.png"
WHO: Final = "the booted Windows"


def main(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """The stage: run what is on the medium `iso` in the Windows on the disk in file descriptor
    `disk`, over an overlay, within `timeout_seconds`. `writes` is what becomes of the disk before.

    What comes over the first serial port is in `guest.log`, the last picture in `screen.png`.

    Raises: MediaFailed, ReportRefused, GuestCommandHung, ToolMissing, CommandFailed, DiskFull, and
    what reading the disk raises.
    """
    job = Path(request["job"])
    files = from_json(tuple[MediaFile, ...], request["files"])
    base = disk_of(Window(request["disk"], request["where"], request["offset"], request["bytes"]))
    with (
        Overlay.create(job / "overlay", base) as overlay,
        open_window(Path(request["iso"])) as window,
        (job / LOG).open("wb", buffering=0) as log,
    ):
        for at, content in request["writes"]:
            overlay.write(at, bytes.fromhex(content))
        run = _Run(job, files, log, float(request["timeout_seconds"]), progress)
        run.carry_out(overlay, RawDisk(window), request)
        overlay.flush()
        changed = len(overlay.changed())
    report = run.report
    return {
        "changed_grains": changed,
        "codes": [report.codes[number] for number in range(1, len(files) + 1)],
        "restarts": report.restarts,
        "starts": run.starts,
        "build": report.build,
        "ubr": report.ubr,
    }


class _Run:
    """One run from its first start to the machine's last end."""

    def __init__(
        self,
        job: Path,
        files: tuple[MediaFile, ...],
        log: IO[bytes],
        seconds: float,
        progress: Progress,
    ) -> None:
        self.job, self.files, self.log, self.progress = job, files, log, progress
        self.seconds, self.until = seconds, time.monotonic() + seconds
        self.report = Report(len(files))
        self.starts = 0
        self._shown = 0
        self._picture_of = ""
        self._next_picture = 0.0

    def carry_out(self, overlay: Overlay, medium: Disk, request: dict[str, Any]) -> None:
        """Start the machine until the run has come to its end.

        Raises: as `main`.
        """
        equipment = Equipment(
            bus=request["bus"],
            firmware=read_firmware() if request["firmware"] == "efi" else None,
            screen=True,
            local_time=True,
        )
        drives = Drive(overlay), Drive(medium, read_only=True, optical=True)
        machine = Machine(drives, memory_mib=request["memory_mib"], equipment=equipment)
        while self._wants_start():
            self.starts += 1
            self.report.begin_again()
            self.progress.step(f"Booting Windows, start {self.starts}")
            self._start(machine)
        self._check()

    def write(self, content: bytes) -> int:
        """Take in what comes over the first serial port, as the file that keeps it."""
        self.report.take(content)
        if self.report.begun > self._shown:
            self._shown = self.report.begun
            file = self.files[self._shown - 1]
            self.progress.step(f"In the booted Windows: installing {file.name}")
        return self.log.write(content)

    def _wants_start(self) -> bool:
        if self.report.is_over:
            return False
        if not self.starts:
            return True
        if self.report.wants_restart and self.starts < STARTS_MAX:
            return True
        why = "it went off before the run was done"
        if self.report.wants_restart:
            why = f"after {self.starts} starts it has not gone on with the run"
        elif not self.report.codes and not self.report.begun:
            why = "it went off without a word of the run on its first serial port (COM1)"
        raise ReportRefused(where=WHO, why=f"{why}; it last said: {self._last()}")

    def _start(self, machine: Machine) -> None:
        """One start of the machine, to its end.

        Raises: GuestCommandHung, ReportRefused; as `run_machine`.
        """
        with Monitor() as monitor:
            finished = run_machine(
                machine,
                purpose="to boot a Windows for its changes",
                console=cast(IO[bytes], self),
                report=lambda said: None,
                timeout_seconds=max(0.0, self.until - time.monotonic()) + GRACE_SECONDS,
                watch=lambda: self._look(monitor),
                monitor=monitor,
            )
        if finished.code == TIMED_OUT or self._picture_of == "late":
            why = f"{self.seconds:.0f} seconds had passed; it last said: {self._last()}"
            raise GuestCommandHung(where=f"run in {WHO}", why=why)
        if finished.code:
            raise CommandFailed(where="the virtual machine", why=self._last(), code=finished.code)

    def _look(self, monitor: Monitor) -> None:
        """Take a picture now and then, when the run is over, and when its time is; what is not
        done by then does not go on.

        Raises: DiskFull.
        """
        check_room(self.job)
        now = time.monotonic()
        late = now > self.until
        kind = "late" if late else "over" if self.report.is_over else ""
        if self._picture_of == "late" or (kind == self._picture_of and now < self._next_picture):
            return
        self._picture_of, self._next_picture = kind, now + PICTURE_SECONDS
        if picture := monitor.screenshot():
            (self.job / SCREEN).write_bytes(picture)
        if late or (kind and not self.report.is_done):
            monitor.quit()

    def _check(self) -> None:
        """Pass where the run says that all is done, and all its codes say so, too.

        Raises: MediaFailed, ReportRefused.
        """
        report = self.report
        if report.failed:
            code = report.codes[report.failed]
            name = self.files[report.failed - 1].name
            raise MediaFailed(where=name, why=f"it ended with {code} (0x{code & 0xFFFFFFFF:08x})")
        if report.differing:
            name = self.files[report.differing - 1].name
            raise MediaFailed(where=name, why="its bytes are not those that it was given for")
        if report.fault:
            raise ReportRefused(where=WHO, why=report.fault)
        if report.broken:
            begun = self.files[report.begun - 1].name if report.begun else "what it was given"
            raise MediaFailed(where=begun, why=f"the run broke off: {tail_of(report.broken)}")

    def _last(self) -> str:
        content = (self.job / LOG).read_bytes()[-2000:]
        return tail_of(content.decode(errors="replace")) or "nothing"
