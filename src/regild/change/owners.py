"""Which package owns each changed path, and what the packages' scripts speak of: what the gate
judges by."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from regild.model.content import Value
from regild.model.record import Entry, Record

PATH: Final = re.compile(r"/[A-Za-z0-9][A-Za-z0-9._+@/-]*")
MERGED: Final = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")


class Owned(Value, frozen=True):
    """A package of the guest as it was: its paths and the text of its scripts."""

    package: str
    paths: tuple[str, ...] = ()
    scripts: str = ""


class Owners(Value, frozen=True):
    """What the gate needs to know of the guest's package database."""

    paths: dict[str, str]
    """Changed path: the package that owns it, before or after."""
    spoken_of: dict[str, str]
    """Path or folder that a planned package's script names: the package."""
    planned: list[str]
    """Names of the packages that the plan changes."""
    type: str = "deb"
    """The family of packages."""

    def owner_of(self, path: str) -> str:
        """The planned package that owns a path; empty when none does."""
        owner = self.paths.get(path, "")
        return owner if bare(owner) in self.planned else ""


@dataclass(frozen=True, slots=True)
class Ran:
    """Where to look after the guest's commands ran."""

    merged: Path
    """The tree as they left it."""
    tree: Path
    """The tree as it was."""
    record: Record
    packages: tuple[str, ...]
    """Names of the packages that the plan changes."""
    repository: Path
    """The plan's package files."""
    owned: tuple[Owned, ...] = ()
    """What was known of the guest's packages before anything ran, where the family asks for it."""

    @property
    def links(self) -> frozenset[str]:
        """The top folders that are links into /usr."""
        return frozenset(f"/{name}" for name in MERGED if (self.tree / name).is_symlink())


def match_owners(ran: Ran, packages: Iterable[Owned], type: str) -> Owners:
    """Look the record's paths up in what is known of packages, the later ones before the earlier;
    of those that the plan leaves alone only what they run for others counts."""
    wanted, planned, links = {one.path for one in ran.record.entries}, set(ran.packages), ran.links
    found: dict[str, str] = {}
    spoken_of: dict[str, str] = {}
    made = {one.path for one in ran.record.entries if _is_new_folder(one)}
    for one in packages:
        if one.package in planned:
            for path in (real(path, links) for path in one.paths):
                if path in wanted:
                    found[path] = one.package
                for folder in _above(path, made):
                    found.setdefault(folder, one.package)
        for path in paths_in(one.scripts, links):
            spoken_of.setdefault(path, one.package)
    return Owners(found, spoken_of, sorted(planned), type)


def _is_new_folder(entry: Entry) -> bool:
    """Whether a folder was made where nothing was."""
    return entry.was.kind == "absent" and entry.becomes.kind == "directory"


def _above(path: str, made: set[str]) -> Iterator[str]:
    """The new folders above a path: rpm and apk make them where no package brings them."""
    while (path := path.rpartition("/")[0]) in made:
        yield path


def paths_in(script: str, links: frozenset[str]) -> Iterator[str]:
    """The paths that a script names, but for top folders."""
    for match in PATH.finditer(script):
        path = real(match.group().rstrip("/."), links)
        if path.count("/") >= 2:
            yield path


def bare(package: str) -> str:
    """A package's name without the architecture that dpkg's database adds to some."""
    return package.partition(":")[0]


def real(path: str, links: frozenset[str]) -> str:
    """A path of the package database as it lies on a system whose top folders are merged."""
    top = path[: path.find("/", 1)] if "/" in path[1:] else path
    return f"/usr{path}" if top in links and path != top else path
