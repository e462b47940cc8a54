"""What an image's own rpm repositories offer at one moment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from regild.errors import PlanMoved
from regild.feeds.bring import Promise
from regild.feeds.primary import PrimaryIndex, RpmOffer
from regild.model.content import Source
from regild.model.digest import Digest
from regild.model.plan import Archive, FeedState, Skipped, Step
from regild.model.release import IndexFile, Notice, Release
from regild.model.versions import rpm_key

PRIMARY, NOTICES, MODULES = "rpm-md", "rpm-md notices", "rpm-md modules"
FILELISTS = "rpm-md filelists"
"""The forms of an rpm repository's index files."""
DEFAULT_PRIORITY = 99
"""dnf.conf(5), priority; the lowest number counts first."""


class Options:
    """The settings of one repository, as describing wrote them down."""

    def __init__(self, source: Source) -> None:
        told = dict(one.partition("=")[::2] for one in source.options)
        self.gpgcheck = told.get("gpgcheck") == "1"
        self.repo_gpgcheck = told.get("repo_gpgcheck", "0")
        """`1`, `0`, or `signed`: only where the repository is signed."""
        self.skip_if_unavailable = told.get("skip_if_unavailable") == "1"
        self.listed = "address" in told
        """Its address is a list of mirrors."""
        self.alternatives = tuple(told.get("alternatives", "").split())
        priority = told.get("priority", "")
        self.priority = int(priority) if priority.isdecimal() else DEFAULT_PRIORITY


@dataclass(frozen=True, slots=True)
class Kept:
    """A verified file of the cache."""

    path: Path
    digest: Digest


@dataclass(frozen=True, slots=True)
class RpmRepository:
    """One source of the image, as it was believed."""

    source: Source
    base: str
    """The address that it was read from, as the image or the site names it."""
    state: FeedState
    primary: PrimaryIndex
    files: dict[str, Kept]
    """By form."""
    notices: tuple[Notice, ...]
    filelists: Promise | None = None
    """Where its list of all files lies; brought only where a path decides."""

    @property
    def priority(self) -> int:
        """The lowest number counts first."""
        return Options(self.source).priority


@dataclass(frozen=True, slots=True)
class RpmAvailable:
    """What can be had from an image's rpm repositories."""

    repositories: tuple[RpmRepository, ...]
    unread: tuple[Skipped, ...] = ()
    """What could not be read, where the image says to go on without it."""

    @property
    def feeds(self) -> tuple[FeedState, ...]:
        """Each repository's address, date, digest and signing keys, in the image's order."""
        return tuple(repository.state for repository in self.repositories)

    @property
    def indexes(self) -> tuple[IndexFile, ...]:
        """The verified files in the order of the image's sources, for a solver to read."""
        return tuple(
            IndexFile(
                path=str(kept.path),
                digest=kept.digest,
                where=repository.source.suite,
                feed=place,
                form=form,
                options=repository.source.options,
            )
            for place, repository in enumerate(self.repositories)
            for form, kept in repository.files.items()
        )

    def find_release(self, name: str, version: str, arch: str) -> Release | None:
        """One version of a package, from the repository that counts first.

        Raises: Malformed when the index's entry is.
        """
        for repository, offer in self._fitting(name, arch):
            if offer.version == version:
                return self._release(repository, offer)
        return None

    def find_newest(self, name: str, arch: str) -> Release | None:
        """The newest version of a package that any repository offers; what excludes it is left
        aside.

        Raises: Malformed when an index's entry is.
        """
        versions = {offer.version for _, offer in self._fitting(name, arch)}
        newest = max(versions, key=rpm_key, default="")
        return self.find_release(name, newest, arch) if newest else None

    def source_of(self, step: Step) -> Source:
        """The repository that a step's package file comes from; where several have the same file,
        one that asks for the package's own signature.

        Raises: PlanMoved where none has it any more.
        """
        found = [
            repository.source
            for repository, offer in self._fitting(step.name, step.arch)
            if step.archive is not None and offer.digest == step.archive.digest
        ]
        if not found:
            raise PlanMoved(where=step.name, why="no repository offers the planned file any more")
        return next((one for one in found if Options(one).gpgcheck), found[0])

    def notices(self, name: str, was: str, becomes: str) -> Iterator[Notice]:
        """The advisories that an update of a package brings: those of every release that is newer
        than the one before, up to the one after."""
        low, high = rpm_key(was) if was else None, rpm_key(becomes)
        for repository in self.repositories:
            for notice in repository.notices:
                if any(
                    one == name and (low is None or low < rpm_key(evr)) and rpm_key(evr) <= high
                    for one, evr, _ in notice.packages
                ):
                    yield notice

    def _fitting(self, name: str, arch: str) -> Iterator[tuple[RpmRepository, RpmOffer]]:
        for repository in sorted(self.repositories, key=lambda one: one.priority):
            for offer in repository.primary.offers(name):
                if offer.arch == arch or "noarch" in (offer.arch, arch):
                    yield repository, offer

    def _release(self, repository: RpmRepository, offer: RpmOffer) -> Release:
        named = [
            notice
            for one in self.repositories
            for notice in one.notices
            if any((offer.name, offer.version) == (name, evr) for name, evr, _ in notice.packages)
        ]
        return Release(
            name=offer.name,
            version=offer.version,
            arch=offer.arch,
            archive=_archive(repository, offer),
            source=offer.source,
            source_version=offer.source_version,
            installed_kib=-(-offer.installed_bytes // 1024),
            needs=offer.needs,
            provides=offer.provides,
            suite=repository.source.suite,
            security=any(notice.type == "security" for notice in named),
        )


def _archive(repository: RpmRepository, offer: RpmOffer) -> Archive:
    base = (offer.base or repository.base).rstrip("/")
    version = offer.version.rpartition(":")[2]
    return Archive(
        uri=f"{base}/{quote(offer.href, safe='/:+~^@%,')}",
        name=f"{offer.name}-{version}.{offer.arch}.rpm",
        digest=offer.digest,
        bytes=offer.bytes,
    )
