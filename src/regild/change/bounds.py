"""What a guest's programs may take of this machine; looked at about twice a second as they run.

The reasons, and what is bounded by the kernel instead, stand in ADR 0052.
"""

from __future__ import annotations

from pathlib import Path

from regild.errors import GuestCommandFailed, GuestFull
from regild.host.memory import free_memory, own_memory
from regild.host.scratch import free_bytes
from regild.host.usage import used_below, used_unnamed

MEMORY_SHARE = 0.6
"""Of the memory that was free when the change began, what the programs together may hold; tree and
changes may take a third of it besides."""


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
        self._look_below = free_bytes(upper) - most_bytes

    def check(self) -> None:
        """To be called from inside the guest's name space of processes.

        Raises: GuestFull.
        """
        free = free_bytes(self.upper)
        if free >= self._look_below:
            return
        used = used_below(self.upper) + used_unnamed((self.memory.stat().st_dev,))
        if used > self.most_bytes:
            why = f"its programs wrote {used >> 20} MiB, and it has {self.most_bytes >> 20} MiB"
            raise GuestFull(where="as a whole", why=why)
        self._look_below = free - (self.most_bytes - used)
