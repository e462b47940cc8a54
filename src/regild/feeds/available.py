"""What an image's own repositories offer at one moment, and the files that a solver reads it from.

Each index comes with what its repository says of itself and the host of the image's own address,
so that pins mean what they mean in the guest, whatever mirror it was read from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from regild.feeds.packages import Offer, PackageIndex
from regild.feeds.release import ReleaseFile
from regild.model.content import Source, Value
from regild.model.digest import Digest
from regild.model.plan import Archive, FeedState, Skipped, Step
from regild.model.release import IndexFile, Notice, Release
from regild.model.versions import debian_key


class Index(Value, frozen=True):
    """One Packages file of a repository."""

    path: str
    """Below the folder of its release, such as `main/binary-amd64/Packages`."""
    packages: PackageIndex
    digest: Digest


class Repository(Value, frozen=True):
    """One source of the image, as it was believed."""

    source: Source
    release: ReleaseFile
    text: bytes
    """The signed bytes of its release file."""
    state: FeedState
    indexes: tuple[Index, ...]

    @property
    def name(self) -> str:
        """What people call it, such as `bookworm-security`."""
        return self.release.codename or self.release.suite or self.source.suite


class Available(Value, frozen=True):
    """What can be had from an image's repositories."""

    repositories: tuple[Repository, ...]

    @property
    def feeds(self) -> tuple[FeedState, ...]:
        """Each repository's address, date, digest and signing keys, in the image's order."""
        return tuple(repository.state for repository in self.repositories)

    @property
    def unread(self) -> tuple[Skipped, ...]:
        """Nothing: apt's sources that cannot be read are errors."""
        return ()

    @property
    def names(self) -> Iterator[str]:
        """The names of all packages that are offered; some more than once."""
        for repository in self.repositories:
            for index in repository.indexes:
                yield from index.packages.names

    def find_release(self, name: str, version: str, arch: str) -> Release | None:
        """One version of a package, for an architecture or for all.

        Raises: Malformed when the index's entry is.
        """
        exact = [pair for pair in self._fitting(name, arch) if pair[1].version == version]
        if not exact:
            return None
        # Of equal versions apt takes the first source's file, and so do we.
        first, offer = exact[0]
        same = [one for one, other in exact if other.digest == offer.digest]
        return _release(first, offer, next((one for one in same if one.state.security), None))

    def find_newest(self, name: str, arch: str) -> Release | None:
        """The newest version of a package that any repository offers; pins are left aside.

        Raises: Malformed when an index's entry is.
        """
        versions = {offer.version for _, offer in self._fitting(name, arch)}
        newest = max(versions, key=debian_key, default="")
        return self.find_release(name, newest, arch) if newest else None

    def notices(self, name: str, was: str, becomes: str) -> Iterator[Notice]:
        """None: repositories of apt hold no advisories."""
        yield from ()

    def stanzas(self, steps: Iterable[Step]) -> dict[Digest, str]:
        """The signed index's entry of each step's package file, by the file's digest."""
        wanted = {step.archive.digest: step for step in steps if step.archive}
        return {
            digest: offer.stanza
            for digest, step in wanted.items()
            for _, offer in self._fitting(step.name, step.arch)
            if offer.digest == digest
        }

    @property
    def sources(self) -> tuple[Source, ...]:
        """The image's sources, each address and suite once."""
        return tuple(repository.source for repository in self.repositories)

    @property
    def indexes(self) -> tuple[IndexFile, ...]:
        """The verified indexes in the order of the image's sources, for a solver to read."""
        return tuple(
            _index_file(place, repository, index)
            for place, repository in enumerate(self.repositories)
            for index in repository.indexes
        )

    def _fitting(self, name: str, arch: str) -> Iterator[tuple[Repository, Offer]]:
        for repository in self.repositories:
            for index in repository.indexes:
                for offer in index.packages.offers(name):
                    if offer.arch in (arch, "all") or arch == "all":
                        yield repository, offer


def _release(first: Repository, offer: Offer, secure: Repository | None) -> Release:
    """An offer as a value; named after the security repository where one has it too."""
    return Release(
        name=offer.name,
        version=offer.version,
        arch=offer.arch,
        archive=archive_of(first.source, offer),
        source=offer.source,
        source_version=offer.source_version,
        installed_kib=offer.installed_kib,
        needs=offer.needs,
        provides=offer.provides,
        suite=(secure or first).name,
        security=secure is not None,
    )


def _index_file(place: int, repository: Repository, index: Index) -> IndexFile:
    """An index, and what pins may ask about it; its host is that of the image's own address."""
    release = repository.release
    component, _, rest = index.path.rpartition("/binary-")
    return IndexFile(
        path=str(index.packages.path),
        digest=index.digest,
        where=repository.name,
        feed=place,
        arch=rest.partition("/")[0],
        component=component,
        suite=release.suite,
        codename=release.codename,
        version=release.version,
        origin=release.origin,
        label=release.label,
        site=urlsplit(repository.source.uri).hostname or "",
        not_automatic=release.not_automatic,
        upgrades_automatically=release.upgrades_automatically,
        security=repository.state.security,
    )


def archive_of(source: Source, offer: Offer) -> Archive:
    """The package file of an offer, as its source names it."""
    version = offer.version.replace(":", "%3a")
    return Archive(
        uri=f"{source.uri.rstrip('/')}/{offer.filename.removeprefix('./')}",
        name=f"{offer.name}_{version}_{offer.arch}.deb",
        digest=offer.digest,
        bytes=offer.bytes,
    )


def release_address(source: Source) -> str:
    """The folder of a source's release file, with a slash at its end."""
    base = source.uri.rstrip("/")
    if not source.suite.endswith("/"):
        return f"{base}/dists/{source.suite}/"
    return f"{base}/" if source.suite == "/" else f"{base}/{source.suite.lstrip('/')}"
