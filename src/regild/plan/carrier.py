"""What carries a change out, decided before anything is touched, and why; pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from regild.errors import UnsupportedCarrier
from regild.model.content import VolumeSpace
from regild.model.plan import Carrier, Step, VolumeWriter
from regild.plan.wishes import Policy, Wishes

OFFLINE_WHY: Final = "no package takes the booted machine"
ASKED_WHY: Final = "it was asked for"
ALLOWED_WHY: Final = "the policy allows no other method"
NO_VM: Final = "a virtual machine that starts a kernel of regild's own is not built"
OFFLINE: Final[tuple[Carrier, ...]] = ("record", "uml")
"""Carriers that do not start the image's own system."""


def carrier_before(wishes: Wishes, policy: Policy) -> tuple[Carrier, str]:
    """What has to carry the change whatever the packages are.

    With an empty reason it is only the first choice, which the packages may overrule.

    Raises: UnsupportedCarrier.
    """
    if wishes.carrier == "vm":
        raise UnsupportedCarrier(where="vm", why=NO_VM)
    if wishes.carrier == "uml":
        return "uml", ASKED_WHY
    if "boot" in (wishes.carrier, wishes.method):
        return "boot", ASKED_WHY
    if wishes.carrier == "record" or wishes.method == "offline":
        return "record", ASKED_WHY
    if policy.methods == ("offline",):
        return "record", ALLOWED_WHY
    return "record", ""


def carrier_after(steps: Iterable[Step]) -> tuple[Carrier, str]:
    """What carries the steps, where nothing but them decides."""
    for step in steps:
        if step.method == "boot":
            return "boot", f"{step.name} takes the booted machine: {step.method_why}"
    return "record", OFFLINE_WHY


def writers_of(volumes: Iterable[VolumeSpace]) -> tuple[VolumeWriter, ...]:
    """What writes each of the image's volumes, as far as any can."""
    return tuple(
        VolumeWriter(one.mount, one.filesystem, "libext2fs" if _is_ext(one) else "user-mode-linux")
        for one in volumes
        if _is_ext(one) or one.filesystem in ("xfs", "btrfs")
    )


def _is_ext(volume: VolumeSpace) -> bool:
    return volume.filesystem in ("ext2", "ext3", "ext4")
