"""Booting a guest for a test: on throw-away overlays, to what is expected of it, and no further.

The guest starts by its own boot loader, as it will where it is deployed. Nothing that it does is
kept but the console's log and a picture of its screen.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regild.errors import BootTestFailed
from regild.host.files import read_limited
from regild.host.namespace import View
from regild.host.scratch import Scratch
from regild.host.stage import run_stage
from regild.image.spans import Places
from regild.model.content import Unknown
from regild.model.digest import sha256_of
from regild.model.health import IN_GUEST, BootTest, Bus, Expectation, Firmware, Met, Nic
from regild.model.json import from_json, to_json
from regild.model.progress import Progress
from regild.prove.booted import CONSOLE, SCREEN
from regild.prove.health_script import write_script

DRESS_SECONDS = 300
MORE_SECONDS = 300
CONSOLE_BYTES_MAX = 32 << 20
SCREEN_BYTES_MAX = 64 << 20
MEMORY_MIB = 1024


@dataclass(frozen=True, slots=True)
class BootedDisk:
    """Where one disk of the guest lies, and the overlay with what was changed on it, if any."""

    path: Path
    offset: int
    bytes: int
    overlay: str = ""


@dataclass(frozen=True, slots=True)
class Trial:
    """What is booted, and how."""

    disks: tuple[BootedDisk, ...]
    boot: int
    """Which of them the firmware starts from."""
    firmware: Firmware
    bus: Bus
    nic: Nic
    expectations: tuple[Expectation, ...]
    root: Places
    """Where on the boot disk the ext filesystem lies that somebody who reports is put into; nowhere
    where that cannot be."""
    unasked: tuple[Unknown, ...] = ()
    seconds: float = 600


@dataclass(frozen=True, slots=True)
class Seen:
    """How a guest was, with the console's log and the picture of its screen (PNG)."""

    boot: BootTest
    console: bytes
    screen: bytes


def boot_for_test(trial: Trial, where: str, job: Scratch, progress: Progress) -> Seen:
    """Boot a guest and hold it against what is expected; the job's folder keeps console and screen.

    Raises: BootTestFailed; ToolMissing, DiskFull, and as `run_stage`.
    """
    progress.step("Making the guest ready for a test boot")
    _throw_away(job)  # of a run that was killed
    files = [one.path.open("rb") for one in trial.disks]
    try:
        rows = [
            _row(one, file.fileno(), job.guest / f"tested-{number}")
            for number, (one, file) in enumerate(zip(trial.disks, files, strict=True))
        ]
        answer = _run(trial, rows, [file.fileno() for file in files], job, progress)
    finally:
        for file in files:
            file.close()
        _throw_away(job)
    return _judged(trial, answer, where, job)


def _run(
    trial: Trial,
    rows: list[dict[str, Any]],
    keep: Sequence[int],
    job: Scratch,
    progress: Progress,
) -> dict[str, Any]:
    asked = {"disks": rows, "boot": trial.boot, "job": str(job.guest), "script": ""}
    if trial.root:
        script = write_script(trial.expectations)
        asked |= {"script": script, "places": trial.root, "now_ns": time.time_ns()}
    common: dict[str, Any] = {
        "ids": job.ids,
        "log": job.path / "stages.log",
        "progress": progress,
        "keep": tuple(keep),
    }
    view = View(writable=(job.guest,))
    run_stage("regild.prove.dress", asked, view=view, timeout_seconds=DRESS_SECONDS, **common)
    progress.step("Booting the guest for a test")
    asked |= {
        "expectations": to_json(trial.expectations, indent=0),
        "inside": bool(trial.root),
        "timeout_seconds": trial.seconds,
        "firmware": trial.firmware,
        "bus": trial.bus,
        "nic": trial.nic,
        "memory_mib": MEMORY_MIB,
    }
    limit = trial.seconds + MORE_SECONDS
    answer: dict[str, Any] = run_stage(
        "regild.prove.booted", asked, view=view, timeout_seconds=limit, confined=False, **common
    )
    return answer


def _row(disk: BootedDisk, handle: int, throw_away: Path) -> dict[str, Any]:
    return {
        "disk": handle,
        "where": str(disk.path),
        "offset": disk.offset,
        "bytes": disk.bytes,
        "overlay": disk.overlay,
        "throw_away": str(throw_away),
    }


def _throw_away(job: Scratch) -> None:
    """What the guest wrote goes at once; it may be large."""
    for path in job.guest.glob("tested-*"):
        path.unlink()


def _judged(trial: Trial, answer: dict[str, Any], where: str, job: Scratch) -> Seen:
    """What was seen as a value; console and screen move to the caller's part of the folder."""
    console = read_limited(job.guest / CONSOLE, CONSOLE_BYTES_MAX)
    picture = job.guest / SCREEN
    screen = read_limited(picture, SCREEN_BYTES_MAX) if picture.is_file() else b""
    (job.path / CONSOLE).write_bytes(console)
    if screen:
        (job.path / SCREEN).write_bytes(screen)
    met = from_json(tuple[Met, ...], answer["met"])
    if answer["faults"]:
        error = BootTestFailed(where=where, differences=tuple(answer["faults"]))
        error.keep_log(str(job.path / CONSOLE))
        raise error
    boot = BootTest(
        firmware=trial.firmware,
        bus=trial.bus,
        nic=trial.nic,
        reached=answer["reached"],
        state=answer["state"],
        failed=tuple(answer["failed"]),
        met=met,
        unasked=trial.unasked,
        console=sha256_of(console),
        screenshot=sha256_of(screen) if screen else None,
    )
    return Seen(boot, console, screen)


def needs_someone_inside(expectations: Sequence[Expectation]) -> bool:
    """Whether somebody in the guest has to look at what is expected."""
    return not expectations or any(one.kind in IN_GUEST for one in expectations)
