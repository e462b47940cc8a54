"""Putting files into the store: pieces that it has are shared, the others go into new packs, and
the catalogue learns of everything in one transaction at the end.

Order, so that a publisher may be killed anywhere: a pack's row stands in the catalogue, as
`writing` by this publisher's claim, before its file is written; files are durable before the last
transaction makes their packs `live` and names the stored files. Whatever a killed publisher left is
taken over by the next one, or collected as garbage when its claim has ended.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from sqlalchemy import ColumnElement, func, insert, or_, select, update

from regild.errors import Busy, LeaseLost
from regild.host.files import translated
from regild.host.shelf import Shelf
from regild.model.digest import Digest
from regild.model.generation import StoredFile
from regild.model.job import Lease
from regild.model.progress import Progress
from regild.store.catalogue import Catalogue, Reading, Writing
from regild.store.leases import check_lease, forget_lease, take_lease
from regild.store.lineage import AT_ONCE, in_parts
from regild.store.map import Entry, cut, write_map
from regild.store.pack import PACK_BYTES, PIECE_BYTES, Pack, PackWriter, name_of
from regild.store.schema import leases, map_packs, maps, packs, pieces

T = TypeVar("T")

CLAIM = "publish:"
CLAIM_SECONDS = 600.0
"""A claim is renewed with every pack; one that is not has a dead publisher, or one that must ask
again before it ends."""
TRIES = 3
"""A pack that was shared may be condemned while a file is read; then its pieces are stored anew."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A file that is to be stored, under the name that it has in its generation."""

    name: str
    path: Path
    seams: tuple[int, ...] = ()
    """Offsets at which it is cut into pieces, besides every 64 KiB."""


@dataclass(slots=True)
class _Claim:
    """What one publisher has done so far."""

    lease: Lease
    written: set[int] = field(default_factory=set)
    """Packs of its own."""
    shared: set[int] = field(default_factory=set)
    """Packs of others that its files need."""


@dataclass(slots=True)
class _File:
    """One file that was read, and the digests of its map and of all its pieces."""

    stored: StoredFile
    map: bytes
    pieces: set[bytes]


def deposit(
    catalogue: Catalogue,
    shelf: Shelf,
    offers: Sequence[Offer],
    actor: str,
    progress: Progress,
    settle: Callable[[Writing, tuple[StoredFile, ...]], T],
    pack_bytes: int = PACK_BYTES,
) -> T:
    """Store some files and, in the same transaction that makes them known, do what `settle` does.

    Raises: MissingFile, NotPermitted, DiskFull, Unreachable, Unanswered; Busy where the store is
    collected again and again meanwhile; what `settle` raises.
    """
    for _ in range(TRIES):
        with _claimed(catalogue, actor) as claim:
            writer = _Depositor(catalogue, shelf, claim, actor, pack_bytes)
            found = [writer.take(offer, progress) for offer in offers]
            needed = writer.finish(found)
            with catalogue.writing(actor) as change:
                forget_lease(change, claim.lease)
                if not _is_whole(change, claim):
                    continue
                for one, packs_of_one in zip(found, needed, strict=True):
                    _know(change, one, packs_of_one)
                _make_live(change, claim, set().union(*needed))
                return settle(change, tuple(one.stored for one in found))
    raise Busy(where=shelf.where, why="what was shared is being collected; try again")


@contextlib.contextmanager
def _claimed(catalogue: Catalogue, actor: str) -> Iterator[_Claim]:
    """A claim of this publisher's own; it ends with the work, or by itself."""
    name = CLAIM + secrets.token_hex(8)
    with catalogue.writing(actor) as change:
        lease = take_lease(change, name, actor, CLAIM_SECONDS)
    if lease is None:
        raise Busy(where=name, why="somebody else has this claim")
    claim = _Claim(lease)
    try:
        yield claim
    except BaseException:
        with catalogue.writing(actor) as change:
            forget_lease(change, claim.lease)
        raise


class _Depositor:
    """Reads files, finds what is new in them and writes that into packs."""

    def __init__(
        self, catalogue: Catalogue, shelf: Shelf, claim: _Claim, actor: str, pack_bytes: int
    ) -> None:
        self._catalogue, self._shelf, self._claim = catalogue, shelf, claim
        self._actor, self._pack_bytes = actor, pack_bytes
        self._open = PackWriter()
        self._at: dict[bytes, int] = {}
        """The row of the pack that holds a piece."""
        self._pending: set[bytes] = set()
        """Pieces in the open pack."""
        with catalogue.writing(actor) as change:
            adopted = _orphans(change, claim.lease)
        for row, name, size in adopted:
            self._adopt(row, name, size)

    def take(self, offer: Offer, progress: Progress) -> _File:
        """Read one file to its end."""
        state, entries, size = hashlib.sha256(), list[Entry](), 0
        held: list[tuple[bytes, bytes]] = []
        with translated(offer.path), offer.path.open("rb") as file:
            progress.step(f"Storing {offer.name}", offer.path.stat().st_size)
            for piece in cut(file, offer.seams, PIECE_BYTES):
                state.update(piece)
                size += len(piece)
                digest = hashlib.sha256(piece).digest()
                entries.append((digest, len(piece)))
                held.append((digest, piece))
                if len(held) == AT_ONCE:
                    self._keep(held)
                    held = []
                progress.advance(len(piece))
        self._keep(held)
        content = write_map(entries)
        map_digest = hashlib.sha256(content).digest()
        self._keep([(map_digest, content)])
        stored = StoredFile(offer.name, Digest("sha256:" + state.hexdigest()), size)
        return _File(stored, map_digest, {map_digest, *(digest for digest, _ in entries)})

    def finish(self, found: Sequence[_File]) -> list[set[int]]:
        """Close the last pack; the packs that each file needs."""
        self._flush()
        needed = [{self._at[digest] for digest in one.pieces} for one in found]
        self._claim.shared = set[int]().union(*needed) - self._claim.written
        return needed

    def _flush(self) -> None:
        """Close the open pack and put it on the shelf, its row first."""
        if self._open.is_empty:
            return
        pack, self._open = self._open.close(), PackWriter()
        with self._catalogue.writing(self._actor) as change:
            row = _announce(change, pack, self._claim.lease)
            self._claim.lease = _renewed(change, self._claim.lease)
        self._shelf.put(pack.name, pack.content)
        self._claim.written.add(row)
        self._at |= {bytes.fromhex(kept.digest): row for kept in pack.kept}
        self._pending.clear()

    def _keep(self, held: Sequence[tuple[bytes, bytes]]) -> None:
        """Keep some pieces: those that the store has are shared."""
        new = {
            digest: piece
            for digest, piece in held
            if digest not in self._at and digest not in self._pending
        }
        with self._catalogue.reading() as view:
            self._at |= _known(view, list(new), self._claim.lease)
        for digest, piece in new.items():
            if digest not in self._at:
                self._open.add(digest, piece)
                self._pending.add(digest)
                if self._open.size >= self._pack_bytes:
                    self._flush()

    def _adopt(self, row: int, name: str, size: int) -> None:
        """Go on with a pack that a dead publisher finished; others stay for the collection."""
        if self._shelf.size(name) == size:
            self._claim.written.add(row)


def _known(view: Reading, digests: Sequence[bytes], lease: Lease) -> dict[bytes, int]:
    """The packs of pieces that may be shared: live, or of the claim's own."""
    found: dict[bytes, int] = {}
    usable = or_(packs.c.state == "live", _mine(lease))
    wanted = select(pieces.c.digest, pieces.c.pack_id).join(packs, packs.c.id == pieces.c.pack_id)
    for part in in_parts(digests):
        rows = view.connection.execute(wanted.where(usable, pieces.c.digest.in_(part)))
        found |= {bytes(row.digest): row.pack_id for row in rows}
    return found


def _announce(change: Writing, pack: Pack, lease: Lease) -> int:
    """Tell the catalogue of a pack that is about to be written; its row."""
    row = {"digest": pack.digest, "bytes": len(pack.content), "state": "writing"}
    row |= {"claim": lease.name, "made": change.now}
    added = insert(packs).values(row).returning(packs.c.id)
    made: int = change.connection.execute(added).scalar_one()
    listed = [
        {
            "digest": bytes.fromhex(kept.digest),
            "pack_id": made,
            "offset": kept.offset,
            "stored": kept.stored,
            "bytes": kept.bytes,
            "method": kept.method,
        }
        for kept in pack.kept
    ]
    change.connection.execute(insert(pieces), listed)
    return made


def _renewed(change: Writing, lease: Lease) -> Lease:
    """A claim for longer.

    Raises: LeaseLost where it had ended: its packs may have been collected.
    """
    check_lease(change, lease)
    until = change.now + timedelta(seconds=CLAIM_SECONDS)
    own = leases.c.name == lease.name
    change.connection.execute(update(leases).where(own).values(until=until))
    return Lease(lease.name, lease.owner, until, lease.token)


def _orphans(change: Writing, lease: Lease) -> list[tuple[int, str, int]]:
    """Take over the packs whose publisher is dead: row, name on the shelf and size of each."""
    alive = select(leases.c.name).where(leases.c.until > change.now)
    dead = (packs.c.state == "writing") & packs.c.claim.not_in(alive)
    rows = change.connection.execute(
        update(packs).where(dead).values(claim=lease.name).returning(packs.c.id)
    )
    ids = [row.id for row in rows]
    found = change.connection.execute(select(packs).where(packs.c.id.in_(ids))).all()
    return [(row.id, name_of(row.digest), row.bytes) for row in found]


def _is_whole(change: Writing, claim: _Claim) -> bool:
    """Whether every pack that is needed is still there to be used.

    Raises: LeaseLost.
    """
    own = _count(change, _mine(claim.lease))
    if own < len(claim.written):
        raise LeaseLost(where=claim.lease.name, why="its packs were collected")
    ids = sorted(claim.shared)
    live = sum(
        _count(change, (packs.c.state == "live") & packs.c.id.in_(part)) for part in in_parts(ids)
    )
    return live == len(ids)


def _count(view: Reading, which: ColumnElement[bool]) -> int:
    wanted = select(func.count()).select_from(packs).where(which)
    return int(view.connection.execute(wanted).scalar_one())


def _mine(lease: Lease) -> ColumnElement[bool]:
    return (packs.c.state == "writing") & (packs.c.claim == lease.name)


def _know(change: Writing, file: _File, needed: set[int]) -> None:
    """Name a stored file in the catalogue; one that is known already stays as it is."""
    known = select(maps.c.digest).where(maps.c.digest == file.stored.digest)
    if change.connection.execute(known).first() is not None:
        return
    row = {"digest": file.stored.digest, "bytes": file.stored.bytes}
    row |= {"piece": file.map, "made": change.now}
    change.connection.execute(insert(maps).values(row))
    needs = [{"map": file.stored.digest, "pack_id": one} for one in sorted(needed)]
    change.connection.execute(insert(map_packs), needs)


def _make_live(change: Writing, claim: _Claim, needed: set[int]) -> None:
    """Packs of this claim that are needed live from now on; the rest is left to the collection."""
    for part in in_parts(sorted(claim.written & needed)):
        own = _mine(claim.lease) & packs.c.id.in_(part)
        change.connection.execute(update(packs).where(own).values(state="live", claim=""))
