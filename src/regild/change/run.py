"""RUN: the guest commands on an overlay over the extracted tree, then the record of what they did.

Runs as a stage in its own name space, unconfined there so that it may mount; the guest's
commands are confined once more by bubblewrap. When the stage ends, for whatever reason, the
kernel takes its mounts and all processes of the guest away.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from regild.change.beside import IMAGE, shown_from_image
from regild.change.boot_chain import (
    FIRST,
    devices_of,
    dress_like,
    inject_boot_chain,
    write_first,
    write_stand_ins,
)
from regild.change.bounds import RoomWatch, check_copies, check_memory
from regild.change.clear import clear
from regild.change.ended import SAID_BYTES, check_ended
from regild.change.extract import TAKEN, Taken
from regild.change.family import Family, family_named
from regild.change.left import LEFT
from regild.change.owners import Owned, Ran
from regild.change.papers import read_paper
from regild.change.record import read_record
from regild.change.sandbox import make_memory_folders, sandbox_line
from regild.change.script import GuestCommand
from regild.change.selinux import ask_for_all, find_policy, mark, read_contexts, relabel
from regild.change.tree import Part
from regild.errors import (
    CommandFailed,
    DiskFull,
    GuestCommandFailed,
    HostError,
    Malformed,
)
from regild.host.nested import Companion, await_end, run_nested
from regild.host.run import OUTPUT_BYTES_MAX, run
from regild.host.scratch import check_room, free_bytes
from regild.host.syscalls import open_filter
from regild.model.json import from_json, to_json
from regild.model.plan import Seal
from regild.model.progress import Progress
from regild.model.record import Record

MEMORY_BYTES = 512 << 20
"""What the guest's /run, /tmp and /dev/shm may hold together."""


def main(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """The stage: run `commands` over `tree` in the job's folder, leave the record there.

    The job's folder holds `tree`, `repository` the plan's package files; `record.json`,
    `owners.json` and `content` appear in it. Commands have `timeout_seconds` together; new
    contents may be `room_bytes` together, and what the programs hold in memory `most_bytes`. With
    `extract` in the request the tree is first taken out here, into memory: thousands of small
    files cost a disk's filesystem more than dpkg does.
    With `shown` what was left in the image is shown from there, where `shown` says it lies; what
    the plan's packages change may be `changes_bytes`.
    With `acquire` in it the guest was booted before; what it changed is taken over, and `later`
    are the calls, by what they make, of what only `commands` make.

    Raises: GuestCommandFailed, GuestCommandHung, GuestFull, RecordRefused, TooLarge, DiskFull,
    NotServed, HostError.
    """
    job = Path(request["job"])
    if "extract" in request:
        _extract_in_memory(job / "tree", request["extract"], progress)
    request = {**request, "memory_bytes": _memory_for_copies(job, request)}
    upper = make_layers(job, request["memory_bytes"], family_named(request["type"]))
    if "acquire" in request:
        asked = {**request["acquire"], "upper": str(upper)}
        run_nested("regild.change.acquire", asked, progress, keep=(asked["disk"],))
    else:
        (job / "guest.log").unlink(missing_ok=True)  # of a first try in memory
    with shown_from_image(job, request.get("shown"), progress) as companion:
        mount_overlay(job, companion is not None)
        said = _run_commands(job, request, companion, progress)
        return {**keep_record(job, job, upper, request, progress), "said": said}


def _run_commands(
    job: Path, request: dict[str, Any], companion: Companion | None, progress: Progress
) -> list[str]:
    """Run the guest's commands; the last words of each."""
    commands = from_json(tuple[GuestCommand, ...], request["commands"])
    room = RoomWatch(job / "upper", job / "memory", request["room_bytes"])
    guest = guest_over(job, job, request, room, companion)
    for queue, calls in request.get("later", {}).items():
        (guest.state / queue).write_text("".join(f"{call}\n" for call in calls))
    try:
        said = [guest.run(command, progress) for command in commands]
    except GuestCommandFailed:
        _check_had_room(job, request, room, companion)
        raise
    _check_had_room(job, request, room, companion)  # a script may not have minded
    return said


def _check_had_room(
    job: Path, request: dict[str, Any], room: RoomWatch, companion: Companion | None
) -> None:
    """Tell what went wrong for want of room from what went wrong by itself.

    Raises: DiskFull, GuestFull.
    """
    _check_memory(job / "upper", request["memory_bytes"])
    room.check()
    if companion:
        check_copies(job, _taken(job), room.least_free)


def _memory_for_copies(job: Path, request: dict[str, Any]) -> int:
    """The memory for what changes; none where a copy of the largest file that was left would have
    no room in it beside the rest (`check_copies` says why, and looks again afterwards).

    Raises: DiskFull where there is no room on the disk either.
    """
    memory_bytes: int = request["memory_bytes"]
    if not (job / LEFT).exists():
        return memory_bytes
    needed = _taken(job).largest_left + request["changes_bytes"]
    if needed <= memory_bytes:
        return memory_bytes
    if free_bytes(job) < needed:
        why = f"a script that changes the image's largest file of data needs {needed >> 20} MiB"
        raise DiskFull(where="the job's folder", why=why)
    return 0


def _taken(job: Path) -> Taken:
    return read_paper(Taken, job / TAKEN, "what was taken out")


def keep_record(
    job: Path, out: Path, upper: Path, request: dict[str, Any], progress: Progress
) -> dict[str, Any]:
    """Leave in the folder `out` what the guest's commands did below `job`: the record, its
    contents, and whose each path is.

    Raises: RecordRefused, GuestFull, TooLarge.
    """
    progress.step("Recording what changed", None)
    seal = tuple(request.get("seal", ()))
    clear(job / "merged", seal)
    record = _recorded(job, out, upper, request["room_bytes"], seal, progress)
    owned = from_json(tuple[Owned, ...], request["owned"])
    names, repository = tuple(request["packages"]), Path(request["repository"])
    ran = Ran(job / "merged", job / "tree", record, names, repository, owned)
    owners = family_named(request["type"]).read_owners(ran)
    (out / "owners.json").write_text(to_json(owners, indent=0))
    (out / "record.json").write_text(to_json(record, indent=0))
    return {"entries": len(record.entries), "content_bytes": record.content_bytes}


def _recorded(
    job: Path,
    out: Path,
    upper: Path,
    room_bytes: int,
    seal: tuple[Seal, ...],
    progress: Progress,
) -> Record:
    """What the commands changed, with the labels that the guest's own policy has for it."""
    merged, tree = job / "merged", job / "tree"
    policy = find_policy(merged)
    if policy and ask_for_all(merged, tree, policy):
        progress.note("the SELinux policy's labels changed: the guest labels all at its next start")
    record = _read(job, out, upper, room_bytes, seal)
    contexts = read_contexts(merged, policy) if policy else None
    try:
        return relabel(record, contexts) if contexts else record
    except Malformed as error:
        progress.note(f"of the SELinux policy, {error}; the guest labels all at its next start")
        mark(merged)
        return _read(job, out, upper, room_bytes, seal)


def _read(job: Path, out: Path, upper: Path, room_bytes: int, seal: tuple[Seal, ...]) -> Record:
    with (out / "content").open("wb") as content:
        return read_record(upper, job / "tree", content, room_bytes, seal, job / "merged")


def _extract_in_memory(tree: Path, request: dict[str, Any], progress: Progress) -> None:
    """EXTRACT as a confined stage of its own, into a filesystem in memory that ends with us."""
    run(["rm", "-rf", "--", tree], purpose="to remove what a first try took out")
    tree.mkdir(mode=0o755)
    _mount_memory(tree, request["memory_bytes"], "nr_inodes=0,")
    if not _keeps_attributes(tree):
        run(["umount", tree], purpose="to leave memory")
    parts = from_json(tuple[Part, ...], request["parts"])
    traces = any(part.by_kernel for part in parts)
    asked = {**request, "again": False}
    run_nested("regild.change.extract", asked, progress, keep=(request["disk"],), traces=traces)


def make_layers(job: Path, memory_bytes: int, family: Family) -> Path:
    """The folders of an overlay, and its upper directory, in memory where that fits."""
    fast = job / "upper"
    folders = [job / name for name in ("inject", "upper", "apt", "memory", "merged")]
    run(["rm", "-rf", "--", *folders], purpose="to remove what a first try in memory left")
    for folder in folders:
        folder.mkdir()
    _inject(job / "inject", family)
    write_first(job / "apt" / Path(FIRST).name)
    if inject_boot_chain(job / "inject", job / "tree"):
        (job / "apt" / "shown").touch()
    dress_like(job / "inject", job / "tree")
    if memory_bytes:
        _mount_memory(fast, memory_bytes)
        if not _keeps_attributes(fast):
            run(["umount", fast], purpose="to leave memory")
    for name in ("changed", "work"):
        (fast / name).mkdir(mode=0o755)
    # The root folder of the upper directory must look like the tree's, or its owner would change.
    status = (job / "tree").stat()
    os.chmod(fast / "changed", status.st_mode & 0o7777)
    os.utime(fast / "changed", ns=(status.st_mtime_ns, status.st_mtime_ns))
    return fast / "changed"


def mount_overlay(job: Path, shown: bool = False) -> None:
    """Mount the overlay at `merged`; with `shown` its lowest layer is what was left in the image,
    and the tree is mounted over itself with that below, for all who look at it afterwards.

    Raises: HostError where this kernel does not allow that.
    """
    # The record tells files by the numbers that they have in their layers.
    lower = f"tree:{IMAGE},xino=off" if shown else "tree,xino=off"
    _mount_layers(
        job, "merged", f"upperdir=upper/changed,workdir=upper/work,lowerdir=inject:{lower}"
    )
    if shown:
        _mount_layers(job, "tree", f"lowerdir={lower}")


def _mount_layers(job: Path, place: str, layers: str) -> None:
    line = ["mount", "-t", "overlay", "-o", f"{layers},userxattr", "overlay", place]
    try:
        run(line, purpose="to keep changes apart", cwd=job)
    except CommandFailed as error:
        why = f"overlayfs in a user name space needs Linux 5.11 or newer ({error.why})"
        raise HostError(where="guest commands apart from the image", why=why) from error


def _mount_memory(folder: Path, size: int, options: str = "") -> None:
    options += f"size={size},mode=0700"
    run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], purpose="to work in memory")


def _make_state(folder: Path, family: Family) -> Path:
    """The folders that the guest's package manager expects."""
    for name in family.folders:
        (folder / name).mkdir(parents=True, exist_ok=True)
    return folder


def _inject(folder: Path, family: Family) -> None:
    """The layer above the tree: seen by the scripts, never part of the record."""
    for place, text in family.injected.items():
        path = folder / place.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)


def _keeps_attributes(folder: Path) -> bool:
    """Whether overlayfs can keep its marks there (tmpfs has user attributes since Linux 6.6)."""
    try:
        os.setxattr(folder, "user.regild", b"y")
        os.removexattr(folder, "user.regild")
    except OSError:
        return False
    return True


def _check_memory(upper: Path, memory_bytes: int) -> None:
    """Tell a guest that failed because our memory was full from one that failed by itself."""
    if memory_bytes and free_bytes(upper) < memory_bytes // 64:
        raise DiskFull(where="memory", why="the change is larger than was thought")


def guest_over(
    job: Path,
    out: Path,
    request: dict[str, Any],
    room: RoomWatch,
    companion: Companion | None = None,
) -> GuestRun:
    """Who runs the guest's commands over the layers in `job`; what they say is kept in `out`."""
    limits = request["timeout_seconds"], request["most_bytes"]
    parts = from_json(tuple[Part, ...], request["parts"])
    family = family_named(request["type"])
    return GuestRun(job, out, Path(request["repository"]), limits, room, parts, family, companion)


class GuestRun:
    """The guest's commands, one after another; everything they say is kept in guest.log."""

    def __init__(
        self,
        job: Path,
        out: Path,
        repository: Path,
        limits: tuple[float, int],
        room: RoomWatch,
        parts: tuple[Part, ...],
        family: Family,
        companion: Companion | None = None,
    ) -> None:
        self.companion = companion
        self.job, self.out, self.repository = job, out, repository
        self.limit_seconds, self.most_bytes = limits
        self.room = room
        self.parts, self.environment = parts, family.environment
        self.state = _make_state(job / "apt", family)
        self.until = time.monotonic() + self.limit_seconds

    def run(self, command: GuestCommand, progress: Progress) -> str:
        """Run one command in the sandbox to the end of all that it started; its last words."""
        progress.step(f"In the guest: {command.what}", None)
        with _own_memory(self.job / "memory") as memory, open_filter() as calls:
            return self._run_in(memory, calls, command)

    def _watch(self) -> None:
        check_room(self.job)
        check_memory(self.most_bytes)
        self.room.check()

    def _run_in(self, memory: Path, calls: int, command: GuestCommand) -> str:
        merged, path = self.job / "merged", self.out / "guest.log"
        shown = write_stand_ins(memory / "shown", merged, self.parts) if command.stand_ins else {}
        sandbox = sandbox_line(
            merged,
            self.repository,
            self.state,
            memory,
            self.environment,
            calls=calls,
            mounts=tuple(part.mount for part in self.parts if part.mount != "/"),
            devices=devices_of(self.parts),
            shown=shown,
            read_only=command.read_only,
        )
        with path.open("ab", buffering=0) as log:
            log.write(f"# {' '.join(command.argv).partition(chr(10))[0]}\n".encode())
            begin = log.tell()
            try:
                finished = run(
                    [*sandbox, *command.argv],
                    purpose="to run the guest's programs apart",
                    output=log,
                    timeout_seconds=max(self.until - time.monotonic(), 1),
                    watch=self._watch,
                    pass_fds=(calls,),
                    check=False,
                )
            except CommandFailed as error:
                raise GuestCommandFailed(where=command.what, why=error.why) from error
            finally:
                await_end(self.companion)
        text = _text_from(path, begin)
        check_ended(command, finished.code, text, self.limit_seconds)
        return text[-SAID_BYTES:]


@contextlib.contextmanager
def _own_memory(folder: Path) -> Iterator[Path]:
    """The memory of one command: what it leaves there takes no room from the next one."""
    _mount_memory(folder, MEMORY_BYTES, "nosuid,nodev,")
    yield make_memory_folders(folder)
    run(["umount", folder], purpose="to leave memory")


def _text_from(log: Path, begin: int) -> str:
    with log.open("rb") as file:
        file.seek(begin)
        return file.read(OUTPUT_BYTES_MAX).decode(errors="replace")
