"""The part of what is on offer that images can reach, kept by itself.

Deciding follows what packages need and recommend. Beginning with the names that an image's packages
have and ask for, that leads to a set of names with everything that provides them; what lies outside
can come into no transaction, whatever versions the image has. Of 66,000 packages of bookworm a
small server reaches 1,080, which libsolv loads in 2 ms in place of 60, and finds in as little.

Every image whose packages have and ask for names of the set only is decided within it; another one
is decided among all that is on offer, and what it reaches is added to what is kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from regild.errors import HostError
from regild.host.files import open_new
from regild.model.content import Value
from regild.model.release import IndexFile
from regild.plan.debian.relations import parts_of, relation_of
from regild.plan.debian.seen import seen_for
from regild.plan.debian.shelf import Note, Shelf

FORM = 1
"""Raised whenever the same packages would be kept differently."""
NAMES_LIMIT = 20_000
"""Names of a set that is worth keeping."""
COPIED = ("REQUIRES", "RECOMMENDS", "SUGGESTS", "PROVIDES", "CONFLICTS")


class Near(Value, frozen=True):
    """A set of names, and of each index the packages that provide them."""

    names: tuple[str, ...]
    repositories: tuple[bytes, ...]
    """In libsolv's form."""
    repeated: tuple[tuple[str, ...], ...]
    """Of each index, the names that it offers more than one version of."""


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """How it lies in the cache."""

    checksum: int
    """CRC-32 of the rest: against decay, not against malice; the folder is the user's own."""
    near: bytes


def near_shelf(indexes: Sequence[IndexFile], architectures: tuple[str, ...]) -> NearShelf | None:
    """What is kept of some indexes, if there is any and it is whole."""
    if not indexes:
        return None
    try:
        kept = msgspec.msgpack.decode(_place(indexes, architectures).read_bytes(), type=Kept)
        if zlib.crc32(kept.near) != kept.checksum:
            return None
        near = msgspec.msgpack.decode(kept.near, type=Near)
    except (OSError, msgspec.DecodeError):
        return None
    return NearShelf(indexes, architectures, near)


class NearShelf(Shelf):
    """The repositories of some indexes, as far as images reach."""

    def __init__(
        self, indexes: Sequence[IndexFile], architectures: tuple[str, ...], near: Near
    ) -> None:
        self.near, self.asked = near, frozenset(near.names)
        super().__init__(indexes, architectures)

    def _load(self, place: int) -> tuple[Any, Note]:
        repo = self.pool.add_repo(self.indexes[place].where)
        content = self.near.repositories[place]
        if content and not repo.add_solv(_stream(content)):
            raise HostError(where="the cache", why="libsolv cannot read what it wrote itself")
        return repo, Note(len(content), 0, self.near.repeated[place])

    def holds(self, names: Iterable[str]) -> bool:
        """Whether all that provides some names is here, and all that this leads to."""
        return self.asked.issuperset(names)


def keep_near(shelf: Shelf, names: Iterable[str]) -> None:
    """Keep what some names lead to, where that is worth it."""
    architectures = shelf.words.architectures
    before = near_shelf(shelf.indexes, architectures)
    reached, ids = _reached(shelf, (*names, *(before.asked if before else ())))
    if len(reached) > NAMES_LIMIT:
        reached, ids = _reached(shelf, names)
    if len(reached) > NAMES_LIMIT:
        return
    repositories, repeated = zip(*_copies(shelf, ids), strict=True)
    content = msgspec.msgpack.encode(Near(tuple(sorted(reached)), repositories, repeated))
    with contextlib.suppress(HostError), open_new(_place(shelf.indexes, architectures)) as file:
        file.write(msgspec.msgpack.encode(Kept(zlib.crc32(content), content)))


def _reached(shelf: Shelf, names: Iterable[str]) -> tuple[set[str], set[int]]:
    """All names that some names lead to, and the numbers of the packages that provide them."""
    shelf.clean()
    todo = list(names)
    reached, ids, seen = set(todo), set[int](), seen_for(shelf)
    while todo:
        for one in shelf.pool.whatprovides(shelf.pool.str2id(todo.pop())):
            if one.id >= shelf.end or one.id in ids:
                continue
            ids.add(one.id)
            fresh = seen.names(one) - reached
            reached |= fresh
            todo += fresh
    return reached, ids


def _copies(shelf: Shelf, ids: set[int]) -> Iterator[tuple[bytes, tuple[str, ...]]]:
    """Of each index some packages in libsolv's form, in their order, and the names of those that
    it offers more than one version of."""
    import solv

    keys = [getattr(solv, f"SOLVABLE_{kind}") for kind in COPIED]
    pool = solv.Pool()
    pool.setarch("x86_64")
    known: dict[int, int] = {}
    for repo in shelf.repos:
        copy = pool.add_repo(repo.name)
        times: dict[str, int] = {}
        for one in repo.solvables if repo.nsolvables else ():
            if one.id in ids:
                times[one.name] = times.get(one.name, 0) + 1
                _copy(shelf.pool, one, copy, keys, known)
        copy.internalize()
        yield _written(copy) if times else b"", tuple(sorted(n for n in times if times[n] > 1))


def _copy(pool: Any, one: Any, repo: Any, keys: Iterable[int], known: dict[int, int]) -> None:
    """Add a package to a repository of another pool."""
    copy = repo.add_solvable()
    copy.name, copy.evr, copy.arch, copy.vendor = one.name, one.evr, one.arch, one.vendor
    for key in keys:
        for relation in one.lookup_deparray(key):
            if relation.id not in known:
                parts = parts_of(pool.dep2str(relation.id))
                known[relation.id] = relation_of(repo.pool, parts)
            copy.add_deparray(key, known[relation.id])


def _written(repo: Any) -> bytes:
    import solv

    with os.fdopen(os.memfd_create("solv"), "rb") as file:
        stream = solv.xfopen_fd("near.solv", file.fileno(), "w")
        repo.write(stream)
        stream.close()
        file.seek(0)
        return file.read()


def _stream(content: bytes) -> Any:
    """Content as libsolv reads it."""
    import solv

    with os.fdopen(os.memfd_create("solv"), "w+b") as file:
        file.write(content)
        file.seek(0)
        return solv.xfopen_fd("near.solv", file.fileno())


def _place(indexes: Sequence[IndexFile], architectures: tuple[str, ...]) -> Path:
    """Where it is kept: beside the first index, by the digests of all."""
    digests = (str(index.digest) for index in indexes)
    key = hashlib.sha256(" ".join((str(FORM), *architectures, *digests)).encode()).hexdigest()[:16]
    return Path(f"{indexes[0].path}.{key}.near")
