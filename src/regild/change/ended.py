"""How a guest's command ended, as an error where that was not a good end."""

from __future__ import annotations

import re

from regild.change.script import GuestCommand
from regild.errors import ChangeError, GuestCommandFailed, GuestCommandHung
from regild.host.run import TIMED_OUT

TAIL_LINES = 5
TAIL_BYTES = 1000
SAID_BYTES = 4000
"""So much of what a command said is kept for the answer."""


def check_ended(command: GuestCommand, code: int, text: str, limit_seconds: float) -> None:
    """Accept a command's end, or say what was wrong with it.

    Raises: GuestCommandHung where its time was up, GuestCommandFailed also where it only says that
    something failed, ChangeError where it should have been silent.
    """
    tail = tail_of(text)
    if code == TIMED_OUT:
        why = f"{limit_seconds:.0f} seconds had passed; it last said: {tail}"
        raise GuestCommandHung(where=command.what, why=why)
    reason = _reason(command, text)
    if code != 0 or reason:
        why = f"it ended with {code}: {reason or tail}"
        raise GuestCommandFailed(where=command.what, why=why)
    if command.quiet and text.strip():
        raise ChangeError(where=command.what, why=tail)


def tail_of(text: str) -> str:
    """The last words of a command in one line."""
    tail = "; ".join(line.strip() for line in text.strip().splitlines()[-TAIL_LINES:])
    return tail[-TAIL_BYTES:] or "it said nothing"


def _reason(command: GuestCommand, text: str) -> str:
    """The command's own words about what failed, if there are any."""
    if not command.faults:
        return ""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if re.match(command.faults, line):
            return " ".join(part.strip() for part in lines[number : number + 2])[:TAIL_BYTES]
    return ""
