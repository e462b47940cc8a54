"""What an image's own repositories offer at one moment, and the files that a solver reads it from.

A folder of lists is laid out as apt keeps its own (apt-get(8), /var/lib/apt/lists), under the names
that apt derives from the image's own addresses, so that pins on a host or a release mean the same.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from regild.feeds.packages import Offer, PackageIndex
from regild.feeds.release import ReleaseFile
from regild.host.files import translated
from regild.model.content import Source
from regild.model.digest import Digest, canonical, hex_of, sha256_of
from regild.model.plan import Archive, FeedState, Step
from regild.model.release import Release
from regild.model.versions import debian_key

_ESCAPED = set('\\|{}[]<>"^~_=!@#$%^&*')
"""The signs that apt escapes in the name of a list (apt-pkg, URItoFileName)."""


@dataclass(frozen=True, slots=True)
class Index:
    """One Packages file of a repository."""

    path: str
    """Below the folder of its release, such as `main/binary-amd64/Packages`."""
    packages: PackageIndex


@dataclass(frozen=True, slots=True)
class Repository:
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


@dataclass(frozen=True, slots=True)
class Available:
    """What can be had from an image's repositories."""

    repositories: tuple[Repository, ...]
    folder: Path
    """Where folders of lists are kept, one for each state of a set of repositories."""

    @property
    def feeds(self) -> tuple[FeedState, ...]:
        """Each repository's address, date, digest and signing keys, in the image's order."""
        return tuple(repository.state for repository in self.repositories)

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
    def lists(self) -> Path:
        """A folder with the signed releases and the verified indexes, as apt would have them.

        Raises: DiskFull, NotPermitted.
        """
        rows = [
            (release_address(one.source), one.state.digest, [index.path for index in one.indexes])
            for one in self.repositories
        ]
        folder = self.folder / hex_of(sha256_of(canonical(rows)))
        with translated(self.folder):
            if not folder.is_dir():
                self.folder.mkdir(parents=True, exist_ok=True)
                self._fill(folder)
        return folder

    def _fill(self, folder: Path) -> None:
        """Make a folder of lists beside its place and move it there whole."""
        made = Path(tempfile.mkdtemp(prefix="new-", dir=self.folder))
        try:
            self.write_lists(made)
            made.rename(folder)
        except OSError:
            shutil.rmtree(made, ignore_errors=True)
            if not folder.is_dir():  # else another process was faster
                raise

    def write_lists(self, folder: Path) -> None:
        """Fill an empty folder with the signed releases and the verified indexes, as apt would have
        them; the indexes become further names of the cache's files where the filesystem allows."""
        for repository in self.repositories:
            top = release_address(repository.source)
            (folder / list_name(f"{top}Release")).write_bytes(repository.text)
            for index in repository.indexes:
                _link(index.packages.path, folder / list_name(top + index.path))

    @property
    def sources_text(self) -> str:
        """The repositories as a .sources file (sources.list(5), deb822 form); nothing in it is
        checked by apt again, because all of it was verified here."""
        return "\n".join(map(_source_text, self.repositories))

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


def list_name(uri: str) -> str:
    """The name of apt's copy of an address in its folder of lists."""
    scheme, _, rest = uri.partition(":")
    if scheme in ("http", "https"):
        host, slash, path = rest.removeprefix("//").partition("/")
        plain = host.replace("[", "").replace("]", "") + slash + path
    else:
        plain = f"/{rest.lstrip('/')}"
    return "".join(_escaped(sign) for sign in plain).replace("/", "_")


def _escaped(sign: str) -> str:
    return f"%{ord(sign):02x}" if sign in _ESCAPED or not "!" <= sign <= "~" else sign


def _link(path: Path, name: Path) -> None:
    try:
        os.link(path, name)
    except OSError:
        shutil.copyfile(path, name)


def _source_text(repository: Repository) -> str:
    source = repository.source
    lines = ["Types: deb", f"URIs: {source.uri}", f"Suites: {source.suite}"]
    if source.components:
        lines.append(f"Components: {' '.join(source.components)}")
    if source.architectures:
        lines.append(f"Architectures: {' '.join(source.architectures)}")
    return "\n".join([*lines, "Trusted: yes", ""])
