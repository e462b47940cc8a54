"""What a scene knows of a guest's packages of rpm, and of the accounts that own their files."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from regild.errors import MissingFile
from regild.image.tree import Guest
from regild.model.rpm_files import RpmPackage

ACCOUNTS_BYTES_MAX = 16 << 20
_NUMBER = re.compile(r"[0-9]{1,10}")


@dataclass(frozen=True)
class RpmFiles:
    """What is known of a guest's packages of rpm."""

    installed: tuple[RpmPackage, ...]
    """By its database."""
    before: tuple[RpmPackage, ...] = ()
    """By its database as it was before the change."""
    planned: tuple[RpmPackage, ...] = ()
    """The package files of the plan."""

    @cached_property
    def owners(self) -> Counter[str]:
        """How many of the installed packages own a path."""
        return Counter(path for one in self.installed for path in one.paths())

    @cached_property
    def config_before(self) -> dict[str, str]:
        """The digest of each configuration file as the packages before had shipped it."""
        return {
            file.path: file.digest
            for one in self.before
            for file in one.files()
            if file.is_config and not file.is_ghost
        }

    @cached_property
    def by_name(self) -> dict[tuple[str, str, str], RpmPackage]:
        """The installed packages by name, version and architecture."""
        return {key_of(one): one for one in self.installed}


def key_of(package: RpmPackage) -> tuple[str, str, str]:
    """Name, version and architecture of a package.

    Raises: Malformed.
    """
    header = package.identity
    return header.name, header.evr, header.arch


def read_accounts(guest: Guest) -> tuple[dict[str, int], dict[str, int]]:
    """The numbers of the guest's users and groups by name.

    Raises: Malformed, TooLarge.
    """
    users, groups = (_numbers(guest, path) for path in ("/etc/passwd", "/etc/group"))
    return {"root": 0, **users}, {"root": 0, **groups}


def _numbers(guest: Guest, path: str) -> dict[str, int]:
    try:
        text = guest.tree.read(path, ACCOUNTS_BYTES_MAX).decode(errors="replace")
    except MissingFile:
        return {}
    rows = (line.split(":") for line in text.splitlines())
    return {row[0]: int(row[2]) for row in rows if len(row) > 3 and _NUMBER.fullmatch(row[2])}
