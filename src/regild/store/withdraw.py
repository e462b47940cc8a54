"""Getting stored files back, every byte of them, each piece proven by its digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from regild.errors import DigestMismatch, IntegrityError, Malformed, MissingFile, NotListed
from regild.host.files import open_new
from regild.host.shelf import Shelf
from regild.model.digest import Digest
from regild.model.generation import StoredFile
from regild.model.progress import Progress
from regild.store.catalogue import Catalogue, Reading
from regild.store.lineage import in_parts
from regild.store.map import Entry, read_map
from regild.store.pack import Kept, name_of, unpacked
from regild.store.schema import maps, packs, pieces

AHEAD_BYTES = 4 << 20
"""What one reading of a pack takes at most, where the pieces lie one after the other."""
GAP_BYTES = 64 << 10
"""So many bytes that are not needed are read, rather than asking twice."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a piece lies."""

    pack: str
    """Its pack's name on the shelf."""
    kept: Kept


def export_file(
    catalogue: Catalogue, shelf: Shelf, stored: StoredFile, path: Path, progress: Progress
) -> None:
    """Write a stored file, whole, under a path; it appears when all its bytes were proven.

    Raises: NotListed, DigestMismatch, IntegrityError, MissingFile, NotPermitted, DiskFull,
    Unreachable.
    """
    progress.step(f"Writing {path.name}", stored.bytes)
    with open_new(path) as file:
        for piece in read_stored(catalogue, shelf, stored.digest):
            file.write(piece)
            progress.advance(len(piece))


def read_stored(catalogue: Catalogue, shelf: Shelf, digest: Digest) -> Iterator[bytes]:
    """The bytes of a stored file, piece by piece; an error ends them before a wrong byte.

    Raises: NotListed, DigestMismatch, IntegrityError, MissingFile, Unreachable.
    """
    state = hashlib.sha256()
    with catalogue.reading() as view:
        entries = map_of(view, shelf, digest)
    for part in in_parts(entries):
        with catalogue.reading() as view:
            places = find_places(view, [one[0] for one in part])
        for piece in _pieces(shelf, part, places, str(digest)):
            state.update(piece)
            yield piece
    if f"sha256:{state.hexdigest()}" != digest:
        raise DigestMismatch(where=f"stored file {digest}", why="its pieces make another file")


def map_of(view: Reading, shelf: Shelf, digest: Digest) -> tuple[Entry, ...]:
    """The pieces of a stored file.

    Raises: NotListed, IntegrityError.
    """
    found = view.connection.execute(select(maps.c.piece).where(maps.c.digest == digest)).scalar()
    if found is None:
        raise NotListed(where=f"stored file {digest}", why="the store has no such bytes")
    piece = bytes(found)
    places = find_places(view, [piece])
    return read_map(_one(shelf, piece, places.get(piece, ()), str(digest)), str(digest))


def find_places(view: Reading, digests: Sequence[bytes]) -> dict[bytes, list[Place]]:
    """Where some pieces lie, each in one pack or in several."""
    columns = [pieces.c[one] for one in ("digest", "offset", "stored", "bytes", "method")]
    wanted = (
        select(*columns, packs.c.digest.label("pack"))
        .join(packs, packs.c.id == pieces.c.pack_id)
        .where(packs.c.state == "live")
    )
    found: dict[bytes, list[Place]] = {}
    for part in in_parts(list(dict.fromkeys(digests))):
        for row in view.connection.execute(wanted.where(pieces.c.digest.in_(part))):
            digest = bytes(row.digest)
            kept = Kept(digest.hex(), row.offset, row.stored, row.bytes, row.method)
            found.setdefault(digest, []).append(Place(name_of(row.pack), kept))
    return found


def _pieces(
    shelf: Shelf, entries: Sequence[Entry], places: dict[bytes, list[Place]], where: str
) -> Iterator[bytes]:
    """Pieces in their order; neighbours in a pack come with one reading of it."""
    read: dict[bytes, bytes] = {}
    for number, (digest, size) in enumerate(entries):
        if digest not in read:
            read = _read_run(shelf, entries[number:], places)
        piece = read.get(digest)
        if piece is None:
            piece = _one(shelf, digest, places.get(digest, ()), where)
        if len(piece) != size:
            raise IntegrityError(where=where, why=f"piece {digest.hex()[:16]} has another length")
        yield piece


def _read_run(
    shelf: Shelf, entries: Sequence[Entry], places: dict[bytes, list[Place]]
) -> dict[bytes, bytes]:
    """The pieces from the first entry on that lie close together; none of them where the pack
    cannot be read or is damaged, which is then looked at piece by piece."""
    first = places.get(entries[0][0])
    if not first:
        return {}
    pack, begin = first[0].pack, first[0].kept.offset
    end, run = begin, dict[bytes, Kept]()
    for digest, _ in entries:
        one = next((place for place in places.get(digest, ()) if place.pack == pack), None)
        if one is None or not begin <= one.kept.offset <= end + GAP_BYTES:
            break
        end = max(end, one.kept.offset + one.kept.stored)
        run[digest] = one.kept
        if end - begin >= AHEAD_BYTES:
            break
    try:
        content = shelf.read(pack, begin, end - begin)
        return {
            digest: unpacked(content[at : at + kept.stored], kept, pack)
            for digest, kept in run.items()
            if (at := kept.offset - begin) >= 0
        }
    except (Malformed, MissingFile):
        return {}


def _one(shelf: Shelf, digest: bytes, places: Sequence[Place], where: str) -> bytes:
    """One piece, from whichever pack has it whole.

    Raises: IntegrityError, naming the packs that are damaged.
    """
    wrong = []
    for place in places:
        try:
            stored = shelf.read(place.pack, place.kept.offset, place.kept.stored)
            return unpacked(stored, place.kept, place.pack)
        except MissingFile:
            wrong.append(f"{place.pack} is missing")
        except Malformed as error:
            wrong.append(f"{place.pack}: {error.why}")
    why = "; ".join(wrong) or f"no pack holds piece {digest.hex()[:16]}"
    raise IntegrityError(where=f"stored file {where}", why=why)
