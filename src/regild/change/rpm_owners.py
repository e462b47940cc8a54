"""Who owns each changed path in a guest of rpm.

Nothing is asked of the database that the guest's programs have just written: the old packages are
known from before anything ran, the new ones from their own checked files.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from regild.change.owners import Owned, Owners, Ran, match_owners
from regild.feeds.rpm_file import open_package
from regild.model.rpm_files import RpmPackage


def read_owners(ran: Ran) -> Owners:
    """Look the record's paths up in the headers of the old and the new packages.

    Raises: Malformed, Truncated, TooLarge.
    """
    return match_owners(ran, (*ran.owned, *_new(ran.repository)), "rpm")


def owned_of(package: RpmPackage, planned: frozenset[str]) -> Owned:
    """What the gate needs to know of a package: of one that the plan leaves alone, only what it
    runs for others.

    Raises: Malformed.
    """
    name = package.identity.name
    if name not in planned:
        return Owned(name, scripts=package.triggers)
    return Owned(name, tuple(package.paths()), f"{package.scripts}\n{package.triggers}")


def _new(repository: Path) -> Iterator[Owned]:
    for path in sorted(repository.glob("*.rpm")):
        package = open_package(path)
        yield owned_of(package, frozenset({package.identity.name}))
