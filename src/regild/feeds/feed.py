"""Which feed speaks for which family of packages, as one literal table."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import msgspec

from regild.errors import UnsupportedError
from regild.feeds.cache import Cache
from regild.feeds.kept import keep_made
from regild.feeds.policy import SitePolicy
from regild.model.content import Content, Source
from regild.model.digest import Digest, algorithm_of
from regild.model.plan import Archive, FeedState, Plan, Skipped, Step
from regild.model.progress import Progress
from regild.model.release import IndexFile, Notice, Release

if TYPE_CHECKING:
    from regild.feeds.shipped import ShippedPackage

SHIPPED_SUFFIX: Final = ".shipped-1"
"""What is kept in the cache beside a package file's digest; another number where its form
changes."""


class Offers(Protocol):
    """What an image's repositories offer at one moment, verified."""

    @property
    def feeds(self) -> tuple[FeedState, ...]:
        """The repositories as they were believed."""

    @property
    def unread(self) -> tuple[Skipped, ...]:
        """Repositories that could not be read and that the image goes on without."""

    @property
    def indexes(self) -> tuple[IndexFile, ...]:
        """What each of them offers, as a solver reads it."""

    def find_release(self, name: str, version: str, arch: str) -> Release | None:
        """One version of a package."""

    def find_newest(self, name: str, arch: str) -> Release | None:
        """The newest version of a package that any feed offers."""

    def notices(self, name: str, was: str, becomes: str) -> Iterator[Notice]:
        """The repositories' own advisories that an update of a package brings."""


class Feed(NamedTuple):
    """One kind of repository."""

    source: str
    """What `Source.type` calls it."""
    module: str
    """The module whose `refresh` reads it, and whose `statement_folders` says where."""
    files: str
    """The module whose `read_entry` believes and reads a package file, and whose `read_shipped`
    tells what it puts into a guest."""
    statements: tuple[str, ...]
    """What its signed statement is called in its folder, by preference."""


FEEDS: dict[str, Feed] = {
    "deb": Feed("apt", "regild.feeds.apt", "regild.feeds.shipped", ("InRelease", "Release")),
    "rpm": Feed("rpm-md", "regild.feeds.rpm", "regild.feeds.rpm_entry", ("repodata/repomd.xml",)),
    "apk": Feed("apk", "regild.feeds.apk", "regild.feeds.apk_file", ("APKINDEX.tar.gz",)),
}
"""By the family of packages (`Planning.type`)."""


def refresh(
    content: Content, policy: SitePolicy, cache: Path, now: datetime, progress: Progress
) -> Offers:
    """What the image's own sources offer now, from whatever kind of repository they are.

    Raises: UnsupportedError; as the `refresh` of each feed.
    """
    feed = FEEDS.get(content.planning.type)
    if feed is None:
        why = f"no feed is known for {content.planning.type or 'its'} packages"
        raise UnsupportedError(where="the image", why=why)
    found: Offers = importlib.import_module(feed.module).refresh(
        content, policy, cache, now, progress
    )
    return found


def with_filelists(
    available: Offers, policy: SitePolicy, cache: Path, progress: Progress
) -> Offers:
    """The same offers with the lists of all files, where repositories have such lists.

    Raises: as `feeds.rpm.with_filelists`.
    """
    from regild.feeds.rpm_available import RpmAvailable

    if not isinstance(available, RpmAvailable):
        return available
    rpm = importlib.import_module(FEEDS["rpm"].module)
    found: Offers = rpm.with_filelists(available, policy, cache, progress)
    return found


def read_entries(
    plan: Plan,
    files: Mapping[Digest, Path],
    content: Content,
    available: Offers,
    now: datetime,
) -> dict[Digest, str]:
    """What an index would say of each package file of a plan, read from the file itself once it is
    believed, by the archive's digest.

    `files` have been held against their digests; where the image asks for more than that (rpm's
    signature in each file) it is checked here.

    Raises: IntegrityError and its kinds, Malformed, Truncated, TooLarge.
    """
    module = importlib.import_module(FEEDS[content.planning.type].files)
    return {
        step.archive.digest: module.read_entry(
            files[step.archive.digest], step, content, available, now
        )
        for step in plan.package_steps
        if step.archive is not None
    }


def read_shipped(path: Path, step: Step, archive: Archive, cache: Path) -> ShippedPackage:
    """Everything that a step's package file puts into a guest; unpacked once for all images.

    `path` is the file, which was held against the archive's digest.

    Raises: Malformed, Truncated, TooLarge, MissingFile, NotPermitted, DiskFull.
    """
    from regild.feeds.shipped import ShippedPackage  # plans do without

    module = importlib.import_module(FEEDS[step.type].files)
    if algorithm_of(archive.digest) != "sha256":
        # apk's index names a SHA-1 of a part of the file: too little to know the whole by.
        return _unpacked(module, path, step)
    kept = Cache(cache).place(archive.digest, SHIPPED_SUFFIX)
    kept.parent.mkdir(parents=True, exist_ok=True)
    decoder = msgspec.msgpack.Decoder(ShippedPackage)
    return keep_made(kept, decoder.decode, lambda: _unpacked(module, path, step))


def _unpacked(module: ModuleType, path: Path, step: Step) -> ShippedPackage:
    found: ShippedPackage = module.read_shipped(path, step.name, step.arch)
    return found


def is_fed(content: Content) -> bool:
    """Whether an image names an enabled source that a feed here reads."""
    feed = FEEDS.get(content.planning.type)
    return feed is not None and any(
        one.enabled and one.type == feed.source for one in content.sources
    )


def folders_of(source: Source, content: Content, policy: SitePolicy) -> tuple[str, ...]:
    """The folders, each with a slash at its end, in which a source's signed statement is looked
    for in turn.

    Raises: SourceRefused.
    """
    feed = _of_source(source)
    if feed is None:
        return (f"{source.uri.rstrip('/')}/",)
    found: tuple[str, ...] = importlib.import_module(feed.module).statement_folders(
        source, content, policy
    )
    return found


def statements_of(source: Source) -> tuple[str, ...]:
    """The names of a source's signed statement in its folder, by preference."""
    feed = _of_source(source)
    return feed.statements if feed else ("",)


def _of_source(source: Source) -> Feed | None:
    return next((one for one in FEEDS.values() if one.source == source.type), None)
