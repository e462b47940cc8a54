"""Read an image's apk repositories: a signed APKINDEX for each (apk-tools, "APKINDEX format";
apk-keys(5)).

The file is gzip members one after the other: first a tar of signatures, each named after its key,
then the index; a signature is over the second one as it is packed.
"""

from __future__ import annotations

import io
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from regild.errors import (
    BadSignature,
    Malformed,
    NotOffered,
    PlanError,
    TooLarge,
    Truncated,
    UnknownKey,
)
from regild.feeds.bring import Bringer, open_bringer, sources_of
from regild.feeds.policy import SitePolicy, looked_in
from regild.feeds.release import ReleaseFile
from regild.feeds.seen import check_age, check_order, find_seen, keep_seen
from regild.host.fetch import Fetcher
from regild.model.apk_blocks import Block, read_blocks, read_relations
from regild.model.content import Content, Keyring, Source
from regild.model.digest import Digest, sha256_of
from regild.model.plan import Archive, FeedState, Skipped
from regild.model.progress import Progress
from regild.model.release import IndexFile, Notice, Release
from regild.model.versions import apk_key

PACKED_LIMIT = 64 << 20
INDEX_LIMIT = 256 << 20
"""Unpacked; Alpine's largest has 12 million bytes."""
SIGNATURES_LIMIT = 1 << 20
INDEX_SUFFIX = ".apkindex"
FORM = "apk"
THREADS = 4
KINDS = {".SIGN.RSA.": "SHA1", ".SIGN.RSA256.": "SHA256"}
"""How a signature's name begins, and the hash that it is made with. Alpine's own are of SHA-1 to
this day: its keys sign nothing else, and no second preimage of SHA-1 is known."""
DIGESTS = {"Q1": ("sha1", 20), "Q2": ("sha256", 32)}


@dataclass(frozen=True, slots=True)
class ApkRepository:
    """One source of the image, as it was believed."""

    source: Source
    address: str
    state: FeedState
    path: Path
    digest: Digest
    blocks: dict[str, tuple[Block, ...]]
    """What it offers, by name."""


@dataclass(frozen=True, slots=True)
class ApkAvailable:
    """What can be had from an image's apk repositories."""

    repositories: tuple[ApkRepository, ...]

    @property
    def feeds(self) -> tuple[FeedState, ...]:
        """Each repository's address, date, digest and signing keys, in the image's order."""
        return tuple(repository.state for repository in self.repositories)

    @property
    def unread(self) -> tuple[Skipped, ...]:
        """Nothing: what cannot be read is an error."""
        return ()

    @property
    def indexes(self) -> tuple[IndexFile, ...]:
        """The verified indexes in the order of the image's sources; `suite` is their tag."""
        return tuple(
            IndexFile(
                str(one.path), one.digest, one.source.uri, place, FORM, suite=one.source.suite
            )
            for place, one in enumerate(self.repositories)
        )

    def find_release(self, name: str, version: str, arch: str) -> Release | None:
        """One version of a package, from the first repository that has it.

        Raises: Malformed when the index's entry is.
        """
        for repository in self.repositories:
            for block in repository.blocks.get(name, ()):
                if block["V"] == version:
                    return _release(repository, block)
        return None

    def find_newest(self, name: str, arch: str) -> Release | None:
        """The newest version of a package that any repository without a tag offers.

        Raises: Malformed when the index's entry is.
        """
        rows = [one.blocks.get(name, ()) for one in self.repositories if not one.source.suite]
        versions = [block["V"] for row in rows for block in row]
        newest = max(versions, key=apk_key, default="")
        return self.find_release(name, newest, arch) if newest else None

    def notices(self, name: str, was: str, becomes: str) -> Iterator[Notice]:
        """None: repositories of apk hold no advisories."""
        yield from ()


def refresh(
    content: Content,
    policy: SitePolicy,
    cache: Path,
    now: datetime,
    progress: Progress,
    fetcher: Fetcher | None = None,
) -> ApkAvailable:
    """What the image's own apk repositories offer now.

    Raises: PlanError when the image names no source, SourceRefused, FeedUnreachable, NotOffered,
    BadSignature, UnknownKey, Expired, RolledBack, Truncated, Malformed, TooLarge.
    """
    sources = sources_of(content, "apk")
    if not content.planning.architectures:
        raise PlanError(where="the image", why="it names no architecture")
    with (
        open_bringer(policy, cache, progress, fetcher) as bringer,
        ThreadPoolExecutor(THREADS) as threads,
    ):
        found = threads.map(lambda one: _read(one, content, bringer, now), sources)
        return ApkAvailable(tuple(found))


def statement_folders(source: Source, content: Content, policy: SitePolicy) -> tuple[str, ...]:
    """The folder that the index of a source lies in: that of the image's architecture."""
    return tuple(f"{_address(source, one)}/" for one in content.planning.architectures[:1])


def _address(source: Source, architecture: str) -> str:
    return f"{source.uri.rstrip('/')}/{architecture}"


def _read(source: Source, content: Content, bringer: Bringer, now: datetime) -> ApkRepository:
    address = _address(source, content.planning.architectures[0])
    uri = f"{address}/APKINDEX.tar.gz"
    found = bringer.find(uri, PACKED_LIMIT)
    if found is None:
        why = f"it is not to be found in {looked_in(address, bringer.policy)}"
        raise NotOffered(where=uri, why=why)
    index, keys = verify_index(found.content, content.planning.keyrings, uri)
    text, made = unpack_index(index, uri)
    blocks: dict[str, list[Block]] = {}
    for block in read_blocks(text.decode(errors="replace"), uri):
        blocks.setdefault(block["P"], []).append(block)
    policy, cache = bringer.policy, bringer.cache
    check_age(ReleaseFile(date=made), now, policy.max_age_days, uri)
    state = FeedState(
        uri=source.uri,
        suite=source.suite,
        digest=sha256_of(found.content),
        date=f"{made:%Y-%m-%dT%H:%M:%SZ}" if made else "",
        signed_by=keys,
    )
    if not policy.accept_older:
        check_order(find_seen(cache.folder, found.place), state, uri)
    digest = sha256_of(text)
    if cache.find(digest, len(text), INDEX_SUFFIX) is None:
        with cache.open_place(digest, INDEX_SUFFIX) as file:
            file.write(text)
    keep_seen(cache.folder, found.place, state, now)
    path = cache.place(digest, INDEX_SUFFIX)
    rows = {name: tuple(row) for name, row in blocks.items()}
    return ApkRepository(source, address, state, path, digest, rows)


def verify_index(
    packed: bytes, keyrings: Sequence[Keyring], where: str
) -> tuple[bytes, tuple[str, ...]]:
    """The packed index behind its signatures, and the names of the keys that signed it.

    Raises: BadSignature, UnknownKey, Malformed, Truncated, TooLarge.
    """
    head, rest = first_member(packed, SIGNATURES_LIMIT, where)
    keys = {PurePosixPath(one.path).name: one.keys for one in keyrings}
    signed = [
        (kind, name.removeprefix(kind), content)
        for name, content, _ in plain_members(head, where)
        for kind in KINDS
        if name.startswith(kind)
    ]
    if not signed or not rest:
        raise BadSignature(where=where, why="it is not signed")
    known = [one for one in signed if one[1] in keys]
    if not known:
        named = ", ".join(name[:80] for _, name, _ in signed[:4])
        raise UnknownKey(where=where, why=f"it is signed by {named}")
    good = [name for kind, name, made in known if _is_good(keys[name], made, rest, KINDS[kind])]
    if not good:
        raise BadSignature(where=where, why=f"its content is not what {known[0][1]} signed")
    return rest, tuple(sorted(set(good)))


def _is_good(key: bytes, signature: bytes, content: bytes, algorithm: str) -> bool:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        public = load_pem_public_key(key)
        if not isinstance(public, RSAPublicKey):
            return False
        hasher = hashes.SHA256() if algorithm == "SHA256" else hashes.SHA1()  # noqa: S303 - see KINDS
        public.verify(signature, content, PKCS1v15(), hasher)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True


def first_member(packed: bytes, limit: int, where: str) -> tuple[bytes, bytes]:
    """What the first gzip member holds, and the bytes behind it.

    Raises: Malformed, Truncated, TooLarge.
    """
    machine = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        plain = machine.decompress(packed, limit + 1)
    except zlib.error as error:
        raise Malformed(where=where, why=f"it is no gzip: {error}") from error
    if len(plain) > limit:
        raise TooLarge(where=where, why=f"it unpacks to more than {limit} bytes")
    if not machine.eof:
        raise Truncated(where=where, why="the compressed data ends early")
    return plain, machine.unused_data


def unpack_index(packed: bytes, where: str) -> tuple[bytes, datetime | None]:
    """The text of a packed index, and when it was made.

    Raises: Malformed, Truncated, TooLarge.
    """
    plain, rest = first_member(packed, INDEX_LIMIT, where)
    if rest.strip(b"\0"):
        raise Malformed(where=where, why="something stands behind the index")
    for name, content, made in plain_members(plain, where):
        if name == "APKINDEX":
            return content, datetime.fromtimestamp(made, UTC) if 0 < made < 1 << 35 else None
    raise Malformed(where=where, why="it holds no APKINDEX")


def plain_members(plain: bytes, where: str) -> Iterator[tuple[str, bytes, int]]:
    """Name, content and time of the plain files of a tar, which may lack its end."""
    try:
        with tarfile.open(fileobj=io.BytesIO(plain), mode="r:", ignore_zeros=False) as archive:
            for member in archive:
                if member.issparse():
                    raise Malformed(where=where, why="a file in it is stored with holes")
                file = archive.extractfile(member) if member.isreg() else None
                if file is not None:
                    yield member.name, file.read(), int(member.mtime)
    except (tarfile.TarError, ValueError, OverflowError, OSError) as error:
        raise Malformed(where=where, why=f"it is no tar: {error}") from error


def _release(repository: ApkRepository, block: Block) -> Release:
    name, version = block["P"], block["V"]
    file = f"{name}-{version}.apk"
    return Release(
        name=name,
        version=version,
        arch=block.get("A", ""),
        archive=Archive(
            uri=f"{repository.address}/{file}",
            name=file,
            digest=read_digest(block.get("C", ""), repository.address),
            bytes=_number(block, "S"),
        ),
        source=block.get("o", name),
        source_version=version,
        installed_kib=-(-_number(block, "I") // 1024),
        needs=tuple(one[1] for one in read_relations(block.get("D", "")) if not one[0]),
        provides=tuple(one[1] for one in read_relations(block.get("p", ""))),
        suite=repository.source.suite or repository.source.uri.rstrip("/").rpartition("/")[2],
    )


def read_digest(text: str, where: str) -> Digest:
    """What an index says of a package's control part: `Q1` and its SHA-1, or `Q2` and its SHA-256,
    in base64. The control part holds the SHA-256 of everything else.

    Raises: Malformed.
    """
    import base64
    import binascii

    algorithm, size = DIGESTS.get(text[:2], ("", 0))
    try:
        content = base64.b64decode(text[2:], validate=True)
    except (binascii.Error, ValueError):
        content = b""
    if not size or len(content) != size:
        raise Malformed(where=where, why=f"{text[:60]!r} is no digest of a package")
    return Digest(f"{algorithm}:{content.hex()}")


def _number(block: Block, letter: str) -> int:
    text = block.get(letter, "0")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0
