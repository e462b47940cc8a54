"""What memory this machine has left, and what the processes in sight hold of it."""

from __future__ import annotations

import contextlib
import resource
from pathlib import Path

from regild.errors import HostError


def free_memory() -> int:
    """Bytes that this machine can give to programs without swapping (proc_meminfo(5)).

    Raises: HostError when the kernel does not say.
    """
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) << 10
    raise HostError(where="this machine's memory", why="/proc/meminfo has no MemAvailable")


def own_memory() -> int:
    """Bytes that all processes seen from here hold for themselves, files and shared ones left out.

    Inside a name space of processes that is everything which runs there. One that ends meanwhile
    counts nothing (proc_pid_statm(5)).
    """
    pages = 0
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                fields = (folder / "statm").read_text().split()
                pages += int(fields[1]) - int(fields[2])
    return pages * resource.getpagesize()
