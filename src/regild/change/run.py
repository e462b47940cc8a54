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

from regild.change.boot_chain import (
    dress_like,
    inject_boot_chain,
    volumes_of,
    write_stand_ins,
)
from regild.change.owners import read_owners
from regild.change.record import read_record
from regild.change.sandbox import make_memory_folders, sandbox_line
from regild.change.script import ENVIRONMENT, GuestCommand
from regild.change.tree import Part
from regild.errors import (
    ChangeError,
    CommandFailed,
    DiskFull,
    GuestCommandFailed,
    GuestCommandHung,
    HostError,
)
from regild.host.run import OUTPUT_BYTES_MAX, TIMED_OUT, Finished, run
from regild.host.stage import run_nested
from regild.model.json import from_json, to_json
from regild.model.progress import Progress

POLICY = "#!/bin/sh\n# Nothing is started while an image is changed offline.\nexit 101\n"
"""invoke-rc.d(8): a policy-rc.d that ends with 101 forbids every action."""

TAIL_LINES = 5
TAIL_BYTES = 1000
SAID_BYTES = 4000
MEMORY_BYTES = 512 << 20
"""What the guest's /run, /tmp and /dev/shm may hold together."""
RESERVE_BYTES = 256 << 20
"""What the guest must leave free on this machine's disk."""
END_SECONDS = 60


def main(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """The stage: run `commands` over `tree` in the job's folder, leave the record there.

    The job's folder holds `tree`, `repository` the plan's package files; `record.json`,
    `owners.json` and `content` appear in it. Commands have `timeout_seconds` together; new
    contents may be `room_bytes` together. With `extract` in the request the tree is first taken
    out here, into memory: thousands of small files cost a disk's filesystem more than dpkg does.

    Raises: GuestCommandFailed, GuestCommandHung, GuestFull, RecordRefused, TooLarge, DiskFull,
    HostError.
    """
    job, memory_bytes = Path(request["job"]), request["memory_bytes"]
    commands = from_json(tuple[GuestCommand, ...], request["commands"])
    if "extract" in request:
        _extract_in_memory(job / "tree", request["extract"], progress)
    parts = from_json(tuple[Part, ...], request["parts"])
    upper = _mount_overlay(job, memory_bytes)
    guest = _Guest(job, Path(request["repository"]), request["timeout_seconds"], parts)
    try:
        said = [guest.run(command, progress) for command in commands]
    except GuestCommandFailed:
        _check_memory(job / "upper", memory_bytes)
        raise
    progress.step("Recording what changed", None)
    with (job / "content").open("wb") as content:
        record = read_record(upper, job / "tree", content, request["room_bytes"])
    owners = read_owners(job / "merged", job / "tree", record, request["packages"])
    (job / "owners.json").write_text(to_json(owners, indent=0))
    (job / "record.json").write_text(to_json(record, indent=0))
    return {"entries": len(record.entries), "content_bytes": record.content_bytes, "said": said}


def _extract_in_memory(tree: Path, request: dict[str, Any], progress: Progress) -> None:
    """EXTRACT as a confined stage of its own, into a filesystem in memory that ends with us."""
    tree.mkdir(mode=0o755)
    _mount_memory(tree, request["memory_bytes"], "nr_inodes=0,")
    if not _keeps_attributes(tree):
        run(["umount", tree], purpose="to leave memory")
    run_nested("regild.change.extract", request, progress, keep=(request["disk"],))


def _mount_overlay(job: Path, memory_bytes: int) -> Path:
    """Mount the overlay at `merged`; its upper directory is in memory where that fits."""
    fast = job / "upper"
    folders = [job / name for name in ("inject", "upper", "apt", "memory", "merged")]
    left = [*folders, job / "guest.log"]
    run(["rm", "-rf", "--", *left], purpose="to remove what a first try in memory left")
    for folder in folders:
        folder.mkdir()
    _inject(job / "inject")
    if inject_boot_chain(job / "inject", job / "tree"):
        (job / "apt" / "shown").touch()
    dress_like(job / "inject", job / "tree")
    if memory_bytes:
        _mount_memory(fast, memory_bytes)
        if not _keeps_attributes(fast):
            run(["umount", fast], purpose="to leave memory")
    for name in ("changed", "work"):
        (fast / name).mkdir(mode=0o755)
    layers = "lowerdir=inject:tree,upperdir=upper/changed,workdir=upper/work,userxattr"
    line = ["mount", "-t", "overlay", "-o", layers, "overlay", "merged"]
    try:
        run(line, purpose="to keep changes apart", cwd=job)
    except CommandFailed as error:
        why = f"overlayfs in a user name space needs Linux 5.11 or newer ({error.why})"
        raise HostError(where="guest commands apart from the image", why=why) from error
    # The root folder of the upper directory must look like the tree's, or its owner would change.
    status = (job / "tree").stat()
    os.chmod(fast / "changed", status.st_mode & 0o7777)
    os.utime(fast / "changed", ns=(status.st_mtime_ns, status.st_mtime_ns))
    return fast / "changed"


def _mount_memory(folder: Path, size: int, options: str = "") -> None:
    options += f"size={size},mode=0700"
    run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], purpose="to work in memory")


def _make_state(folder: Path) -> Path:
    """The folders that apt expects."""
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return folder


def _inject(folder: Path) -> None:
    """The layer above the tree: seen by the scripts, never part of the record."""
    (folder / "usr/sbin").mkdir(parents=True, exist_ok=True)
    policy = folder / "usr/sbin/policy-rc.d"
    policy.write_text(POLICY)
    policy.chmod(0o755)


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
    if memory_bytes and _free_bytes(upper) < memory_bytes // 64:
        raise DiskFull(where="memory", why="the change is larger than was thought")


def _free_bytes(folder: Path) -> int:
    free = os.statvfs(folder)
    return free.f_bavail * free.f_frsize


class _Guest:
    """The guest's commands, one after another; everything they say is kept in guest.log."""

    def __init__(
        self, job: Path, repository: Path, timeout_seconds: float, parts: tuple[Part, ...]
    ) -> None:
        self.job, self.repository, self.limit_seconds = job, repository, timeout_seconds
        self.parts = parts
        self.state = _make_state(job / "apt")
        self.until = time.monotonic() + timeout_seconds

    def run(self, command: GuestCommand, progress: Progress) -> str:
        """Run one command in the sandbox to the end of all that it started; its last words."""
        progress.step(f"In the guest: {command.what}", None)
        with _own_memory(self.job / "memory") as memory:
            return self._run_in(memory, command)

    def _run_in(self, memory: Path, command: GuestCommand) -> str:
        merged, path = self.job / "merged", self.job / "guest.log"
        shown = write_stand_ins(memory / "shown", merged, self.parts) if command.stand_ins else {}
        sandbox = sandbox_line(
            merged,
            self.repository,
            self.state,
            memory,
            ENVIRONMENT,
            volumes=volumes_of(self.parts),
            shown=shown,
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
                    watch=self._check_disk,
                    check=False,
                )
            except CommandFailed as error:
                raise GuestCommandFailed(where=command.what, why=error.why) from error
            finally:
                _await_end()
        text = _text_from(path, begin)
        _check_command(command, finished, text, self.limit_seconds)
        return text[-SAID_BYTES:]

    def _check_disk(self) -> None:
        """End a guest that fills this machine's disk while something is left for the others."""
        if _free_bytes(self.job) < RESERVE_BYTES:
            why = f"the guest's commands left less than {RESERVE_BYTES >> 20} MiB free"
            raise DiskFull(where="the job's folder", why=why)


@contextlib.contextmanager
def _own_memory(folder: Path) -> Iterator[Path]:
    """The memory of one command: what it leaves there takes no room from the next one."""
    _mount_memory(folder, MEMORY_BYTES, "nosuid,nodev,")
    yield make_memory_folders(folder)
    run(["umount", folder], purpose="to leave memory")


def _await_end() -> None:
    """Wait until nothing that a command started is alive, so that nobody writes any more.

    bubblewrap reports a command's end before the kernel has ended what it left behind; as the
    first process of the name space we inherit that.

    Raises: HostError when something outlives it.
    """
    until = time.monotonic() + END_SECONDS
    while time.monotonic() < until:
        try:
            ended, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not ended:
            time.sleep(0.01)
    raise HostError(where="guest commands apart", why="something of the guest would not end")


def _check_command(
    command: GuestCommand, finished: Finished, text: str, limit_seconds: float
) -> None:
    """Turn a command's end into an error where it was not a good one."""
    tail = "; ".join(line.strip() for line in text.strip().splitlines()[-TAIL_LINES:])
    tail = tail[-TAIL_BYTES:] or "it said nothing"
    if finished.code == TIMED_OUT:
        why = f"{limit_seconds:.0f} seconds had passed; it last said: {tail}"
        raise GuestCommandHung(where=command.what, why=why)
    if finished.code != 0:
        why = f"it ended with {finished.code}: {_reason(text) or tail}"
        raise GuestCommandFailed(where=command.what, why=why)
    if command.quiet and text.strip():
        raise ChangeError(where=command.what, why=tail)


def _reason(text: str) -> str:
    """dpkg's own words about the package that failed, if there are any."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if line.startswith("dpkg: error processing"):
            return " ".join(part.strip() for part in lines[number : number + 2])[:TAIL_BYTES]
    return ""


def _text_from(log: Path, begin: int) -> str:
    with log.open("rb") as file:
        file.seek(begin)
        return file.read(OUTPUT_BYTES_MAX).decode(errors="replace")
