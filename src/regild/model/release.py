"""A release: one version of a package that a repository offers."""

from __future__ import annotations

from regild.model.content import Value
from regild.model.digest import Digest
from regild.model.plan import Archive


class Release(Value, frozen=True):
    """An available version and the file that holds it."""

    name: str
    version: str
    arch: str
    archive: Archive
    source: str = ""
    """The source package's name, equal to `name` where there is no other."""
    source_version: str = ""
    installed_kib: int = 0
    """Installed-Size as the package states it."""
    needs: tuple[str, ...] = ()
    """Names in Pre-Depends, Depends and Recommends, alternatives included."""
    provides: tuple[str, ...] = ()
    """Names that it stands for besides its own."""
    suite: str = ""
    """Codename of the release that offers it, such as `bookworm-security`."""
    security: bool = False
    """It comes from a security archive."""


class IndexFile(Value, frozen=True):
    """A verified list of what one part of a repository offers, and what the repository says of
    itself, for a solver to read."""

    path: str
    """Where it lies, whole and unpacked."""
    digest: Digest
    where: str
    """What people call it."""
    feed: int = 0
    """Which of the plan's feeds it is of."""
    form: str = "packages"
    """How it is written: `packages` is Debian's (deb822)."""
    arch: str = ""
    component: str = ""
    suite: str = ""
    codename: str = ""
    version: str = ""
    origin: str = ""
    label: str = ""
    site: str = ""
    """The host that the image's own address names."""
    not_automatic: bool = False
    upgrades_automatically: bool = False
    """ButAutomaticUpgrades: what is installed is kept up to date from it all the same."""
    security: bool = False
    options: tuple[str, ...] = ()
    """The source's own options."""


class Notice(Value, frozen=True):
    """An advisory as an rpm repository keeps it: the releases that it brings, and for what."""

    id: str
    type: str = ""
    """`security`, `bugfix`, `enhancement`, `newpackage`."""
    severity: str = ""
    cves: tuple[str, ...] = ()
    packages: tuple[tuple[str, str, str], ...] = ()
    """Name, version and architecture of each release that it names."""
    reboot: bool = False
    """Instances should be rebooted after it."""
    date: str = ""
    """When it was last changed (RFC 3339)."""


class ModuleBuild(Value, frozen=True):
    """One build of a stream of a module, and the packages that belong to it."""

    name: str
    stream: str
    version: int = 0
    context: str = ""
    packages: tuple[str, ...] = ()
    """As `name-epoch:version-release.arch`."""
    requires: tuple[tuple[tuple[str, tuple[str, ...]], ...], ...] = ()
    """Sets of other modules of which one must be enabled, with their streams; none: any."""


class ModuleDefault(Value, frozen=True):
    """The stream of a module that counts where none is enabled."""

    name: str
    stream: str


class Modules(Value, frozen=True):
    """What a repository says of modules."""

    builds: tuple[ModuleBuild, ...] = ()
    defaults: tuple[ModuleDefault, ...] = ()
