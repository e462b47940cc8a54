"""BOOT: the guest itself runs the plan's commands, in a machine over an overlay of its disk.

Runs as a stage. The machine sees the disk, whatever form it is stored in, as regild reads it;
its writes go into the overlay `booted` in the job's folder, which is only a state to be read:
what of it goes into the image is taken from it path by path (`regild.change.acquire`).
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import IO, Any

from regild.change.boot_script import Report
from regild.change.ended import SAID_BYTES, check_ended, tail_of
from regild.change.script import GuestCommand
from regild.change.start import Start, kernel_options
from regild.errors import GuestCommandFailed, GuestCommandHung
from regild.host.machine import Drive, Machine, run_machine
from regild.host.run import TIMED_OUT, run
from regild.host.scratch import check_room
from regild.image.formats import disk_of
from regild.image.overlay import Overlay
from regild.image.raw import RawDisk
from regild.image.window import Window, open_window
from regild.model.json import from_json
from regild.model.progress import Progress

CONSOLE_TAIL_BYTES = 2000
SPARE_BYTES = 16 << 20


def main(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """The stage: boot the disk in file descriptor `disk` with `start`, over an overlay `booted`.

    `repository` holds the packages and the script. All has to end within `timeout_seconds`. What
    the guest says is in `console.log` and `guest.log`.

    Raises: GuestCommandFailed, GuestCommandHung, ChangeError, ToolMissing, CommandFailed, DiskFull,
    and what reading the disk raises.
    """
    job, limit_seconds = Path(request["job"]), float(request["timeout_seconds"])
    commands = from_json(tuple[GuestCommand, ...], request["commands"])
    start = from_json(Start, request["start"])
    media = _make_media(Path(request["repository"]), job / "media")
    base = disk_of(Window(request["disk"], request["where"], request["offset"], request["bytes"]))
    progress.step(f"Booting the guest with its {start.name}")
    with (
        Overlay.create(job / "booted", base) as overlay,
        open_window(media) as window,
        (job / "console.log").open("wb") as console,
        (job / "guest.log").open("wb", buffering=0) as log,
    ):
        told = _Told(commands, progress, log)
        machine = Machine(
            drives=(Drive(overlay), Drive(RawDisk(window), read_only=True)),
            kernel=Path(start.kernel).read_bytes(),
            initrd=Path(start.initrd).read_bytes(),
            options=kernel_options(start, uuid.uuid4().hex),
        )
        finished = run_machine(
            machine,
            purpose="to boot the guest for its changes",
            console=console,
            report=told.take,
            timeout_seconds=limit_seconds,
            watch=lambda: check_room(job),
        )
        overlay.flush()
    media.unlink()
    said = told.check(finished.code, limit_seconds, _console_tail(job / "console.log"))
    return {"said": said, "later": told.report.later}


class _Told:
    """The script's report, with progress shown while it comes in."""

    def __init__(
        self, commands: tuple[GuestCommand, ...], progress: Progress, log: IO[bytes]
    ) -> None:
        self.commands, self.progress, self.log = commands, progress, log
        self.report = Report()
        self._shown = 0

    def take(self, content: bytes) -> None:
        """Take in what the guest reports."""
        self.log.write(content)
        self.report.take(content)
        for number in self.report.begun[self._shown :]:
            if number < len(self.commands):
                self.progress.step(f"In the booted guest: {self.commands[number].what}")
        self._shown = len(self.report.begun)

    def check(self, code: int, limit_seconds: float, console: str) -> list[str]:
        """The last words of every command, where all of them ended well.

        Raises: GuestCommandFailed, GuestCommandHung, ChangeError.
        """
        for number, command in enumerate(self.commands):
            text = self.report.said(number)
            if number not in self.report.codes:
                break
            check_ended(command, self.report.codes[number], text, limit_seconds)
        else:
            if self.report.is_done and code == 0:
                return [self.report.said(n)[-SAID_BYTES:] for n in range(len(self.commands))]
        self._raise_unfinished(code, limit_seconds, console)
        raise AssertionError

    def _raise_unfinished(self, code: int, limit_seconds: float, console: str) -> None:
        """Say how far a guest came that did not do all that it was told."""
        known = [one for one in self.report.begun if one < len(self.commands)]
        begun = known[-1] if known else None
        where = "boot" if begun is None else self.commands[begun].what
        last = console if begun is None else tail_of(self.report.said(begun))
        if code == TIMED_OUT:
            why = f"{limit_seconds:.0f} seconds had passed; it last said: {last}"
            raise GuestCommandHung(where=where, why=why)
        raise GuestCommandFailed(where=where, why=f"the guest ended before; it last said: {last}")


def _make_media(folder: Path, media: Path) -> Path:
    """The read-only drive: an ext4 filesystem without a journal that holds a folder's files."""
    used = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    with media.open("xb") as file:
        file.truncate((used + used // 8 + SPARE_BYTES) & ~0xFFF)
    kind = ["-t", "ext4", "-O", "^has_journal"]
    run(
        ["mke2fs", "-q", "-F", *kind, "-d", folder, media],
        purpose="to hand packages to a booted guest",
    )
    return media


def _console_tail(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(-min(CONSOLE_TAIL_BYTES, os.fstat(file.fileno()).st_size), os.SEEK_END)
        return tail_of(file.read().decode(errors="replace"))
