"""Jobs that did not come to their end: which there are, and taking them away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from msgspec.structs import replace

from regild.agent.changing.journal import Journal, find_journal
from regild.errors import Busy, MissingFile, UsageError
from regild.host.namespace import find_id_map
from regild.host.process import is_running
from regild.host.scratch import default_folder, is_locked, open_scratch
from regild.model.job import JobAnswer, JobsAnswer, LeftState

LOGS = ("guest/guest.log", "guest.log", "stages.log")
BLOCK = 512
"""Bytes in what stat(2) calls a block."""


def list_jobs(folder: Path | None = None) -> JobsAnswer:
    """The jobs below a folder, by name."""
    place = folder or default_folder()
    return JobsAnswer(str(place), tuple(_jobs(place)))


def clean_jobs(folder: Path | None = None, names: tuple[str, ...] = ()) -> JobsAnswer:
    """Remove jobs, all or those that are named; one that somebody works on stays.

    Raises: MissingFile for a name that there is not; Busy for one that is named and at work.
    """
    place = folder or default_folder()
    found = {one.name: one for one in _jobs(place)}
    for name in names:
        if name not in found:
            raise MissingFile(where=name, why=f"there is no such job in {place}")
    removed = []
    for one in found.values():
        if names and one.name not in names:
            continue
        try:
            with open_scratch(place, one.name, find_id_map()):
                removed.append(one)
        except Busy:
            if names:
                raise
    return JobsAnswer(str(place), tuple(removed))


def find_job(name: str, folder: Path | None = None) -> Journal:
    """What a job was asked for, to be asked for again.

    Raises: MissingFile, Busy, UsageError when it does not know its command line.
    """
    place = folder or default_folder()
    found = {one.name: one for one in _jobs(place)}.get(name)
    if found is None:
        raise MissingFile(where=name, why=f"there is no such job in {place}")
    if found.state == "running":
        raise Busy(where=found.folder, why=f"process {found.pid} works on it")
    journal = find_journal(Path(found.folder))
    if journal is None or not journal.argv:
        raise UsageError(what=f"{name} does not say how it was started; run its command again")
    return journal


def _jobs(place: Path) -> Iterator[JobAnswer]:
    if not place.is_dir():
        return
    for path in sorted(place.iterdir()):
        if path.is_dir() and not path.is_symlink():
            yield _job(path)


def _job(path: Path) -> JobAnswer:
    journal = find_journal(path)
    changed = journal is not None and journal.changed is not None
    state: LeftState = "can go on" if changed else "starts again"
    log = next((str(path / name) for name in LOGS if (path / name).is_file()), "")
    found = JobAnswer(
        name=path.name,
        folder=str(path),
        state="running" if is_locked(path) else state,
        phase=journal.phase if journal else "",
        bytes=sum(one.lstat().st_blocks * BLOCK for one in path.rglob("*")),
        log=log,
    )
    if journal is None:
        return found
    pid = journal.pid if is_running(journal.pid, journal.started) else 0
    return replace(found, image=journal.image, output=journal.output, pid=pid)
