"""A .deb in which nothing is compressed but what is small, made once for all images that get it.

Most of what dpkg-deb does is to unpack the data archive, and that gives the same bytes for every
image. dpkg takes a data archive without compression as it takes any other.
Source: deb(5) of dpkg.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Final

import msgspec
from msgspec.structs import replace

from regild.errors import DiskFull, InputError, Malformed
from regild.feeds.cache import Cache
from regild.feeds.deb import AR_MAGIC, read_members, unpacked
from regild.feeds.kept import keep_made
from regild.host.files import translated
from regild.model.content import Value
from regild.model.digest import Digest, algorithm_of
from regild.model.plan import Archive, Plan, Step

LOOSE_SUFFIX: Final = ".loose-1"
"""What is kept in the cache beside a package file's digest: what was made of it."""
MAKING_SUFFIX: Final = ".loosening"
LOOSE_BYTES_MAX: Final = 2 << 30
"""What would be larger is left compressed; a kernel takes a twentieth."""
PIECE_BYTES: Final = 1 << 20
DATA: Final = "data.tar"
_SIZE_AT: Final = 48
"""Where a member's header has its size: ten digits (ar(5))."""


class Loose(Value, frozen=True):
    """The digest and size of a file that is kept under that digest."""

    digest: Digest
    bytes: int


def loosen_plan(
    plan: Plan, files: Mapping[Digest, Path], cache: Path
) -> tuple[Plan, dict[Digest, Digest], dict[Digest, Path]]:
    """A plan whose packages of dpkg are named as they are given to a guest, with the new digests by
    the old ones, and all files by the new.

    `files` have been held against the plan's digests.

    Raises: Malformed, Truncated, MissingFile, NotPermitted.
    """
    steps: list[Step] = []
    names: dict[Digest, Digest] = {}
    places: dict[Digest, Path] = {}
    for step in plan.steps:
        if step.archive is not None and step.archive.digest in files:
            was = step.archive.digest
            place, archive = _loosened(files[was], step, step.archive, cache)
            names[was], places[archive.digest] = archive.digest, place
            step = replace(step, archive=archive)
        steps.append(step)
    return replace(plan, steps=tuple(steps)), names, places


def _loosened(path: Path, step: Step, archive: Archive, folder: Path) -> tuple[Path, Archive]:
    """A package file without compression; itself where room is lacking, or where it cannot be read
    here: then the guest's own dpkg judges it."""
    if step.type != "deb" or algorithm_of(archive.digest) != "sha256":
        return path, archive
    cache = Cache(folder)
    kept = cache.place(archive.digest, LOOSE_SUFFIX)
    decoder = msgspec.msgpack.Decoder(Loose)
    for _ in range(2):  # the second time where the file is gone, or damaged
        try:
            kept.parent.mkdir(parents=True, exist_ok=True)
            loose = keep_made(kept, decoder.decode, lambda: _made(path, archive.digest, cache))
        except (DiskFull, InputError):
            return path, archive
        found = cache.find(loose.digest, loose.bytes)
        if found is not None:
            return found, replace(archive, digest=loose.digest, bytes=loose.bytes)
        kept.unlink(missing_ok=True)
    return path, archive


def _made(path: Path, digest: Digest, cache: Cache) -> Loose:
    """Make a package file without compression, and put it into the cache under its own digest."""
    with cache.open_place(digest, MAKING_SUFFIX) as out:
        with translated(path), path.open("rb") as source:
            loosen(source, path, out)
        digest_of, size = hashlib.sha256(), 0
        out.seek(0)
        while piece := out.read(PIECE_BYTES):
            digest_of.update(piece)
            size += len(piece)
        found = Digest("sha256:" + digest_of.hexdigest())
    place = cache.place(found)
    with translated(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        cache.place(digest, MAKING_SUFFIX).rename(place)
    return Loose(found, size)


def loosen(source: IO[bytes], path: Path, out: IO[bytes]) -> None:
    """Write a .deb again without compression of its data archive; all else stays as it is.

    Raises: Malformed, Truncated, TooLarge.
    """
    out.write(AR_MAGIC)
    for name, header, member in read_members(source, path):
        is_data = name.startswith(DATA)
        reader = unpacked(member, name[len(DATA) :], path, LOOSE_BYTES_MAX) if is_data else member
        begin = out.tell()
        out.write(header)
        size = 0
        while piece := reader.read(PIECE_BYTES):
            out.write(piece)
            size += len(piece)
        out.write(b"\n" * (size % 2))
        if is_data:
            end = out.tell()
            out.seek(begin)
            out.write(DATA.encode().ljust(16) + header[16:_SIZE_AT] + b"%-10d" % size)
            out.seek(end)
        elif size != int(header[_SIZE_AT : _SIZE_AT + 10]):
            raise Malformed(where=str(path), why="a member of it has another size than it says")
