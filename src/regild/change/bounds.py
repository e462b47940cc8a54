"""What a guest's programs may take of this machine; looked at about twice a second as they run.

The reasons, and what is bounded by the kernel instead, stand in ADR 0052.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from regild.change.extract import Taken
from regild.change.left import LEFT, Left
from regild.change.papers import read_paper
from regild.errors import DiskFull, GuestCommandFailed, GuestFull
from regild.host.memory import free_memory, own_memory
from regild.host.scratch import free_bytes
from regild.host.usage import used_below, used_unnamed

MEMORY_SHARE = 0.6
"""Of the memory that was free when the change began, what the programs together may hold; tree and
changes may take a third of it besides."""

BLOCK: Final = 512
"""Bytes in what stat(2) calls a block."""


def most_memory() -> int:
    """Bytes that the programs of a guest that begins now may hold together."""
    return int(free_memory() * MEMORY_SHARE)


def check_memory(most_bytes: int) -> None:
    """End a guest whose programs together hold more than that, however many they are.

    To be called from inside the guest's name space of processes.

    Raises: GuestCommandFailed.
    """
    held = own_memory()
    if held > most_bytes:
        why = f"its programs hold {held >> 20} MiB of memory, more than the {most_bytes >> 20} left"
        raise GuestCommandFailed(where="the guest", why=why)


def check_copies(job: Path, taken: Taken, least_free: int) -> None:
    """End a change in which there was no room at some moment to copy the largest file of data that
    was left in the image and is not copied yet.

    overlayfs copies such a file before its first change, and takes away what it has of the copy
    where that fails. A script may not mind, and nobody would know of the change that was not made.

    Raises: DiskFull.
    """
    if least_free >= taken.largest_left:
        return
    left = read_paper(tuple[Left, ...], job / LEFT, "what was left")
    for one in left:
        paths = [one.mount.rstrip("/") + name for name in one.names]
        if any(os.path.lexists(f"{job}/upper/changed{path}") for path in paths):
            continue
        if os.lstat(f"{job}/tree{paths[0]}").st_blocks * BLOCK > least_free:
            free = f"with {least_free >> 20} MiB free a copy of {paths[0]} has no room"
            raise DiskFull(
                where="the job's folder", why=f"{free}, and a script may have changed it"
            )


class RoomWatch:
    """Ends a guest that writes more than its filesystems could hold, before this machine's disk
    is full.

    Whatever the programs change lies in the upper directory, whole files only: at no moment can
    that be more than the guest's filesystems have bytes. Looking at every file takes long where
    they are many, so it is done only when the disk has lost as much as is still allowed, which
    one look at its free blocks tells; another job's writing brings a look early, no more.
    """

    def __init__(self, upper: Path, memory: Path, most_bytes: int) -> None:
        """`memory` is where the guest's files in memory lie, which have their own bound."""
        self.upper, self.memory, self.most_bytes = upper, memory, most_bytes
        self.least_free = free_bytes(upper)
        """The least room that was seen since the programs began."""
        self._look_below = self.least_free - most_bytes

    def check(self) -> None:
        """To be called from inside the guest's name space of processes.

        Raises: GuestFull.
        """
        free = free_bytes(self.upper)
        self.least_free = min(self.least_free, free)
        if free >= self._look_below:
            return
        used = used_below(self.upper) + used_unnamed((self.memory.stat().st_dev,))
        if used > self.most_bytes:
            why = f"its programs wrote {used >> 20} MiB, and it has {self.most_bytes >> 20} MiB"
            raise GuestFull(where="as a whole", why=why)
        self._look_below = free - (self.most_bytes - used)
