"""Who owns each changed path in a guest of rpm.

Nothing is asked of the database that the guest's programs have just written: the old packages are
known from before anything ran, the new ones from their own checked files.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from regild.change.owners import Owned, Owners, Ran, paths_in, real
from regild.feeds.rpm_file import open_package
from regild.model.record import Entry
from regild.model.rpm_files import RpmPackage


def read_owners(ran: Ran) -> Owners:
    """Look the record's paths up in the headers of the old and the new packages.

    Raises: Malformed, Truncated, TooLarge.
    """
    wanted, planned, links = {one.path for one in ran.record.entries}, set(ran.packages), ran.links
    found: dict[str, str] = {}
    spoken_of: dict[str, str] = {}
    made = {one.path for one in ran.record.entries if _is_new_folder(one)}
    for one in (*ran.owned, *_new(ran.repository)):
        if one.package in planned:
            for path in (real(path, links) for path in one.paths):
                if path in wanted:
                    found[path] = one.package
                for folder in _above(path, made):
                    found.setdefault(folder, one.package)
        for path in paths_in(one.scripts, links):
            spoken_of.setdefault(path, one.package)
    return Owners(found, spoken_of, sorted(planned), "rpm")


def owned_of(package: RpmPackage, planned: frozenset[str]) -> Owned:
    """What the gate needs to know of a package: of one that the plan leaves alone, only what it
    runs for others.

    Raises: Malformed.
    """
    name = package.identity.name
    if name not in planned:
        return Owned(name, scripts=package.triggers)
    return Owned(name, tuple(package.paths()), f"{package.scripts}\n{package.triggers}")


def _is_new_folder(entry: Entry) -> bool:
    """Whether a folder was made where nothing was."""
    return entry.was.kind == "absent" and entry.becomes.kind == "directory"


def _above(path: str, made: set[str]) -> Iterator[str]:
    """The new folders above a path: rpm makes them where no package brings them."""
    while (path := path.rpartition("/")[0]) in made:
        yield path


def _new(repository: Path) -> Iterator[Owned]:
    for path in sorted(repository.glob("*.rpm")):
        package = open_package(path)
        yield owned_of(package, frozenset({package.identity.name}))
