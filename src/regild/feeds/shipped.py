"""What a package file puts into a guest: every path with type, mode, owner, and its content's
digest.

Source: deb(5), deb-conffiles(5) of dpkg. Contents are hashed as they pass and not kept.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO

from msgspec.structs import replace

from regild.errors import Malformed, TooLarge
from regild.feeds.deb import find_control_file, open_archive, read_control
from regild.model.content import Value
from regild.model.digest import Digest
from regild.model.record import Kind

PATHS_MAX = 1_000_000
PIECE_BYTES = 1 << 20
SUM_OF_APK = "APK-TOOLS.checksum.SHA1"
"""The extended header in which a member of a package of apk has its sum (apk-v2(5))."""


class Shipped(Value, frozen=True):
    """One path of a package."""

    path: str
    """Absolute, as the package has it: `/lib/x` also where the guest keeps it in `/usr/lib`."""
    kind: Kind
    mode: int = 0
    """Permission bits with setuid, setgid and sticky (07777)."""
    bytes: int = 0
    digest: Digest | None = None
    """SHA-256 of a file's content."""
    md5: str = ""
    """dpkg keeps this one of configuration files in its status."""
    sha1: str = ""
    """What apk keeps in its database, in hexadecimal digits: of a content or a link's target."""
    user: str = ""
    group: str = ""
    """Names of the owners, as far as the package has any."""
    target: str = ""
    is_roots: bool = True
    """It belongs to root, user and group; other owners are told by names that a guest numbers."""
    is_config: bool = False


class ShippedPackage(Value, frozen=True):
    """A package file of a plan, and everything that it puts into a guest."""

    name: str
    arch: str
    paths: tuple[Shipped, ...]
    type: str = "deb"
    scripts: str = ""
    """The text of its scripts, where they are read with the paths."""


def read_shipped(path: Path, name: str, arch: str) -> ShippedPackage:
    """Everything that a .deb puts into a guest.

    Raises: Malformed, Truncated, TooLarge, MissingFile.
    """
    told = find_control_file(path, "conffiles") or b""
    # A flag such as remove-on-upgrade stands in front of a path that is not shipped.
    config = {line.rstrip() for line in told.decode(errors="replace").splitlines()}
    with open_archive(path, "data.tar") as archive:
        found = tuple(read_paths(archive, config, str(path)))
    return ShippedPackage(name, arch, found)


def read_entry(path: Path, *_: object) -> str:
    """What an index says of a package: its control file. The signed index vouches for the file.

    Raises: as `read_control`.
    """
    return read_control(path)


def read_paths(archive: tarfile.TarFile, config: Collection[str], where: str) -> Iterator[Shipped]:
    """The members of a package's archive; a hard link is the file that it names.

    Raises: TooLarge, Malformed.
    """
    files: dict[str, Shipped] = {}
    for count, member in enumerate(archive):
        if count >= PATHS_MAX:
            raise TooLarge(where=where, why=f"it holds more than {PATHS_MAX} paths")
        path = _absolute(member.name)
        if path == "/":
            continue
        shipped = Shipped(
            path,
            _kind(member),
            mode=member.mode & 0o7777,
            target=member.linkname if member.issym() else "",
            is_roots=member.uid == member.gid == 0,
            is_config=path in config,
            sha1=member.pax_headers.get(SUM_OF_APK, "").lower(),
            user=member.uname,
            group=member.gname,
        )
        if member.islnk():
            shipped = _like(shipped, files.get(_absolute(member.linkname)), where)
        elif member.isfile() and (file := archive.extractfile(member)) is not None:
            shipped = files[path] = _hashed(shipped, file)
        yield shipped


def _absolute(name: str) -> str:
    return "/" + name.removeprefix("./").strip("/")


def _kind(member: tarfile.TarInfo) -> Kind:
    """What a member becomes; what tar has and dpkg has not is taken for a file."""
    if member.isdir():
        return "directory"
    if member.issym():
        return "symlink"
    if member.isfifo():
        return "fifo"
    if member.ischr():
        return "character"
    return "block" if member.isblk() else "file"


def _hashed(shipped: Shipped, file: IO[bytes]) -> Shipped:
    """The same with its content's size and digests."""
    sha256, md5, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    while piece := file.read(PIECE_BYTES):
        sha256.update(piece)
        md5.update(piece)
        size += len(piece)
    digest = Digest("sha256:" + sha256.hexdigest())
    return replace(shipped, bytes=size, digest=digest, md5=md5.hexdigest())


def _like(shipped: Shipped, first: Shipped | None, where: str) -> Shipped:
    """A further name of a file that stands before it in the archive."""
    if first is None:
        raise Malformed(where=where, why=f"{shipped.path} is a hard link to nothing before it")
    same = {"bytes": first.bytes, "digest": first.digest, "md5": first.md5, "sha1": first.sha1}
    return replace(shipped, **same)
