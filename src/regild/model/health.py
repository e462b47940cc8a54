"""What a guest that is booted for a test is expected to do, and what came of it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from regild.errors import UsageError
from regild.model.content import Unknown, Value
from regild.model.digest import Digest

ExpectationKind = Literal["unit", "command", "running", "tcp", "http", "https", "console"]
Firmware = Literal["bios", "efi"]
Bus = Literal["virtio", "virtio-scsi", "ide", "sata", "pvscsi", "lsi", "sas"]
Nic = Literal["virtio", "e1000", "e1000e", "vmxnet3", "pcnet"]

IN_GUEST: tuple[ExpectationKind, ...] = ("unit", "command", "running")
"""Kinds that somebody inside of the guest has to look at."""
BY_NETWORK: tuple[ExpectationKind, ...] = ("tcp", "http", "https")
TEXT_MAX = 4096
EXPECTATIONS_MAX = 100

_FORMS = {
    "unit": re.compile(r"[A-Za-z0-9:_.\\@-]{1,255}"),
    "tcp": re.compile(r"[1-9][0-9]{0,4}"),
    "http": re.compile(r"[1-9][0-9]{0,4}(/[!-~]{0,2000})?"),
    "https": re.compile(r"[1-9][0-9]{0,4}(/[!-~]{0,2000})?"),
    "command": re.compile(rf"[^\0\r\n]{{1,{TEXT_MAX}}}"),
    "console": re.compile(r"[^\0\r\n]{1,200}"),
    "running": re.compile(r""),
}
_PORT_MAX = 65535


class Expectation(Value, frozen=True):
    """One thing that a guest that works does, such as `unit:ssh.service`."""

    kind: ExpectationKind
    what: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.what}" if self.what else self.kind

    @property
    def port(self) -> int:
        """The port of the guest that is asked."""
        return int(self.what.partition("/")[0])

    @property
    def path(self) -> str:
        """The page that is asked for."""
        return "/" + self.what.partition("/")[2]


class Wanted(Value, frozen=True):
    """What is wanted of a test boot."""

    expectations: tuple[Expectation, ...] = ()
    own_tests: bool = True
    """The commands that the image's descriptor names are expected to work too."""
    seconds: float = 600
    """How long it may take."""


class Met(Value, frozen=True):
    """An expectation, and whether the guest met it."""

    expected: Expectation
    held: bool
    why: str = ""
    """What was seen instead."""


class BootTest(Value, frozen=True):
    """A guest that was booted on a throw-away overlay, and how it was."""

    firmware: Firmware
    bus: Bus
    nic: Nic
    reached: str = ""
    """What the guest's service manager had reached, such as `multi-user.target`; empty where nobody
    inside could be asked."""
    state: str = ""
    """`running`, or `degraded` where units failed."""
    failed: tuple[str, ...] = ()
    """Units that failed."""
    met: tuple[Met, ...] = ()
    unasked: tuple[Unknown, ...] = ()
    """What could not be looked at, and why."""
    console: Digest | None = None
    """Of the console's log, which stands beside the receipt."""
    screenshot: Digest | None = None
    """Of the picture of the screen at the end, which stands beside it too."""


class BootTestAnswer(Value, frozen=True):
    """`regild boot-test`: how an image's guest is when it is booted."""

    image: str
    system: str
    boot: BootTest
    console: str = ""
    """Where the console's log was written."""
    screenshot: str = ""


def read_expectations(told: Iterable[str]) -> tuple[Expectation, ...]:
    """Expectations as a command line or a site's file has them, each one once.

    Raises: UsageError.
    """
    found = tuple(dict.fromkeys(map(read_expectation, told)))
    if len(found) > EXPECTATIONS_MAX:
        raise UsageError(what=f"more than {EXPECTATIONS_MAX} things are expected of a test boot")
    return found


def read_expectation(text: str) -> Expectation:
    """One expectation: `unit:NAME`, `tcp:PORT`, `http:PORT/PATH`, `command:LINE`, `console:TEXT`
    or `running`.

    Raises: UsageError.
    """
    kind, _, what = text.partition(":")
    form = _FORMS.get(kind)
    if form is None:
        known = "unit:NAME, tcp:PORT, http:PORT/PATH, https:PORT/PATH, command:LINE, console:TEXT"
        raise UsageError(what=f"--expect is {known} or running, not {text[:80]!r}")
    found = Expectation(kind, what)  # type: ignore[arg-type]  # a key of the table is one of the kinds
    if not form.fullmatch(what) or (kind in BY_NETWORK and found.port > _PORT_MAX):
        raise UsageError(what=f"--expect {kind}: {what[:80]!r} is not one")
    return found
