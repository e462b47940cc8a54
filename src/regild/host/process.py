"""Processes by number and start: a number that was given to another process is noticed."""

from __future__ import annotations

from pathlib import Path

START_FIELD = 19
"""Of what follows the name in /proc/PID/stat (proc(5), field 22): the start, in clock ticks."""


def start_of(pid: int) -> int:
    """When a process started, in ticks since the machine did; 0 when there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        return int(text.rpartition(")")[2].split()[START_FIELD])
    except (OSError, ValueError, IndexError):
        return 0


def is_running(pid: int, started: int) -> bool:
    """Whether the very process that started then is still there."""
    return pid > 0 and started > 0 and start_of(pid) == started
