"""Which packages count as installed for others only, and how a change moves that (apt-mark(8)).

A new package does, what is installed as the image says. Two settings of apt move it: what a removed
package of one of APT::Never-MarkAuto-Sections (metapackages) asks for is from then on wished for by
itself, also where it is removed for a while only; and a package that becomes one of
APT::Move-Autobit-Sections (oldlibs) hands its being wished for to the new packages that it brings.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from functools import cached_property
from typing import Any

from regild.model.plan import Mark
from regild.plan.debian.choice import CONFLICTS, Relations
from regild.plan.debian.guest import Guest, Installed

KEEPING = "APT::Never-MarkAuto-Sections"
MOVING = "APT::Move-Autobit-Sections"


class Automatic:
    """The marks of an image's packages while a change is decided."""

    def __init__(self, guest: Guest, relations: Relations, auto: Iterable[str]) -> None:
        self.guest, self.relations, self._auto = guest, relations, frozenset(auto)
        self._keeping = frozenset(guest.options.get(KEEPING, ()))
        self._moving = frozenset(guest.options.get(MOVING, ()))
        self._changed: dict[int, bool] = {}
        """By title, where that is not what it was before the change."""

    def again(self) -> Automatic:
        """The same marks, to be moved in another way."""
        found = copy.copy(self)
        found._changed = dict(self._changed)
        return found

    def is_auto(self, nameid: int) -> bool:
        """Whether a package counts as installed for others only."""
        found = self._changed.get(nameid)
        return self._was(nameid) if found is None else found

    def _was(self, nameid: int) -> bool:
        one = self.guest.packages.get(nameid)
        return one is None or self._mark(one.title) in self._auto

    def _mark(self, title: str) -> str:
        name, _, arch = title.partition(":")
        return f"{name}:{arch or self.guest.shelf.words.native}"

    @cached_property
    def _now(self) -> frozenset[int]:
        return frozenset(one.now.id for one in self.guest.packages.values())

    def is_kept_for(self, identity: int) -> bool:
        """Whether what a version asks for is wished for once it goes."""
        return bool(self._keeping) and _is_of(self._section(identity), self._keeping)

    def went(self, identity: int) -> bool:
        """A version is removed, if only for a while; whether that moved anything."""
        if not self.is_kept_for(identity):
            return False
        before = dict(self._changed)
        for relation in self.relations.asked(self.relations.version(identity)):
            for other in self.relations.ids(relation) & self._now:
                self._changed[self.relations.version(other).nameid] = False
        return before != self._changed

    def came(self, nameid: int) -> None:
        """A new package is chosen for another one."""
        if self._changed:
            self._changed.pop(nameid, None)

    def hands_on(self, one: Any, ids: AbstractSet[int]) -> bool:
        """Whether a version would hand its being wished for to what it brings: that is looked at
        only where it finds anything that it asks for missing, or something in its way."""
        before = self.guest.packages.get(one.nameid) if self._moving else None
        if before is None or not self._is_moved(before) or one.id == before.now.id:
            return False
        if self.is_auto(one.nameid):
            return False
        return not _is_well(self.relations, one, ids)

    def handed_on(self, one: Any, brought: Iterable[Any]) -> None:
        """A version hands its being wished for to new packages that it has brought."""
        self._changed[one.nameid] = True
        for other in brought:
            self._changed[other.nameid] = False

    def may_hand_on(self, wishes: Iterable[Installed]) -> bool:
        """Whether any of some upgrades would do so if all of them could be had."""
        moved = [one for one in wishes if self._is_moved(one)] if self._moving else ()
        if not moved:
            return False
        goal = {one.now.id for one in wishes}
        ids = {one.candidate.id for one in wishes if one.candidate} | (self._now - goal)
        return any(one.candidate and self.hands_on(one.candidate.solvable, ids) for one in moved)

    def _is_moved(self, one: Installed) -> bool:
        """Whether a package's next version is of a section that the installed one is not of."""
        if one.candidate is None:
            return False
        sections = one.now.facts.section, one.candidate.facts.section
        return sections[0] not in ("-", sections[1]) and (
            _is_of(sections[1], self._moving) and not _is_of(sections[0], self._moving)
        )

    def _section(self, identity: int) -> str:
        version = self.relations.version(identity)
        one = self.guest.packages.get(version.nameid)
        if one is not None and one.now.id == identity:
            return one.now.facts.section
        return self.relations.facts(version).section

    def marks(self, ids: Iterable[int]) -> tuple[Mark, ...]:
        """Of some versions the marks that are not what apt-mark(8) would show anyway: as before,
        and of a new package that it is installed for others."""
        changed, found = self._changed, []
        for nameid in {self.relations.version(one).nameid for one in ids} if changed else ():
            if nameid in changed and changed[nameid] != self._was(nameid):
                name, _, arch = self._mark(self.relations.pool.id2str(nameid)).partition(":")
                found.append(Mark(name, arch, changed[nameid]))
        return tuple(sorted(found, key=lambda one: (one.name, one.arch)))


def _is_well(relations: Relations, one: Any, ids: AbstractSet[int]) -> bool:
    """Whether a version has among others all that it asks for, and nothing in its way."""
    if not all(relations.is_met(each, ids) for each in relations.asked(one)):
        return False
    in_the_way = ((relations.ids(each) & ids) - {one.id} for each in relations.of(one, CONFLICTS))
    return not any(in_the_way)


def _is_of(section: str, sections: AbstractSet[str]) -> bool:
    """Whether a section is one of some, with or without the part of its archive before it."""
    name = section.rpartition("/")[2]
    return section in sections or (name if name != section else f"/{section}") in sections
