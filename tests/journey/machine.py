"""What a run must leave behind on this machine: nothing."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

AT_SCRIPTS = ("Unpacking", "Running scriptlet")
"""What dpkg and dnf say while they run packages' scripts."""


@dataclass(frozen=True)
class Traces:
    """Mounts, loop devices and processes that belong to a folder."""

    mounts: tuple[str, ...]
    loops: tuple[str, ...]
    processes: tuple[str, ...]


def traces_of(folder: Path) -> Traces:
    """Everything on this machine that still speaks of a folder."""
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    loops = [
        path.read_text().strip() for path in Path("/sys/block").glob("loop*/loop/backing_file")
    ]
    return Traces(
        tuple(line for line in mounts if str(folder) in line),
        tuple(line for line in loops if str(folder) in line),
        tuple(_processes(folder)),
    )


def _processes(folder: Path) -> list[str]:
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        if place.name == str(os.getpid()):
            continue
        try:
            line = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in line:
            found.append(line)
    return found


def settled(folder: Path, seconds: float = 5) -> Traces:
    """The traces once the kernel has had time to end what was killed."""
    until = time.monotonic() + seconds
    while (found := traces_of(folder)) != Traces((), (), ()) and time.monotonic() < until:
        time.sleep(0.05)
    return found


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def command(*arguments: object) -> list[str]:
    """regild as a user would call it, from this environment."""
    return [sys.executable, "-m", "regild", *map(str, arguments)]


def regild(*arguments: object, code: int = 0) -> dict[str, object]:
    """Run regild with --json to its end and check its exit code."""
    done = subprocess.run(
        command(*arguments, "--json"), capture_output=True, text=True, check=False
    )
    assert done.returncode == code, (done.returncode, done.stdout[-2000:], done.stderr[-2000:])
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def at_work(jobs: Path) -> str:
    """What the one job in a folder is doing: `before`, `scripts`, `writing` or `changed`."""
    if any('"phase":"changed"' in path.read_text() for path in jobs.glob("*/job.json")):
        return "changed"
    for guest in jobs.glob("*/guest"):
        if (guest / "record.json").exists():
            return "writing"
        log = guest / "guest.log"
        if log.exists() and any(word in log.read_text(errors="replace") for word in AT_SCRIPTS):
            return "scripts"
    return "before"


def killed_after(
    seconds: float, *arguments: object, when: Callable[[], bool] = lambda: False
) -> int:
    """Start regild, kill its whole process group after some time or when something is so; its
    exit status."""
    process = subprocess.Popen(
        command(*arguments),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    until = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < until and not when():
        time.sleep(min(0.02, max(until - time.monotonic(), 0)))
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait()
