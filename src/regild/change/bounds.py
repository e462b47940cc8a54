"""What a guest's programs may take of this machine; looked at about twice a second as they run.

The reasons, and what is bounded by the kernel instead, stand in ADR 0052.
"""

from __future__ import annotations

from regild.errors import GuestCommandFailed
from regild.host.memory import free_memory, own_memory

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
