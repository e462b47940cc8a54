"""How far a job has come, noted so that it can go on where a kill or an error ended it.

A half-run package script is never resumed: until the change is whole, a job starts again. From then
on the overlay in the job's folder is the work that is done; proving and publishing are done again.
The journal is one file, replaced atomically; the job's lock says whether somebody works on it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from msgspec.structs import replace

from regild.agent.reading.inspect import Inspected
from regild.change.apply import Changed
from regild.errors import RegildError
from regild.host.files import read_limited, write_whole
from regild.host.process import start_of
from regild.host.scratch import JOURNAL, Scratch
from regild.model.content import Value
from regild.model.digest import Digest
from regild.model.json import from_json, to_json
from regild.model.plan import Plan

JOURNAL_BYTES_MAX = 256 << 20
Phase = Literal["planned", "changed"]


class Journal(Value, frozen=True):
    """What a job was asked for, and what it has done."""

    phase: Phase
    plan: Digest
    disk: str
    """Which file the disk is: device, inode, size and time, so that another one is noticed."""
    image: str
    output: str
    argv: tuple[str, ...] = ()
    """The command line, for `regild jobs resume`."""
    folder: str = ""
    """Where it was given."""
    pid: int = 0
    started: int = 0
    """When that process started, in the kernel's ticks: a number that is used again is told."""
    changed: Changed | None = None


def new_journal(inspected: Inspected, plan: Plan, output: Path, argv: tuple[str, ...]) -> Journal:
    """The journal of a job that begins."""
    return Journal(
        phase="planned",
        plan=plan.id,
        disk=_disk_of(inspected),
        image=str(inspected.image.path.absolute()),
        output=str(output.absolute()),
        argv=argv,
        folder=str(Path.cwd()),
        pid=os.getpid(),
        started=start_of(os.getpid()),
    )


def note(job: Scratch, journal: Journal, phase: Phase, changed: Changed | None = None) -> Journal:
    """Note that a job has come so far.

    Raises: DiskFull, NotPermitted.
    """
    journal = replace(journal, phase=phase, changed=changed or journal.changed)
    write_whole(job.path / JOURNAL, to_json(journal, indent=0).encode())
    return journal


def forget(job: Scratch) -> None:
    """Note nothing any more: what was done is not to be gone on from."""
    (job.path / JOURNAL).unlink(missing_ok=True)


def find_journal(path: Path) -> Journal | None:
    """The journal in a job's folder; None where there is none that can be read."""
    try:
        return from_json(Journal, read_limited(path / JOURNAL, JOURNAL_BYTES_MAX), JOURNAL)
    except RegildError:
        return None


def done_before(job: Scratch, inspected: Inspected, plan: Plan) -> Changed | None:
    """The change that an earlier run has made of this disk by this plan, whole and still there."""
    journal = find_journal(job.path)
    if journal is None or journal.changed is None or journal.plan != plan.id:
        return None
    if journal.disk != _disk_of(inspected) or not Path(journal.changed.overlay).is_file():
        return None
    return journal.changed if Path(journal.changed.overlay).parent == job.guest else None


def _disk_of(inspected: Inspected) -> str:
    path, offset, length = inspected.boot.stored.whole()
    status = path.stat()
    facts = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, offset, length
    return ":".join(map(str, facts))
