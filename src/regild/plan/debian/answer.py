"""A question about one image, answered: the packages that change, what is kept back, and why."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

from regild.errors import Unsolvable
from regild.plan.debian.choice import Relations
from regild.plan.debian.decide import Aim, Decision
from regild.plan.debian.guest import Guest, Installed, seat
from regild.plan.debian.loading import read_facts
from regild.plan.debian.near import (
    Near,
    NearShelf,
    Unreadable,
    find_near,
    keep_near,
    nothing_of,
    read_near,
)
from regild.plan.debian.plain import NotPlain, Plain, seat_among
from regild.plan.debian.seen import seen_for
from regild.plan.debian.settings import is_on, read_settings
from regild.plan.debian.shelf import Shelf, Version
from regild.plan.solver import Move, Request, Transaction

GROWTHS_LIMIT = 3
"""How often what is near grows for one process, whose images then are too unlike."""


class Shelves:
    """What some indexes offer: the part that images reach as long as that is enough, then all."""

    def __init__(self, request: Request) -> None:
        self._indexes = request.indexes
        self._architectures = request.planning.architectures or ("amd64",)
        self._near: NearShelf | None = None
        self._all: Shelf | None = None
        self._growths = 0

    def shelf_for(self, request: Request) -> Shelf:
        """Where an image is decided.

        Raises: Malformed, TooLarge.
        """
        if self._all is None and self._indexes and not _takes_suggested(request):
            near = self._near or self._kept()
            names = _names(near, request)
            if near.holds(names) or self._grow(names, near):
                return self._near or near
        if self._all is None:
            self._near, self._all = None, Shelf(self._indexes, self._architectures)
        return self._all

    def _kept(self) -> NearShelf:
        """What earlier questions needed; nothing where this libsolv cannot read that."""
        try:
            return self._opened(read_near(self._indexes, self._architectures))
        except Unreadable:
            return self._opened(nothing_of(self._indexes))

    def _opened(self, near: Near) -> NearShelf:
        self._near = NearShelf(self._indexes, self._architectures, near)
        return self._near

    def _grow(self, names: set[str], before: NearShelf) -> bool:
        """Take in what some names lead to; whether that is near enough."""
        self._growths += 1
        where = (before.stated, self._indexes, self._architectures)
        near = None
        if self._growths <= GROWTHS_LIMIT:
            near = find_near(*where, names | before.names_held) or find_near(*where, names)
        if near is not None:
            keep_near(near, self._indexes, self._architectures)
            self._opened(near).stated = before.stated
        return near is not None


def _takes_suggested(request: Request) -> bool:
    """Whether the image's apt installs what is only suggested, which may be anything."""
    return is_on(read_settings(request.planning.settings), "APT::Install-Suggests", default=False)


def _names(shelf: Shelf, request: Request) -> set[str]:
    """The names that an image's packages have, need and recommend."""
    seen = seen_for(shelf)
    stanzas = map(seen.stanza, request.planning.status.split("\n\n"))
    return {name for one in stanzas if one for name in seen.names(one.solvable)}


def open_shelf(request: Request) -> Shelves:
    """Load what a request offers, as far as it is needed.

    Raises: Malformed, TooLarge.
    """
    return Shelves(request)


def answer(shelves: Shelves, request: Request) -> Transaction:
    """What changes in an image.

    Raises: Unsolvable, PlanError, Malformed.
    """
    shelf = shelves.shelf_for(request)
    if (guest := seat_among(seen_for(shelf), request)) is not None:
        with contextlib.suppress(NotPlain):
            return _decided(guest, request, Plain)
    guest = seat(shelf, request)
    try:
        return _decided(guest, request, Decision)
    finally:
        guest.close()


def _decided(guest: Guest, request: Request, decide: type[Decision]) -> Transaction:
    locked = frozenset(_locked(guest, request.holds))
    wishes = tuple(_wishes(guest, request, locked))
    full = request.mode == "full"
    completing = full and request.only is None
    aim = Aim(full, wishes, locked, request.planning.auto, request.autoremove, completing)
    decision = decide(guest, aim)
    if broken := decision.broken():
        raise Unsolvable(where="the image", why="; ".join(_told_broken(decision.relations, broken)))
    ids = decision.reach()
    swept, reasons = decision.swept, {}
    for one in guest.packages.values():
        name = one.title.partition(":")[0]
        if one.now.id not in ids and not (one.candidate and one.candidate.id in ids):
            reasons[name] = decision.why_removed(one, ids)
        elif one.now.solvable.nameid in {guest.shelf.pool.id2solvable(i).nameid for i in swept}:
            reasons[name] = UNNEEDED_WHY
    kept = [one for one in wishes if one.candidate and one.now.id in ids]
    for one in kept[:TOLD_LIMIT]:
        if why := decision.why_not(one):
            reasons[one.title.partition(":")[0]] = why
    left = {one.title.partition(":")[0]: one.left for one in _left(guest, request, locked, ids)}
    reasons |= left
    names = sorted({one.title.partition(":")[0] for one in kept} | left.keys())
    ids -= swept
    moves, marks = tuple(_moves(guest, ids)), decision.automatic.marks(ids)
    return Transaction(moves, tuple(names), reasons, marks=marks if moves else ())


UNNEEDED_WHY = "it was installed for others only, and nothing needs it any more"
TOLD_LIMIT = 20
"""Upgrades that were not taken and are explained; each is a question of its own."""


def _locked(guest: Guest, holds: Iterable[str]) -> Iterator[int]:
    """The titles of what stays as it is: the image's own holds and those that were asked for."""
    asked = frozenset(holds)
    for nameid, one in guest.packages.items():
        if one.hold or one.title in asked or one.title.partition(":")[0] in asked:
            yield nameid


def _wishes(guest: Guest, request: Request, locked: frozenset[int]) -> Iterator[Installed]:
    for nameid, one in sorted(guest.packages.items(), key=lambda pair: pair[1].title):
        wanted = one.is_security or request.mode != "security"
        if request.only is not None and one.title.partition(":")[0] not in request.only:
            continue
        if one.candidate and wanted and nameid not in locked:
            yield one


def _left(
    guest: Guest, request: Request, locked: frozenset[int], ids: frozenset[int]
) -> Iterator[Installed]:
    """What stays as it is although something newer is on offer, without being a wish at all."""
    for nameid, one in guest.packages.items():
        name = one.title.partition(":")[0]
        asked = request.only is None or name in request.only
        if one.left and asked and nameid not in locked and one.now.id in ids:
            yield one


def _told_broken(
    relations: Relations, broken: Iterable[tuple[Installed, str, int]]
) -> Iterator[str]:
    for _, (one, kind, relation) in zip(range(3), broken, strict=False):
        yield f"{one.title} : {kind}: {relations.told(relation)}"


def _moves(guest: Guest, ids: frozenset[int]) -> Iterator[Move]:
    """The steps from what is installed to what is decided."""
    shelf = guest.shelf
    for one in guest.packages.values():
        if one.now.id in ids:
            continue
        name = one.title.partition(":")[0]
        after = one.candidate if one.candidate and one.candidate.id in ids else None
        if after is None:
            yield Move("remove", name, one.now.facts.arch, one.now.facts.version)
        else:
            yield _move(guest, name, after, one.now.facts.version)
    for identity in sorted(ids):
        solvable = shelf.pool.id2solvable(identity)
        if solvable.nameid not in guest.packages:
            place = shelf.place_of[solvable.repo.id]
            version = Version(solvable, read_facts(solvable.vendor), (place,), identity)
            yield _move(guest, solvable.name.partition(":")[0], version, "")


def _move(guest: Guest, name: str, after: Version, was: str) -> Move:
    facts = after.facts
    origin = ", ".join(guest.shelf.indexes[place].where for place in after.places)
    return Move("upgrade" if was else "install", name, facts.arch, was, facts.version, origin)
