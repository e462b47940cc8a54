"""What libvirt shows and what guests say on their consoles: what the demo's claims are held to."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from demo.daemon import URI

PREFIX = "regild-demo-"
GROUPS = ("canary", "production", "desktops")
HEALTHY = re.compile(r"HEALTH ok, openssl (\S+)")
LOOK_SECONDS = 1.0


class Stopped(Exception):
    """Something is not as the story tells it."""


@dataclass
class Witness:
    """Looks at libvirt and the consoles all the time."""

    consoles: Path
    """The folder with a folder for each group."""
    watched: set[str] = field(default_factory=set)
    """Groups whose answering guests are counted."""
    fewest: dict[str, int] = field(default_factory=dict)
    since: dict[str, float] = field(default_factory=dict)
    """When each domain was seen first (seconds of the monotonic clock)."""
    answered: dict[str, tuple[float, str]] = field(default_factory=dict)
    """When each guest answered first, and with which version."""

    def look(self) -> None:
        """Look once."""
        running, now = domains(), time.monotonic()
        for name in running:
            self.since.setdefault(name, now)
            said = HEALTHY.search(self.console(name))
            if said:
                self.answered.setdefault(name, (now, said[1]))
        for group in self.watched:
            answering = sum(name in self.answered for name in running if is_of(name, group))
            self.fewest[group] = min(self.fewest.get(group, answering), answering)

    def answers(self, group: str) -> dict[str, str]:
        """The domains of a group that run and have answered, each with the version it said."""
        self.look()
        names = [name for name in domains() if is_of(name, group) and name in self.answered]
        return {name: self.answered[name][1] for name in names}

    def console(self, name: str) -> str:
        """What a guest has said, also one that is gone."""
        for path in self.consoles.glob(f"{group_of(name)}/instances/*/{name}.log"):
            return path.read_text(errors="replace")
        return ""

    def took(self, name: str) -> float:
        """Seconds from a domain's first sight to its guest's answer."""
        return self.answered[name][0] - self.since[name]

    def silent(self) -> list[str]:
        """Domains that were there, are gone, and whose guests never answered."""
        running = domains()
        gone = [name for name in self.since if name not in running]
        return sorted(name for name in gone if not HEALTHY.search(self.console(name)))

    def until(self, holds: Callable[[], bool], claim: str, seconds: float) -> None:
        """Wait for something to be so.

        Raises: Stopped.
        """
        end = time.monotonic() + seconds
        while not holds():
            if time.monotonic() >= end:
                raise Stopped(f"within {seconds:.0f} s it was not so that {claim}")
            time.sleep(LOOK_SECONDS)


@contextmanager
def watching(consoles: Path) -> Iterator[Witness]:
    """A witness that looks until the block ends."""
    witness, over = Witness(consoles), threading.Event()

    def go_on() -> None:
        while not over.wait(LOOK_SECONDS):
            witness.look()

    thread = threading.Thread(target=go_on, daemon=True)
    thread.start()
    try:
        yield witness
    finally:
        over.set()
        thread.join()


def domains() -> list[str]:
    """The demo's domains that libvirt runs."""
    line = ["virsh", "-q", "-c", URI, "list", "--name"]
    said = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    return [name for name in said.split() if name.startswith(PREFIX)]


def full(group: str) -> str:
    """A group's name in the catalogue and in libvirt."""
    return f"{PREFIX}{group}"


def is_of(name: str, group: str) -> bool:
    """Whether a domain is one of a group's."""
    return group_of(name) == full(group)


def group_of(name: str) -> str:
    """A domain's group: its name without the number."""
    return name.rpartition("-")[0]
