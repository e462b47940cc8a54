"""Runs a command and says what it cost: time, processor, memory, for its whole process tree."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

BY_HAND = Path(__file__).resolve().parent / "by_hand"
LAUNCH = [sys.executable, "-S", "-E", str(Path(__file__).resolve().with_name("launch.py"))]
ROOT = os.geteuid() == 0


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run cost. CPU is user and system time of the process and all that it waited for."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    output: bytes


class Failed(Exception):
    """A command that is measured did not succeed; its figures would mean nothing."""


def measure(
    argv: Sequence[str | Path],
    log: Path,
    env: Mapping[str, str] | None = None,
    codes: Sequence[int] = (0,),
) -> Cost:
    """Run once, standard error into `log`.

    Python may keep its compiled modules, as those of an installed program are, whatever this
    shell says.
    CPU is that of a control group of its own where one can be made (root), because a process that
    its parent never waits for is missing from a process's own account. The kernel's threads are
    not counted: the writes through a loop device are theirs, so a method that mounts looks a
    little cheaper here than it is.

    Raises: Failed, with the end of the log.
    """
    line = [str(word) for word in argv]
    group = ControlGroup.make()
    entering = group.entering if group else []
    with tempfile.NamedTemporaryFile() as report, log.open("wb") as said:
        process = subprocess.run(
            [*LAUNCH, report.name, *entering, *line],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "", **(env or {})},
            check=False,
        )
        used = json.loads(report.read())
    cpu = group.close() if group else used["cpu"]
    if process.returncode not in codes:
        tail = log.read_text(errors="replace")[-2000:]
        raise Failed(f"{' '.join(line)} ended with {process.returncode}:\n{tail}")
    return Cost(used["seconds"], cpu, used["peak"], process.stdout)


@dataclass(frozen=True, slots=True)
class ControlGroup:
    """A control group for one command: version 1's cpuacct, or version 2."""

    folder: Path

    @classmethod
    def make(cls) -> ControlGroup | None:
        """A new group, or None where this user may not make one."""
        for root in (Path("/sys/fs/cgroup/cpuacct"), Path("/sys/fs/cgroup")):
            folder = root / f"regild-bench-{os.getpid()}"
            if (root / "cpuacct.usage").exists() or (root / "cgroup.controllers").exists():
                try:
                    folder.mkdir()
                except OSError:
                    return None
                return cls(folder)
        return None

    @property
    def entering(self) -> list[str]:
        """A command line's begin that enters the group."""
        return ["sh", "-c", f'echo $$ >{self.folder}/cgroup.procs && exec "$@"', "sh"]

    def close(self) -> float:
        """Remove the group; the CPU seconds of all that ever ran in it."""
        old = self.folder / "cpuacct.usage"
        if old.exists():
            seconds = int(old.read_text()) / 1e9
        else:
            told = dict(
                line.split() for line in (self.folder / "cpu.stat").read_text().splitlines()
            )
            seconds = int(told["usage_usec"]) / 1e6
        for _ in range(50):  # helpers of Python's process pools end a moment after it
            try:
                self.folder.rmdir()
                return seconds
            except OSError:
                time.sleep(0.1)
        self.folder.rmdir()
        return seconds


def repeat(times: int, prepare: Callable[[], None], run: Callable[[], Cost]) -> Cost:
    """The median run by CPU time; `prepare` goes before each and is not measured."""
    costs = []
    for _ in range(times):
        prepare()
        costs.append(run())
    return sorted(costs, key=lambda cost: cost.cpu_seconds)[(len(costs) - 1) // 2]


def forget_files() -> bool:
    """Empty the kernel's cache of files, where that is permitted; whether it was."""
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3\n")
    except OSError:
        return False
    return True


def busy() -> float:
    """The machine's load over the last minute; figures of a busy machine want care."""
    return os.getloadavg()[0]


def say(line: str) -> None:
    """One line of progress for whoever waits."""
    print(line, file=sys.stderr, flush=True)


def ratio(other: float, ours: float) -> str:
    """How many times more the other one needs."""
    return f"{other / ours:.1f}x" if ours else "-"
