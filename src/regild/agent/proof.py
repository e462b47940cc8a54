"""Proving a changed disk before anything is written: it holds what was promised, and it boots."""

from __future__ import annotations

from dataclasses import dataclass

from regild.agent.inspect import Inspected
from regild.change.apply import Changed
from regild.describe.boot import read_boot
from regild.describe.reader import describe_guest
from regild.errors import ProveError
from regild.image.overlay import Overlay
from regild.image.tree import Guest, open_guest
from regild.model.content import Content
from regild.model.plan import Plan
from regild.model.progress import Progress
from regild.prove.boot_chain import check_boot_chain
from regild.prove.check import check_content

CHECKS: tuple[str, ...] = (
    "every changed path is accounted for by a package, dpkg's state, a trigger or a script",
    "every changed path was read back from the image",
    "e2fsck finds the changed filesystems clean",
    "dpkg --audit finds nothing",
    "the packages described again are those that the plan expects",
)
BOOT_CHECK = "boot menu, kernels, modules, initial RAM disks and root agree"
BOOT_PLACES = ("/boot/", "/lib/modules/", "/usr/lib/modules/", "/vmlinuz", "/initrd.img")


@dataclass(frozen=True, slots=True)
class Proof:
    """What was observed in the result, and what was checked and held."""

    observed: Content
    checks: tuple[str, ...]


def prove_result(
    overlay: Overlay, inspected: Inspected, plan: Plan, changed: Changed, progress: Progress
) -> Proof:
    """Describe a changed disk afresh and hold it against what the plan promised.

    What the boot chain lacked before is not held against the change.

    Raises: ProveError, and as `open_guest`.
    """
    progress.step("Describing the result")
    with open_guest(overlay, inspected.boot.stored.name) as guest:
        observed = describe_guest(guest)
        differences = check_content(plan.expected, observed)
        told = tuple(f"{one.what}: {one.expected} != {one.observed}" for one in differences)
        checks = CHECKS
        if not told and any(row.path.startswith(BOOT_PLACES) for row in changed.explained):
            progress.step("Checking what the result boots with")
            before = _faults(inspected.guest)
            told = tuple(one for one in _faults(guest) if one not in before)
            checks = (*CHECKS, BOOT_CHECK)
    if told:
        raise ProveError(where="the result", differences=told)
    return Proof(observed, checks)


def _faults(guest: Guest) -> tuple[str, ...]:
    return check_boot_chain(guest, read_boot(guest.tree).entries)
