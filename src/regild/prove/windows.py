"""Whether a Windows is what it reported after a run: build, revision, updates, put away cleanly.

Its files are not looked at one by one: no package database of Windows says what they should be.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from regild.model.content import Content, Unknown
from regild.model.plan import Difference
from regild.model.receipt import MediaRun

CHECKS = (
    "every file that was given was installed, as Windows reported it, in its order",
    "nothing of what started the run is left in the registry",
    "build and revision described again are those that Windows reported",
    "what could be read before can be read again, and no update waits for a restart",
)
UNPROVEN = Unknown(
    "Windows", "this way of changing it was never tried on a real Windows (docs/adr/0088)"
)
UNRECORDED = Unknown(
    "Windows", "what the run changed is not accounted for path by path; the disk is as it left it"
)
PENDING = ("install-pending", "uninstall-pending", "staging", "resolving")
_KB = re.compile(r"KB[0-9]{6,8}(?![0-9])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Ran:
    """What is left of a run: what came over the serial port, and the last picture (PNG)."""

    run: MediaRun
    log: bytes
    screen: bytes


def check_windows(
    before: Content, after: Content, run: MediaRun, updates: bool
) -> Iterator[Difference]:
    """How a Windows differs from what it reported; `updates`: at least one file was an update of
    Windows itself that was not there before."""
    was, now = before.platform, after.platform
    if now.family != "windows" or now.id != was.id:
        yield Difference("the guest", was.name, now.name or "nothing that is known")
    if (now.build, now.ubr) != (run.build, run.ubr):
        reported = f"{run.build}.{run.ubr}, as it reported"
        yield Difference("the build", reported, f"{now.build}.{now.ubr}")
    if now.build == was.build and now.ubr < was.ubr:
        yield Difference("the build", f"{was.build}.{was.ubr} or later", f"{now.build}.{now.ubr}")
    for one in after.unknowns:
        if one not in before.unknowns:
            yield Difference(one.where, "readable as before", one.why)
    known = {(one.name, one.version, one.state) for one in before.packages}
    for package in after.packages:
        key = package.name, package.version, package.state
        if package.state in PENDING and key not in known:
            yield Difference(package.name, "installed", package.state)
    if updates and (was, before.packages) == (now, after.packages):
        yield Difference("the registry", "a trace of the updates", "none")


def unlisted(names: Iterable[str], after: Content) -> Iterator[Unknown]:
    """Files that are named by an update that the registry does not list by its number."""
    listed = {one.name.upper() for one in after.packages}
    for name in names:
        found = _KB.search(name)
        if found is not None and found[0].upper() not in listed:
            yield Unknown(name, f"the registry lists no {found[0].upper()}")
