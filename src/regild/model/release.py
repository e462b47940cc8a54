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
