"""RUN: the guest commands on an overlay over the extracted tree, then the record of what they did.

Runs as a stage in its own name space, unconfined there so that it may mount; the guest's
commands are confined once more by bubblewrap. When the stage ends, for whatever reason, the
kernel takes its mounts and all processes of the guest away.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from regild.change.owners import read_owners
from regild.change.record import read_record
from regild.change.sandbox import sandbox_line
from regild.change.script import ENVIRONMENT, GuestCommand
from regild.errors import (
    ChangeError,
    CommandFailed,
    DiskFull,
    GuestCommandFailed,
    GuestCommandHung,
    HostError,
)
from regild.host.run import Finished, run
from regild.model.json import from_json, to_json
from regild.model.progress import Progress

POLICY = "#!/bin/sh\n# Nothing is started while an image is changed offline.\nexit 101\n"
"""invoke-rc.d(8): a policy-rc.d that ends with 101 forbids every action."""

TAIL_LINES = 12


def main(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """The stage: run `commands` over `tree` in the job's folder, leave the record there.

    The job's folder holds `tree`, `repository` the plan's package files; `record.json`,
    `owners.json` and `content` appear in it. Commands have `timeout_seconds` together.

    Raises: GuestCommandFailed, GuestCommandHung, RecordRefused, HostError.
    """
    job = Path(request["job"])
    commands = from_json(tuple[GuestCommand, ...], request["commands"])
    upper = _mount_overlay(job, request["memory_bytes"])
    sandbox = sandbox_line(
        job / "merged", Path(request["repository"]), _make_state(job / "apt"), ENVIRONMENT
    )
    try:
        said = _run_commands(job, sandbox, commands, request["timeout_seconds"], progress)
    except GuestCommandFailed as error:
        _check_memory(job / "upper", request["memory_bytes"])
        raise error
    progress.step("Recording what changed", None)
    with (job / "content").open("wb") as content:
        record = read_record(upper, job / "tree", content)
    owners = read_owners(job / "merged", job / "tree", record, request["packages"])
    (job / "owners.json").write_text(to_json(owners, indent=0))
    (job / "record.json").write_text(to_json(record, indent=0))
    return {"entries": len(record.entries), "content_bytes": record.content_bytes, "said": said}


def _mount_overlay(job: Path, memory_bytes: int) -> Path:
    """Mount the overlay at `merged`; its upper directory is in memory where that fits."""
    _inject(job / "inject")
    fast = job / "upper"
    fast.mkdir(exist_ok=True)
    (job / "guest.log").unlink(missing_ok=True)
    if memory_bytes:
        options = f"size={memory_bytes},mode=0700"
        run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", fast], purpose="to work in memory")
        if not _keeps_attributes(fast):
            run(["umount", fast], purpose="to leave memory")
    for name in ("changed", "work"):
        (fast / name).mkdir(mode=0o755)
    (job / "merged").mkdir(exist_ok=True)
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
    free = os.statvfs(upper)
    if memory_bytes and free.f_bavail * free.f_frsize < memory_bytes // 64:
        raise DiskFull(where="memory", why="the change is larger than was thought")


def _run_commands(
    job: Path,
    sandbox: list[str],
    commands: tuple[GuestCommand, ...],
    timeout_seconds: float,
    progress: Progress,
) -> list[str]:
    """Run one command after another in the sandbox; everything they say is kept in guest.log."""
    until, said = time.monotonic() + timeout_seconds, []
    with (job / "guest.log").open("ab", buffering=0) as log:
        for command in commands:
            progress.step(f"In the guest: {command.what}", None)
            log.write(f"# {' '.join(command.argv)}\n".encode())
            begin = log.tell()
            left = max(until - time.monotonic(), 1)
            finished = run(
                [*sandbox, *command.argv],
                purpose="to run the guest's programs apart",
                output=log,
                timeout_seconds=left,
                check=False,
            )
            text = _text_from(job / "guest.log", begin)
            _check_command(command, finished, text, timeout_seconds, job / "guest.log")
            said.append(text[-4000:])
    return said


def _check_command(
    command: GuestCommand, finished: Finished, text: str, limit_seconds: float, log: Path
) -> None:
    """Turn a command's end into an error where it was not a good one."""
    tail = "\n".join(text.strip().splitlines()[-TAIL_LINES:]) or "it said nothing"
    if finished.code == 124:
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
            return " ".join(part.strip() for part in lines[number : number + 2])
    return ""


def _text_from(log: Path, begin: int) -> str:
    with log.open("rb") as file:
        file.seek(begin)
        return file.read(16 << 20).decode(errors="replace")
