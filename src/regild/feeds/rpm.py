"""Read an image's rpm repositories: repomd.xml, its signature where the image asks for one, and the
indexes that it vouches for, kept by digest (dnf.conf(5), "Repo Options").

Where the image does not ask for a signature over the repository, what was believed without one is
said; the signature of each package file is checked before the file is used (`feeds.rpm_file`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

from regild.errors import (
    BadSignature,
    FeedUnreachable,
    NotKnownThen,
    NotOffered,
    SourceRefused,
)
from regild.feeds.bring import Bringer, Found, first_of, open_bringer, sources_of
from regild.feeds.filelists import FILELISTS_SUFFIX, check_filelists
from regild.feeds.keys import Trust, read_keys
from regild.feeds.modules import KEPT_SUFFIX, MODULES_SUFFIX, keep_modules
from regild.feeds.policy import SitePolicy, signers_of
from regild.feeds.primary import PRIMARY_SUFFIX, open_primary
from regild.feeds.release import ReleaseFile
from regild.feeds.repomd import REPOMD_LIMIT, Repomd, read_repomd
from regild.feeds.rpm_available import (
    FILELISTS,
    MODULES,
    NOTICES,
    PRIMARY,
    Kept,
    Options,
    RpmAvailable,
    RpmRepository,
)
from regild.feeds.seen import check_age, check_order, find_seen, keep_seen
from regild.feeds.signature import verify_detached
from regild.feeds.updateinfo import NOTICES_SUFFIX, UPDATEINFO_SUFFIX, keep_notices
from regild.host.fetch import Fetcher
from regild.model.content import Content, Keyring, Source
from regild.model.digest import Digest, sha256_of
from regild.model.plan import FeedState, Skipped
from regild.model.progress import Progress
from regild.model.release import Notice

SIGNATURE_LIMIT = 1 << 20
THREADS = 4
UNREAD_WHY = "the repository could not be read, and the image goes on without (skip_if_unavailable)"
OF_DATABASE = "gpg-pubkey-"
"""How the names of keys begin that rpm's own database holds."""


def refresh(
    content: Content,
    policy: SitePolicy,
    cache: Path,
    now: datetime,
    progress: Progress,
    fetcher: Fetcher | None = None,
) -> RpmAvailable:
    """What the image's own rpm repositories offer now; indexes that the cache holds are not fetched
    again.

    `now` is aware of its time zone.

    Raises: PlanError when the image names no source, SourceRefused, FeedUnreachable, NotOffered,
    BadSignature, UnknownKey, Expired, RolledBack, DigestMismatch, Truncated, Malformed, TooLarge.
    """
    sources = sources_of(content, "rpm-md")
    with (
        open_bringer(policy, cache, progress, fetcher) as bringer,
        ThreadPoolExecutor(THREADS) as threads,
    ):
        desk = _Desk(bringer, content, now)
        found = tuple(threads.map(desk.repository, sources))
    return RpmAvailable(
        tuple(one for one in found if isinstance(one, RpmRepository)),
        tuple(one for one in found if isinstance(one, Skipped)),
    )


def with_filelists(
    available: RpmAvailable,
    policy: SitePolicy,
    cache: Path,
    progress: Progress,
    fetcher: Fetcher | None = None,
) -> RpmAvailable:
    """The same offers with the list of all files of each repository that has one, by the digest
    that repomd.xml promised.

    Raises: SourceRefused, FeedUnreachable, NotOffered, DigestMismatch, Truncated, Malformed,
    TooLarge.
    """
    with open_bringer(policy, cache, progress, fetcher) as bringer:
        found = tuple(_with_filelists(one, bringer) for one in available.repositories)
        return RpmAvailable(found, available.unread)


def _with_filelists(repository: RpmRepository, bringer: Bringer) -> RpmRepository:
    if repository.filelists is None:
        return repository
    path = bringer.bring(repository.filelists, FILELISTS_SUFFIX)
    digest = Digest(f"sha256:{path.name.removesuffix(FILELISTS_SUFFIX)}")
    check_filelists(bringer.cache, digest, repository.filelists.address)
    files = {**repository.files, FILELISTS: Kept(path, digest)}
    return dataclasses.replace(repository, files=files)


class _Desk:
    """Reads repositories one by one; used by several threads."""

    def __init__(self, bringer: Bringer, content: Content, now: datetime) -> None:
        self._bringer, self._cache = bringer, bringer.cache
        self._keyrings = content.planning.keyrings
        self._now, self._progress = now, bringer.progress

    def repository(self, source: Source) -> RpmRepository | Skipped:
        """Read one repository, or say that the image goes on without it."""
        where = f"{source.uri} [{source.suite}]"
        options = Options(source)
        try:
            return self._read(source, options, where)
        except (FeedUnreachable, NotOffered) as error:
            if not options.skip_if_unavailable:
                raise
            return Skipped(source.suite, f"{UNREAD_WHY}: {error}")

    def _read(self, source: Source, options: Options, where: str) -> RpmRepository:
        addresses = folders_of(source, options, self._bringer.policy)
        base, statement = first_of(addresses, self._bringer, "repodata/repomd.xml", REPOMD_LIMIT)
        keys = self._signers(source, options, base, statement, where)
        repomd = read_repomd(statement.content, where)
        policy, folder = self._bringer.policy, self._cache.folder
        check_age(ReleaseFile(date=repomd.date), self._now, policy.max_age_days, where)
        state = FeedState(
            uri=source.uri,
            suite=source.suite,
            digest=sha256_of(statement.content),
            date=f"{repomd.date:%Y-%m-%dT%H:%M:%SZ}" if repomd.date else "",
            signed_by=keys,
            label=source.suite,
        )
        if policy.as_of and not (state.date and state.date <= policy.as_of):
            why = f"it is of {state.date or 'no date'}, and older states of it are not kept"
            raise NotKnownThen(where=where, why=why)
        if not policy.accept_older:
            check_order(find_seen(folder, statement.place), state, where)
        files = {PRIMARY: self._brought(repomd, "primary", base, PRIMARY_SUFFIX)}
        notices: tuple[Notice, ...] = ()
        if "updateinfo" in repomd.parts:
            made = self._brought(repomd, "updateinfo", base, UPDATEINFO_SUFFIX)
            kept = self._cache.place(made.digest, NOTICES_SUFFIX)
            notices = keep_notices(made.path, kept, f"{where}, updateinfo")
            files[NOTICES] = Kept(kept, made.digest)
        if "modules" in repomd.parts:
            made = self._brought(repomd, "modules", base, MODULES_SUFFIX)
            kept = self._cache.place(made.digest, KEPT_SUFFIX)
            keep_modules(made.path, kept, f"{where}, modules")
            files[MODULES] = Kept(kept, made.digest)
        primary = open_primary(self._cache, files[PRIMARY].digest, where)
        keep_seen(folder, statement.place, state, self._now)
        listed = repomd.parts.get("filelists")
        promise = listed.promised(base) if listed else None
        return RpmRepository(source, base, state, primary, files, notices, promise)

    def _brought(self, repomd: Repomd, kind: str, base: str, suffix: str) -> Kept:
        path = self._bringer.bring(repomd.parts[kind].promised(base), suffix)
        return Kept(path, Digest(f"sha256:{path.name.removesuffix(suffix)}"))

    def _signers(
        self, source: Source, options: Options, base: str, statement: Found, where: str
    ) -> tuple[str, ...]:
        """The keys that signed the repository's statement; none where neither the image nor the
        site asks for one.

        Raises: BadSignature, UnknownKey.
        """
        site = signers_of(source.uri, self._bringer.policy)
        if options.repo_gpgcheck == "0" and not site:
            return ()
        signature = self._bringer.find(f"{base}/repodata/repomd.xml.asc", SIGNATURE_LIMIT)
        if signature is None:
            if options.repo_gpgcheck == "signed" and options.gpgcheck and not site:
                return ()  # zypper then believes the packages' own signatures
            who = "site" if site else "image"
            raise BadSignature(where=where, why=f"it is not signed, and the {who} asks for it")
        database = options.repo_gpgcheck == "signed"
        trust = trust_of(source, self._keyrings, site, database=database)
        return verify_detached(statement.content, signature.content, trust, self._now, where).keys


def folders_of(source: Source, options: Options, policy: SitePolicy) -> tuple[str, ...]:
    """The folders that a repository may be read from, in turn.

    A list of mirrors is not asked: it would let a stranger name any address. The site says where
    such a repository lies: a mirror for `repo:` and its name, or its offline folder, in which the
    repository has its own name.

    Raises: SourceRefused.
    """
    if not options.listed:
        return (source.uri, *options.alternatives)
    address = f"repo:{source.suite}"
    if policy.offline or any(mirror.replaces == address for mirror in policy.mirrors):
        return (address,)
    why = f"its address is a list of mirrors, which is not followed: name a mirror for {address}"
    raise SourceRefused(where=source.uri, why=why)


def statement_folders(source: Source, content: Content, policy: SitePolicy) -> tuple[str, ...]:
    """The folders that a repository may be read from, in turn.

    Raises: SourceRefused.
    """
    return tuple(f"{one.rstrip('/')}/" for one in folders_of(source, Options(source), policy))


def trust_of(
    source: Source, keyrings: Iterable[Keyring], site: tuple[str, ...] = (), *, database: bool
) -> Trust:
    """The keys that may sign a repository, or, with those of rpm's own database, its packages;
    `site` are the fingerprints that the site narrows them to.

    Raises: BadSignature when there is no usable key.
    """
    chosen = [
        ring.keys
        for ring in keyrings
        if ring.path in source.signed_by or (database and ring.path.startswith(OF_DATABASE))
    ]
    keys = {key.fingerprint: key for content in chosen for key in read_keys(content)}
    if not keys:
        named = f" in {', '.join(source.signed_by)}" if source.signed_by else ""
        raise BadSignature(where=source.uri, why=f"the image holds no usable key for it{named}")
    return Trust(tuple(keys.values()), site=site)
