"""What a user may write for an image; the network's room is asked only when one does."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def read_place(text: str) -> Path:
    """A path of this machine, or an address, as `regild.host.remote` reads it."""
    from regild.host import remote

    return remote.read_place(text)


def approve(hosts: Iterable[str] | None) -> list[str]:
    """Let addresses that images name be read at these servers (`regild.host.remote.approve`)."""
    from regild.host import remote

    return remote.approve(hosts)
