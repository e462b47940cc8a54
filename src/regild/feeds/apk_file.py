"""Package files of apk: up to three gzip members one after the other, signatures, control part and
content (apk-tools, apk-v2(5)).

An index names a package by the digest of its control part as it is packed; the control part holds
the SHA-256 of everything behind it.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import IO, NamedTuple, cast

from regild.errors import DigestMismatch, Malformed, PlanMoved, TooLarge
from regild.feeds.apk import ApkAvailable, first_member, plain_members, read_digest
from regild.feeds.shipped import Shipped, ShippedPackage, read_paths
from regild.host.decompress import open_unpacked
from regild.host.files import translated
from regild.model.content import Content
from regild.model.digest import Digest, algorithm_of
from regild.model.plan import Archive, Step

SUFFIX = ".apk"
HEAD_BYTES = 16 << 20
"""Signatures and control part of a package as they are packed; those of Alpine take some KB."""
PART_LIMIT = 8 << 20
UNPACKED_LIMIT = 16 << 30
INFO = ".PKGINFO"
SIGNATURE = ".SIGN."


class ApkFile(NamedTuple):
    """What stands in front of a package's content."""

    control: bytes
    """As it is packed: what the index has the digest of."""
    info: dict[str, str]
    """The fields of `.PKGINFO`; of one that stands there several times, the first."""
    scripts: dict[str, str]
    """Texts by name, such as `.post-install`."""
    content_at: int


def measure(file: IO[bytes], archive: Archive) -> Digest:
    """The digest of a package's control part, once what it says of the content holds.

    Raises: Malformed, Truncated, TooLarge, DigestMismatch.
    """
    where = archive.name
    package = read_head(file, where)
    file.seek(package.content_at)
    found = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # any file reads
    promised = package.info.get("datahash", "")
    if found != promised:
        why = f"its control part promises sha256:{promised} behind it, sha256:{found} found"
        raise DigestMismatch(where=where, why=why)
    algorithm = algorithm_of(archive.digest)
    return Digest(f"{algorithm}:{hashlib.new(algorithm, package.control).hexdigest()}")


def open_package(path: Path) -> ApkFile:
    """A package by its control part; whether it can be believed is not asked.

    Raises: Malformed, Truncated, TooLarge.
    """
    with translated(path), path.open("rb") as file:
        return read_head(file, path.name)


def read_head(file: IO[bytes], where: str) -> ApkFile:
    """Read a package up to its content.

    Raises: Malformed, Truncated, TooLarge.
    """
    head = file.read(HEAD_BYTES + 1)
    rest = head
    for _ in range(2):
        plain, behind = first_member(rest, PART_LIMIT, where)
        if not behind and len(head) > HEAD_BYTES:
            raise TooLarge(where=where, why="its control part is beyond reason")
        texts = {name: content for name, content, _ in plain_members(plain, where)}
        if INFO in texts:
            packed = rest[: len(rest) - len(behind)]
            info = _fields(texts.pop(INFO).decode(errors="replace"))
            scripts = {name: content.decode(errors="replace") for name, content in texts.items()}
            return ApkFile(packed, info, scripts, len(head) - len(behind))
        if not texts or not all(name.startswith(SIGNATURE) for name in texts):
            break
        rest = behind
    raise Malformed(where=where, why="it is no package of apk: it has no .PKGINFO")


def _fields(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, sign, value = line.partition("=")
        if sign and not line.startswith("#"):
            found.setdefault(name.strip(), value.strip())
    return found


def read_entry(
    path: Path, step: Step, content: Content, available: ApkAvailable, now: datetime
) -> str:
    """What the signed index says of a package: the lines that its file was believed by.

    Raises: PlanMoved where file or index tell of another package, Malformed, Truncated, TooLarge.
    """
    info = open_package(path).info
    found = info.get("pkgname", ""), info.get("pkgver", "")
    if found != (step.name, step.becomes):
        raise PlanMoved(where=path.name, why=f"the file is {found[0]}-{found[1]}")
    for repository in available.repositories:
        for block in repository.blocks.get(step.name, ()):
            told = read_digest(block.get("C", ""), repository.address)
            if step.archive is not None and told == step.archive.digest:
                return "".join(f"{letter}:{value}\n" for letter, value in block.items())
    raise PlanMoved(where=step.name, why="the repositories do not offer this file any more")


def read_shipped(path: Path, name: str, arch: str) -> ShippedPackage:
    """Everything that a package file puts into a guest.

    Raises: Malformed, Truncated, TooLarge.
    """
    with translated(path), path.open("rb") as file:
        package = read_head(file, path.name)
        file.seek(package.content_at)
        paths = tuple(_paths(file, path.name))
    return ShippedPackage(name, arch, paths, "apk", "\n".join(package.scripts.values()))


def _paths(file: IO[bytes], where: str) -> Iterator[Shipped]:
    if not file.peek(1):  # type: ignore[attr-defined]  # a buffered reader
        return  # a package of relations alone
    unpacked = open_unpacked(".gz", file, where, UNPACKED_LIMIT)
    try:
        with tarfile.open(fileobj=cast(IO[bytes], unpacked), mode="r|") as archive:
            yield from read_paths(archive, (), where)
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise Malformed(where=where, why=f"its content cannot be read: {error}") from error
