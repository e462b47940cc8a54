"""From a plan and a disk to a changed overlay: EXTRACT, RUN, RECORD, GATE, WRITE in this order.

Only WRITE makes anything of the image, and that in an overlay; the disk's own file is opened for
reading once and handed down as a file descriptor. Each stage leaves its outcome in the job's
folder, and nothing of a stage that failed is used.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec import structs
from msgspec.structs import replace

from regild.change.boot_chain import FINISH
from regild.change.boot_script import write_script
from regild.change.bounds import most_memory
from regild.change.errands import compile_commands, compile_tests
from regild.change.extract import TAKEN, Taken
from regild.change.family import family_named, type_of
from regild.change.gate import (
    check_fixed,
    check_kept,
    check_links,
    check_places,
    check_room,
    explain_record,
)
from regild.change.inside import Room
from regild.change.left import WORTH_BYTES
from regild.change.loader_places import Place
from regild.change.owners import Owned, Owners
from regild.change.papers import read_left, read_paper
from regild.change.script import GuestCommand
from regild.change.start import Start
from regild.change.tree import Part, check_parts
from regild.change.windows_report import WindowsRun
from regild.errors import CommandFailed, DiskFull, Malformed, NotServed
from regild.host.fuse import find_device
from regild.host.namespace import View
from regild.host.scratch import Scratch
from regild.host.stage import run_stage, signal_of
from regild.model.content import Value
from regild.model.digest import Digest, sha256_of
from regild.model.json import to_json
from regild.model.plan import Carrier, Plan
from regild.model.progress import Progress
from regild.model.record import Explained, Record

MEMORY_SHARE = 3
"""Tree and changes together may take a third of the memory that is available."""
RECORD_SECONDS = 600
BOOTED = "booted.console.log"
CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL)
"""How the library of the filesystem ends on bytes that it did not expect."""


@dataclass(frozen=True, slots=True)
class DiskFile:
    """Where a disk's bytes lie: a whole file, or a member of an OVA in place."""

    path: Path
    offset: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Boot:
    """What it takes to have the guest itself run the commands."""

    start: Start
    places: tuple[Place, ...] = ()
    """Where outside of the record's filesystems it may have changed something that counts."""


class Changed(Value, frozen=True):
    """What a change did: the overlay beside the disk, and the record that explains it."""

    overlay: str
    entries: int
    content_bytes: int
    changed_grains: int
    explained: tuple[Explained, ...]
    carrier: Carrier = "record"
    said: tuple[str, ...] = ()
    windows: WindowsRun | None = None
    """How a booted Windows made the change."""
    console: Digest | None = None
    """Of what a booted guest said on its console, which is kept as `BOOTED` in the job's folder."""


def apply_plan(
    disk: DiskFile,
    parts: tuple[Part, ...],
    plan: Plan,
    repository: Path,
    scratch: Scratch,
    *,
    now_ns: int,
    timeout_seconds: float,
    progress: Progress,
    boot: Boot | None = None,
    owned: tuple[Owned, ...] = (),
) -> Changed:
    """Change a disk as the plan says, into an overlay in the scratch folder.

    `repository` holds the plan's package files (`regild.change.repository`); `parts` the guest's
    filesystems; `now_ns` is the change time that inodes get. With `boot` the guest itself runs the
    commands. `owned` is what the guest's package database says before anything is changed, for
    families that ask for it.

    Raises: ToolMissing, NotPermitted, UnsupportedFilesystem, ChangeError and its kinds,
    IntegrityError when the result does not read back, DiskFull.
    """
    parts = check_parts(parts)
    job = scratch.make_guest()
    with disk.path.open("rb") as file:
        place = {"disk": file.fileno(), "where": str(disk.path), "parts": to_json(parts, indent=0)}
        place |= {"offset": disk.offset, "bytes": disk.bytes}
        shown = (Path(boot.start.kernel).parent,) if boot else ()
        traces = plan.carrier == "uml" or any(part.by_kernel for part in parts)
        work = disk.path, file.fileno(), repository, timeout_seconds, progress
        stages = _Stages(scratch, *work, shown, traces, _device(scratch, parts))
        compiled, tests = compile_commands(plan), compile_tests(plan)
        request = _request(plan, parts, repository, owned)
        request |= {"job": str(job), "timeout_seconds": timeout_seconds}
        commands = (FINISH,) if boot else (*compiled, FINISH, *tests)
        request["commands"] = to_json(commands, indent=0)
        said: list[str] = []
        console = None
        if boot:
            ran = stages.boot_guest({**place, **request}, (*compiled, *tests), boot)
            said, request["later"] = ran["said"], ran["later"]
            request["acquire"] = {**place, "booted": str(job / "booted")}
            console = _keep_console(job, scratch)
        ran = _run(stages, plan, parts, place, request)
        explained = _judge(job, parts, plan)
        places = to_json(boot.places if boot else (), indent=0)
        write = {**place, "job": str(job), "now_ns": now_ns, "places": places}
        written = stages.read_or_write("write", write)
    return Changed(
        overlay=str(job / "overlay"),
        entries=ran["entries"],
        content_bytes=ran["content_bytes"],
        changed_grains=written["changed_grains"],
        explained=explained,
        carrier=plan.carrier,
        said=(*said, *ran["said"]),
        console=console,
    )


def _device(scratch: Scratch, parts: tuple[Part, ...]) -> Path | None:
    """What files that are left in the image can be shown through, where some may be left."""
    return find_device(scratch.path) if any(part.by_library for part in parts) else None


def _keep_console(job: Path, scratch: Scratch) -> Digest:
    """Keep what the guest said on its console where no stage writes."""
    content = read_left(job / "console.log")
    (scratch.path / BOOTED).write_bytes(content)
    return sha256_of(content)


def _request(
    plan: Plan, parts: tuple[Part, ...], repository: Path, owned: tuple[Owned, ...]
) -> dict[str, Any]:
    """What the stage that runs the commands is told, whatever carries them."""
    return {
        "repository": str(repository),
        "parts": to_json(parts, indent=0),
        "type": type_of(plan),
        "packages": sorted({step.name for step in plan.package_steps}),
        "owned": to_json(owned, indent=0),
        "seal": plan.seal,
        "most_bytes": most_memory(),
        "room_bytes": sum(part.bytes for part in parts if part.writable),
        "changes_bytes": _changes_bytes(plan),
    }


@dataclass(frozen=True, slots=True)
class _Stages:
    """The stages of one job, each in its own name space with the same view."""

    scratch: Scratch
    path: Path
    disk: int
    repository: Path
    timeout_seconds: float
    progress: Progress
    readable: tuple[Path, ...] = ()
    """What stages are shown besides."""
    traces: bool = False
    """Whether a user-mode kernel is run in those that work on the disk."""
    device: Path | None = None
    """What files that are left in the image are shown through, where this machine has it."""

    def read_or_write(self, name: str, request: dict[str, Any]) -> dict[str, Any]:
        """A stage that works on the disk; where the disk makes it crash, that is said of it."""
        with self._blamed_on_the_disk():
            return self._run(name, request, keep=(self.disk,), timeout=self.timeout_seconds)

    def run_guest(self, request: dict[str, Any]) -> dict[str, Any]:
        """The stage that runs the guest's commands; it may mount.

        It is handed the disk only where it is to take the tree out into memory first, which it
        leaves to a confined stage inside it.
        """
        # The commands have their own limit; as much again is for the tree and the record.
        limit = 2 * self.timeout_seconds + RECORD_SECONDS
        keep = (self.disk,) if {"extract", "acquire", "shown"} & request.keys() else ()
        with self._blamed_on_the_disk():
            return self._run("run", request, confined=False, timeout=limit, keep=keep)

    def run_in_kernel(self, request: dict[str, Any]) -> dict[str, Any]:
        """The stage in which a user-mode kernel runs the guest's commands."""
        limit = 2 * self.timeout_seconds + RECORD_SECONDS
        with self._blamed_on_the_disk():
            return self._run("uml", request, keep=(self.disk,), timeout=limit)

    def boot_guest(
        self, request: dict[str, Any], commands: tuple[GuestCommand, ...], boot: Boot
    ) -> dict[str, Any]:
        """The stage in which the guest runs the commands: their last words, and what they left to
        be made afterwards.

        It is not confined, so that it can start the machine as nobody.
        """
        family = family_named(request["type"])
        write_script(self.repository, commands, family, boot.start.options)
        asked = {
            **request,
            "commands": to_json(commands, indent=0),
            "start": to_json(boot.start, indent=0),
        }
        limit = self.timeout_seconds + RECORD_SECONDS
        with self._blamed_on_the_disk():
            return self._run("boot", asked, confined=False, timeout=limit, keep=(self.disk,))

    @contextlib.contextmanager
    def _blamed_on_the_disk(self) -> Iterator[None]:
        """A crash of a stage that reads the disk is told as what the disk did."""
        try:
            yield
        except CommandFailed as error:
            if signal_of(error) in CRASHES:
                why = f"reading its filesystem crashed: {error.why}"
                raise Malformed(where=str(self.path), why=why) from error
            raise

    def _shown(self) -> tuple[Path, ...]:
        return (self.repository, *self.readable, *((self.device,) if self.device else ()))

    def _run(
        self,
        name: str,
        request: dict[str, Any],
        *,
        timeout: float,
        keep: tuple[int, ...] = (),
        confined: bool = True,
    ) -> dict[str, Any]:
        answer: dict[str, Any] = run_stage(
            f"regild.change.{name}",
            request,
            ids=self.scratch.ids,
            view=View(readable=self._shown(), writable=(self.scratch.guest,)),
            log=self.scratch.path / "stages.log",
            progress=self.progress,
            keep=keep,
            confined=confined,
            traces=self.traces and confined,
            timeout_seconds=timeout,
        )
        return answer


def _run(
    stages: _Stages,
    plan: Plan,
    parts: tuple[Part, ...],
    place: dict[str, Any],
    request: dict[str, Any],
) -> dict[str, Any]:
    """Run the commands and record what they did, as the plan's carrier does it."""
    if plan.carrier == "uml":
        return stages.run_in_kernel({**place, **request})
    extract = {**place, "tree": f"{request['job']}/tree"}
    if stages.device:
        shown = {**place, "device": str(stages.device)}
        leave = {**extract, "leave": WORTH_BYTES}
        try:
            return _run_in_memory_first(
                stages, leave, {**request, "shown": shown}, _memory_for(plan, parts, leaves=True)
            )
        except NotServed as error:
            stages.progress.note(f"{error}; all files are taken out instead")
            extract["again"] = True
    return _run_in_memory_first(stages, extract, request, _memory_for(plan, parts))


def _run_in_memory_first(
    stages: _Stages, extract: dict[str, Any], request: dict[str, Any], memory: _Memory
) -> dict[str, Any]:
    """EXTRACT and RUN in memory as far as they fit; once more on the disk where they did not."""
    if memory.upper:
        inside = {"extract": {**extract, "memory_bytes": memory.tree}} if memory.tree else {}
        if not memory.tree:
            stages.read_or_write("extract", extract)
        try:
            return stages.run_guest({**request, **inside, "memory_bytes": memory.upper})
        except DiskFull as error:
            stages.progress.note(f"{error}; starting again on the disk")
    if memory.tree or not memory.upper:
        stages.read_or_write("extract", extract)
    return stages.run_guest({**request, "memory_bytes": 0})


def _judge(job: Path, parts: tuple[Part, ...], plan: Plan) -> tuple[Explained, ...]:
    """The gate, over what the run left."""
    record = read_paper(Record, job / "record.json", "the change record")
    owners = read_paper(Owners, job / "owners.json", "the package database's answer")
    taken = read_paper(Taken, job / TAKEN, "what was learned of the guest's filesystems")
    parts = tuple(_with_room(part, taken.rooms.get(part.mount)) for part in parts)
    check_places(record, parts)
    check_fixed(record, frozenset(taken.fixed))
    check_links(record, owners)
    check_room(record, parts)
    if plan.errands and not plan.package_steps:
        check_kept(record)
    return explain_record(record, owners, plan.errands, plan.seal)


def _with_room(part: Part, room: Room | None) -> Part:
    """A filesystem with the room that a kernel found in it; the library's is known before."""
    return replace(part, **structs.asdict(room)) if room is not None and part.by_kernel else part


@dataclass(frozen=True, slots=True)
class _Memory:
    """Bytes of memory for the tree and for the upper directory; 0 where it is to be the disk."""

    tree: int
    upper: int


def _changes_bytes(plan: Plan) -> int:
    """What a change mostly takes.

    dpkg unpacks a package beside its old files, and triggers rewrite caches: twice the unpacked
    size of what is installed, which is under six times the download, and 256 MiB mostly do.
    """
    return 6 * plan.download_bytes + (256 << 20)


def _memory_for(plan: Plan, parts: tuple[Part, ...], leaves: bool = False) -> _Memory:
    """What may be done in memory: the changes first, the tree too where there is room for both.

    A tree takes what its filesystems use, and a page for the rest of each file's last block. What
    of that is left in the image is known only when its files were looked at: where it all is too
    much, whatever there is beside the changes may do.
    """
    changes = _changes_bytes(plan)
    used = sum(part.bytes - part.free_blocks * part.block_bytes for part in parts if part.writable)
    tree = used + used // 4 + (64 << 20)
    share = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // MEMORY_SHARE
    if leaves and changes + tree >= share:
        tree = share - changes
    if tree > 0 and changes + tree <= share:
        return _Memory(tree, share - tree)
    return _Memory(0, share if changes < share else 0)
