"""Guest commands, and where the guest finds what they need: the same for every carrier."""

from __future__ import annotations

from typing import Final

from regild.model.content import Value

PLACE: Final = "/run/regild"
"""Where the guest sees the plan's package files and settings, read only."""

STATE: Final = "/run/apt"
"""Where the guest's package manager keeps lists and downloads while it works; never in the
image."""

ENVIRONMENT: Final = {
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "TERM": "dumb",
}
"""What every command sees; each family of packages adds its own."""


class GuestCommand(Value, frozen=True):
    """A command line to run in the guest, and what it does in a few words."""

    argv: tuple[str, ...]
    what: str
    quiet: bool = False
    """Whatever it prints is a fault: dpkg --audit."""
    stand_ins: bool = False
    """It asks about devices: those that answer for the guest's volumes are shown to it."""
    faults: str = ""
    """A regular expression: a line of its output that it fits tells of a failure, whatever the
    exit code says."""
    read_only: bool = False
    """It cannot change the guest's files."""
