"""Reading all that the store holds and naming what is damaged, and which generations that hurts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Row, select

from regild.errors import IntegrityError, Malformed, MissingFile, NotListed
from regild.host.shelf import Shelf
from regild.model.digest import Digest
from regild.model.progress import Progress
from regild.store.catalogue import Catalogue, Reading
from regild.store.lineage import in_parts
from regild.store.pack import Kept, name_of, read_list, unpacked
from regild.store.schema import files, generations, images, maps, packs, pieces
from regild.store.withdraw import map_of


@dataclass(frozen=True, slots=True)
class Damage:
    """Something of the store that is not what it must be."""

    where: str
    """The pack's or the stored file's name."""
    why: str
    generations: tuple[str, ...] = ()
    """Which cannot be read whole because of it."""


def check_store(
    catalogue: Catalogue, shelf: Shelf, progress: Progress, *, quick: bool = False
) -> tuple[Damage, ...]:
    """Look at every pack and every stored file; `quick` trusts the bytes of packs that have their
    length.

    Raises: Unanswered, NotPermitted, Unreachable.
    """
    with catalogue.reading() as view:
        rows = view.connection.execute(select(packs).where(packs.c.state == "live")).all()
    progress.step("Checking the store", sum(row.bytes for row in rows))
    wrong: list[tuple[str, str]] = []
    lost: set[bytes] = set()
    for row in rows:
        with catalogue.reading() as view:
            why, bad = _pack_damage(view, shelf, row, quick)
            if why:
                lost |= bad - _elsewhere(view, bad, row.id)
        if why:
            wrong.append((name_of(row.digest), why))
        progress.advance(row.bytes)
    with catalogue.reading() as view:
        hurt = _hurt(view, shelf, lost)
        damages = [Damage(name, why, hurt) for name, why in wrong]
        damages += [Damage(*one) for one in _broken_files(view, shelf)]
        damages += _inconsistent(view)
    return tuple(damages)


def unknown_files(catalogue: Catalogue, shelf: Shelf) -> tuple[str, ...]:
    """Files on the shelf that the catalogue does not know; nobody removes them."""
    with catalogue.reading() as view:
        rows = view.connection.execute(select(packs.c.digest))
        known = {name_of(row.digest) for row in rows}
    return tuple(name for name in shelf.names() if name.startswith("packs/") and name not in known)


def _pack_damage(
    view: Reading, shelf: Shelf, row: Row[tuple[object, ...]], quick: bool
) -> tuple[str, set[bytes]]:
    """What is wrong with a pack, and which pieces it therefore does not have."""
    name, kept = name_of(row.digest), _rows_of(view, row.id)
    every = {bytes.fromhex(one.digest) for one in kept}
    size = shelf.size(name)
    if size is None:
        return "it is missing", every
    if quick and size == row.bytes:
        return "", set()
    try:
        content = shelf.read(name, 0, min(size, row.bytes + 1))
    except MissingFile:
        return "it is missing", every
    if hashlib.sha256(content).hexdigest() == row.digest.partition(":")[2]:
        try:
            agrees = set(read_list(content, name)) == set(kept)
        except Malformed as error:
            return error.why, set()
        return ("" if agrees else "its list and the catalogue differ"), set()
    bad = {bytes.fromhex(one.digest) for one in kept if not _is_whole(content, one, name)}
    why = f"it has {size} of {row.bytes} bytes" if size != row.bytes else "its bytes were changed"
    first = ", ".join(sorted(one.hex()[:16] for one in bad)[:3])
    return f"{why}; {len(bad)} of {len(kept)} pieces are damaged" + (
        f" ({first}{', ...' if len(bad) > 3 else ''})" if bad else ""
    ), bad


def _is_whole(content: bytes, kept: Kept, name: str) -> bool:
    try:
        unpacked(content[kept.offset : kept.offset + kept.stored], kept, name)
    except Malformed:
        return False
    return True


def _rows_of(view: Reading, pack: int) -> list[Kept]:
    rows = view.connection.execute(select(pieces).where(pieces.c.pack_id == pack))
    return [
        Kept(bytes(row.digest).hex(), row.offset, row.stored, row.bytes, row.method) for row in rows
    ]


def _elsewhere(view: Reading, digests: set[bytes], pack: int) -> set[bytes]:
    """Those of some pieces that another live pack holds too."""
    wanted = (
        select(pieces.c.digest)
        .join(packs, packs.c.id == pieces.c.pack_id)
        .where(packs.c.state == "live", packs.c.id != pack)
    )
    return {
        bytes(row.digest)
        for part in in_parts(sorted(digests))
        for row in view.connection.execute(wanted.where(pieces.c.digest.in_(part)))
    }


def _hurt(view: Reading, shelf: Shelf, lost: set[bytes]) -> tuple[str, ...]:
    """The generations that need a piece that is lost."""
    if not lost:
        return ()
    found: list[str] = []
    for row in view.connection.execute(select(maps.c.digest, maps.c.piece)).all():
        digest = Digest(row.digest)
        try:
            needed = {bytes(row.piece), *(one for one, _ in map_of(view, shelf, digest))}
        except (IntegrityError, Malformed):
            needed = lost
        if needed & lost:
            found += _generations_of(view, digest)
    return tuple(sorted(set(found)))


def _broken_files(view: Reading, shelf: Shelf) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Stored files whose map cannot be read, or names a piece that no row has."""
    for row in view.connection.execute(select(maps.c.digest)).all():
        digest = Digest(row.digest)
        try:
            entries = map_of(view, shelf, digest)
        except (IntegrityError, Malformed, NotListed) as error:
            yield f"stored file {digest}", str(error), tuple(_generations_of(view, digest))
            continue
        missing = _unlisted(view, [one for one, _ in entries])
        if missing:
            why = f"no pack holds {missing} of its {len(entries)} pieces"
            yield f"stored file {digest}", why, tuple(_generations_of(view, digest))


def _unlisted(view: Reading, digests: Sequence[bytes]) -> int:
    wanted = (
        select(pieces.c.digest)
        .join(packs, packs.c.id == pieces.c.pack_id)
        .where(packs.c.state == "live")
    )
    every = set(digests)
    for part in in_parts(sorted(every)):
        rows = view.connection.execute(wanted.where(pieces.c.digest.in_(part)))
        every -= {bytes(row.digest) for row in rows}
    return len(every)


def _inconsistent(view: Reading) -> list[Damage]:
    """Generations with bytes whose files the store does not know."""
    wanted = (
        select(images.c.name, generations.c.number, files.c.name.label("file"), files.c.digest)
        .join(generations, generations.c.id == files.c.generation_id)
        .join(images, images.c.id == generations.c.image_id)
        .where(generations.c.expired.is_(None))
        .where(files.c.digest.not_in(select(maps.c.digest)))
    )
    return [
        Damage(
            f"stored file {row.digest}",
            "its bytes were never stored",
            (f"{row.name}@{row.number}",),
        )
        for row in view.connection.execute(wanted)
    ]


def _generations_of(view: Reading, digest: Digest) -> list[str]:
    wanted = (
        select(images.c.name, generations.c.number)
        .join(generations, generations.c.image_id == images.c.id)
        .join(files, files.c.generation_id == generations.c.id)
        .where(files.c.digest == digest, generations.c.expired.is_(None))
    )
    return [f"{row.name}@{row.number}" for row in view.connection.execute(wanted)]
