"""Processes by number and start: a number that was given to another process is noticed."""

from __future__ import annotations

import os
from pathlib import Path

PARENT_FIELD, START_FIELD = 1, 19
"""Of what follows the name in /proc/PID/stat (proc(5), fields 4 and 22): the parent, and the start
in clock ticks."""


def start_of(pid: int) -> int:
    """When a process started, in ticks since the machine did; 0 when there is none."""
    return _field(pid, START_FIELD)


def children() -> set[int]:
    """The processes that are this one's to wait for, those it inherited among them."""
    pids = {int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()}
    return {pid for pid in pids if _field(pid, PARENT_FIELD) == os.getpid()}


def _field(pid: int, place: int) -> int:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        return int(text.rpartition(")")[2].split()[place])
    except (OSError, ValueError, IndexError):
        return 0


def is_running(pid: int, started: int) -> bool:
    """Whether the very process that started then is still there."""
    return pid > 0 and started > 0 and start_of(pid) == started


def name_of_process() -> str:
    """A name of this process that no other has had or will have: its machine as the kernel runs
    it, its name space of processes, its number and its start."""
    pid = os.getpid()
    return f"{_place()}:{pid}:{start_of(pid)}"


def spoken_name(name: str) -> tuple[str, str]:
    """The machine of a process that `name_of_process` named, and its number there."""
    place, _, process = name.partition(":")
    return place.partition("/")[0], process.partition(":")[0]


def has_ended(name: str) -> bool:
    """Whether a process that `name_of_process` named is gone for certain; one of another machine
    or name space never is, because it cannot be seen from here."""
    place, _, process = name.partition(":")
    number, _, started = process.partition(":")
    if place != _place() or not (number.isdigit() and started.isdigit()):
        return False
    return not is_running(int(number), int(started))


def _place() -> str:
    """This machine since its last start, and the name space in which numbers of processes count."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
        space = Path("/proc/self/ns/pid").readlink().name.strip("pid:[]")
    except OSError:
        boot, space = "", ""
    return f"{os.uname().nodename}/{boot}/{space}"
