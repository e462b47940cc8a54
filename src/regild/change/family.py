"""What differs between families of packages when a plan is carried out, as one literal table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from regild.change import apk, apk_owners, apt, dnf, dpkg_owners, rpm_owners
from regild.change.owners import Owners, Ran
from regild.change.script import GuestCommand
from regild.errors import UnsupportedError
from regild.model.content import Planning
from regild.model.digest import Digest
from regild.model.plan import Carrier, Plan


class Family(NamedTuple):
    """One family of packages, by what the guest's own package manager needs."""

    write_index: Callable[[Path, Plan, Mapping[Digest, str], Planning], None]
    """Write what makes a repository of a folder that holds the plan's package files."""
    compile: Callable[[Plan], tuple[GuestCommand, ...]]
    """The commands that turn the plan's base into its expected content, whatever carries them."""
    environment: Mapping[str, str]
    folders: tuple[str, ...]
    """What the package manager expects below the folder of its state."""
    injected: Mapping[str, str]
    """Programs that lie over the guest's own while it works, by path."""
    read_owners: Callable[[Ran], Owners]
    explanations: tuple[tuple[str, str], ...]
    """What the package manager writes for itself: by whom, and a pattern of whole paths."""
    checked: tuple[str, ...]
    """What holds when all commands have ended well, for the receipt."""
    carriers: tuple[Carrier, ...] = ("record",)
    boots_later: bool = False
    """A booted guest may leave initial RAM disk and boot menu to be made apart
    (`regild.change.boot_chain`)."""


FAMILIES: dict[str, Family] = {
    "deb": Family(
        apt.write_index,
        apt.compile_plan,
        apt.ENVIRONMENT,
        apt.FOLDERS,
        apt.INJECTED,
        dpkg_owners.read_owners,
        apt.EXPLANATIONS,
        ("dpkg --audit finds nothing",),
        carriers=("record", "uml", "boot"),
        boots_later=True,
    ),
    "rpm": Family(
        dnf.write_index,
        dnf.compile_plan,
        dnf.ENVIRONMENT,
        dnf.FOLDERS,
        {},
        rpm_owners.read_owners,
        dnf.EXPLANATIONS,
        ("no scriptlet failed", "rpmdb --verifydb finds nothing"),
        carriers=("record", "boot"),
    ),
    "apk": Family(
        apk.write_index,
        apk.compile_plan,
        apk.ENVIRONMENT,
        apk.FOLDERS,
        {},
        apk_owners.read_owners,
        apk.EXPLANATIONS,
        ("no script or trigger failed",),
        carriers=("record", "boot"),
    ),
}
"""By the packages' purl type."""


def family_of(plan: Plan) -> Family:
    """The family of a plan's packages.

    Raises: UnsupportedError.
    """
    return family_named(type_of(plan))


def family_named(type: str) -> Family:
    """A family by its purl type.

    Raises: UnsupportedError.
    """
    if type not in FAMILIES:
        why = f"packages of {type} are planned for and not changed yet"
        raise UnsupportedError(where="the guest", why=why)
    return FAMILIES[type]


def check_carrier(plan: Plan) -> None:
    """Refuse a plan that has to be carried out in a way that its family of packages is not.

    Raises: UnsupportedError.
    """
    if plan.carrier not in family_of(plan).carriers:
        why = f"packages of {type_of(plan)} are not changed by the carrier {plan.carrier}"
        raise UnsupportedError(where="the guest", why=why)


def type_of(plan: Plan) -> str:
    """The purl type of a plan's packages."""
    return next((step.type for step in plan.package_steps), "deb")
