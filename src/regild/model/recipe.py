"""A recipe: how an application that no package manager of the guest knows is found, brought up to
date and tested. What a plan makes of one is an errand (`regild.model.plan.Errand`)."""

from __future__ import annotations

from typing import Literal

from regild.model.content import Value
from regild.model.digest import Digest
from regild.model.plan import Archive

Origin = Literal["site", "command line", "image"]
"""Who brought a recipe."""
Order = Literal["deb", "rpm", "pypi"]
"""Whose rules say which of two versions is the newer one."""
Command = tuple[str, ...]


class Detect(Value, frozen=True):
    """Where a guest says that an application is there, and in which version; only read."""

    file: str
    """A path; `*` and `?` stand for letters of one name."""
    pattern: str = ""
    """A regular expression (RE2) with one group, searched in the file's text."""
    json: tuple[str, ...] = ()
    """The way to the version in a JSON file, from outside in."""
    name: str = ""
    """A regular expression with one group that the path's last name fits; nothing is read."""


class ApplicationRelease(Value, frozen=True):
    """A version that can be had, and the files that it takes."""

    version: str
    files: tuple[Archive, ...] = ()
    security: bool = False
    fixes: tuple[str, ...] = ()


class Index(Value, frozen=True):
    """A file elsewhere that lists releases."""

    uri: str
    digest: Digest | None = None
    """What it must be; else `key` must have signed it."""
    key: str = ""
    """A public key or certificate in PEM."""


class PipPart(Value, frozen=True):
    """Python packages of a virtual environment in the guest."""

    environment: str
    packages: tuple[str, ...] = ()
    """Names of those to bring up to date; none: all that are there."""
    constraints: tuple[str, ...] = ()
    """Further conditions, as `urllib3<3`."""
    index: str = ""
    """A folder of wheels, or the address of an index (PEP 503, PEP 691)."""


class NpmPart(Value, frozen=True):
    """Packages of npm in a folder of the guest."""

    folder: str
    """Where package.json and node_modules lie."""
    lock: str = ""
    """The text of the package-lock.json that is wanted."""
    tarballs: str = ""
    """A folder of tarballs; without it each is read where the lock says."""


class Recipe(Value, frozen=True):
    """How one application is kept up to date."""

    name: str
    digest: Digest
    """SHA-256 of the file."""
    origin: Origin
    folder: str
    """Where the file lies, for what it names beside itself."""
    detect: Detect | None = None
    order: Order = "deb"
    releases: tuple[ApplicationRelease, ...] = ()
    index: Index | None = None
    commands: tuple[Command, ...] = ()
    changes: tuple[str, ...] = ()
    tests: tuple[Command, ...] = ()
    files: tuple[Archive, ...] = ()
    """What the commands take where no application has releases."""
    packages: bool = False
    """The commands may change packages."""
    pip: PipPart | None = None
    npm: NpmPart | None = None


class RecipeFault(Value, frozen=True):
    """One thing that is wrong in a recipe's file."""

    line: int
    """0 where it is not in one line."""
    setting: str
    """As `[table] name`."""
    why: str


class Wheel(Value, frozen=True):
    """A built distribution of Python, as an index or a folder has it."""

    name: str
    """In normal form (PEP 503)."""
    version: str
    file: Archive
    tags: tuple[str, ...]
    """What it can be installed for, as `cp311-abi3-manylinux_2_17_x86_64`."""
    requires_python: str = ""
    yanked: bool = False
    metadata: Digest | None = None
    """Of its metadata, where the index gives that apart (PEP 658)."""

    @property
    def folder(self) -> str:
        """The folder below site-packages that says that it is installed."""
        distribution, version, *_ = self.file.name.split("-")
        return f"{distribution}-{version}.dist-info"
