"""UML: the guest's commands run in a kernel that is a process of its own.

Runs as a stage. The guest's volumes are copied into sparse files, which that kernel mounts read
only; the scripts of packages and the filesystems of a stranger meet no other kernel than that. What
comes out is a record, judged and written like every other.
Source: docs/adr/0068.
"""

from __future__ import annotations

import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from regild.change.extract import TAKEN, Taken
from regild.change.inside_run import STEPS, Done, Lower
from regild.change.kernel import copy_volume, keep_copies, places_of
from regild.change.papers import read_paper
from regild.change.tree import Part
from regild.errors import Malformed
from regild.host.run import run
from regild.host.scratch import check_room
from regild.host.uml import run_in_kernel
from regild.image.disk import Disk
from regild.image.formats import disk_of
from regild.image.spans import Places
from regild.image.window import Window
from regild.model.json import from_json, to_json
from regild.model.progress import Progress
from regild.model.record import Record

MEMORY_MIB: Final = 1536
"""dpkg and what scripts run, and 512 MiB of files in memory (`regild.change.run`)."""
GUEST_SHARE: Final = 0.6
SPARE_BYTES: Final = 256 << 20
END_SECONDS: Final = 600
LOGS: Final = ("guest.log", "console.log")
LEFT: Final = ("record.json", "owners.json", "content")
STEP_BYTES_MAX: Final = 1 << 20


def main(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """The stage: run `commands` over the disk in file descriptor `disk`, and leave the record in
    the job's folder.

    Raises: as `regild.change.run.main` and `run_in_kernel`.
    """
    job, parts = Path(request["job"]), from_json(tuple[Part, ...], request["parts"])
    disk = disk_of(Window(request["disk"], request["where"], request["offset"], request["bytes"]))
    progress.step("Copying the guest's volumes", None)
    writable = tuple(part for part in parts if part.writable)
    drives = _copies(disk, writable, job)
    changes = _make_drive(job / "carried" / "changes", request["room_bytes"])
    asked = {
        **request,
        "parts": to_json(writable, indent=0),
        "lowers": to_json(_lowers(writable, list(drives)), indent=0),
        "changes": len(drives),
        "most_bytes": int((MEMORY_MIB << 20) * GUEST_SHARE),
    }
    folder = job / "kernel"
    folder.mkdir()
    progress.step("Starting a kernel of its own for the guest's programs", None)
    try:
        told = run_in_kernel(
            "regild.change.inside_run",
            asked,
            [*(str(path) for path in drives.values()), str(changes)],
            folder,
            purpose="to run the guest's programs in a kernel of their own",
            timeout_seconds=request["timeout_seconds"] + END_SECONDS,
            memory_mib=MEMORY_MIB,
            read_only=len(drives),
            watch=_watching(folder / STEPS, job, progress),
        )
    finally:
        for log in LOGS:
            _take(folder / log, job)
    return _take_over(job, folder, writable, told)


def _copies(disk: Disk, parts: tuple[Part, ...], job: Path) -> dict[Places, Path]:
    """A copy of each volume; those that are to be written by a kernel are kept for that."""
    by_kernel = [part for part in parts if part.by_kernel]
    found = dict(zip(places_of(by_kernel), keep_copies(disk, by_kernel, job), strict=True))
    (job / "carried").mkdir()
    for number, place in enumerate(places_of(parts)):
        if place not in found:
            found[place] = job / "carried" / f"{number}.raw"
            copy_volume(disk, place, found[place])
    return found


def _lowers(parts: tuple[Part, ...], order: list[Places]) -> tuple[Lower, ...]:
    return tuple(
        Lower(one.mount, order.index(one.on_disk), one.filesystem, one.options) for one in parts
    )


def _make_drive(path: Path, room_bytes: int) -> Path:
    """An empty drive for what the guest's programs change."""
    with path.open("xb") as file:
        file.truncate((room_bytes + SPARE_BYTES) & ~0xFFF)
    kind = ["-t", "ext4", "-m", "0", "-O", "^has_journal", "-E", "root_owner=0:0"]
    run(["mke2fs", "-q", "-F", *kind, path], purpose="to keep a guest's changes apart")
    return path


def _watching(steps: Path, job: Path, progress: Progress) -> Callable[[], None]:
    """What is looked at while the kernel runs: this machine's room, and how far it came."""
    shown = 0

    def watch() -> None:
        """Show the steps that the kernel's process has written since the last look."""
        nonlocal shown
        check_room(job)
        if steps.is_file() and not steps.is_symlink():
            with steps.open("rb") as file:
                lines = file.read(STEP_BYTES_MAX).decode(errors="replace").split("\n")[:-1]
            for line in lines[shown:]:
                progress.step(line, None)
            shown = len(lines)

    return watch


def _take_over(
    job: Path, folder: Path, parts: tuple[Part, ...], told: dict[str, Any]
) -> dict[str, Any]:
    """Put what the kernel left where the record is looked for.

    Raises: Malformed.
    """
    done = from_json(Done, str(told.get("done")), "the user-mode kernel")
    if not all(_take(folder / name, job) for name in LEFT):
        raise Malformed(where="the user-mode kernel", why="it left no record")
    _check(job)
    rooms = {part.mount: done.rooms[part.mount] for part in parts if part.mount in done.rooms}
    # The gate needs no list of what is immutable: the kernel's own refusal was in the way.
    (job / TAKEN).write_text(to_json(Taken(rooms, ()), indent=0))
    shutil.rmtree(folder)
    shutil.rmtree(job / "carried")
    return {"entries": done.entries, "content_bytes": done.content_bytes, "said": list(done.said)}


def _take(file: Path, job: Path) -> bool:
    """Move a plain file to the job's folder; whether there was one."""
    try:
        plain = stat.S_ISREG(file.lstat().st_mode)
    except FileNotFoundError:
        return False
    if plain:
        file.replace(job / file.name)
    return plain


def _check(job: Path) -> None:
    """Refuse a record that no honest kernel leaves: whoever took it over may have written it.

    Raises: Malformed.
    """
    record = read_paper(Record, job / "record.json", "the change record")
    held = (job / "content").stat().st_size
    for entry in record.entries:
        names = entry.path.split("/")
        end = (entry.content_at or 0) + (entry.becomes.bytes if entry.content_at is not None else 0)
        plain = not names[0] and not {"", ".", ".."} & set(names[1:]) and "\0" not in entry.path
        if not plain or (entry.content_at or 0) < 0 or end > held:
            raise Malformed(where="the change record", why=f"it tells of {entry.path!r}")
