"""A release: one version of a package that a repository offers."""

from __future__ import annotations

from regild.model.content import Value
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
