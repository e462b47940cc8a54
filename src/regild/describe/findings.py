"""What one reader found in a guest, and how the findings of several become one."""

from __future__ import annotations

from dataclasses import dataclass, replace

from regild.model.content import Application, Package, Planning, Platform, Source, Unknown


@dataclass(frozen=True, slots=True)
class Findings:
    """The part of a Content that one reader knows; what it does not know stays empty."""

    platform: Platform | None = None
    packages: tuple[Package, ...] = ()
    applications: tuple[Application, ...] = ()
    sources: tuple[Source, ...] = ()
    unknowns: tuple[Unknown, ...] = ()
    planning: Planning | None = None
    databases: tuple[str, ...] = ()
    """Paths of the package databases that are there, readable or not."""

    def merged(self, other: Findings) -> Findings:
        """Both findings together; for the platform and the planning state the later one, which
        was made from the earlier, counts."""
        return replace(
            self,
            platform=other.platform or self.platform,
            packages=self.packages + other.packages,
            applications=self.applications + other.applications,
            sources=self.sources + other.sources,
            unknowns=self.unknowns + other.unknowns,
            planning=other.planning or self.planning,
            databases=self.databases + other.databases,
        )

    @property
    def known_platform(self) -> Platform:
        """The platform, or one that says nothing where none was found."""
        return self.platform or Platform()

    @property
    def known_planning(self) -> Planning:
        """The planning state, or one that says nothing where none was found."""
        return self.planning or Planning()
