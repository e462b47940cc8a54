"""Which packages nobody needs any more (apt-get(8) autoremove), and which kernels stay.

Needed is what was installed for its own sake, what is on hold, Essential, Important or required,
what the guest's settings name (APT::NeverAutoRemove), and everything that needs, recommends or
suggests lead to from there: of what one source builds, only the newest. Of the kernels the two
newest stay (`plan.debian.kernels`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from itertools import filterfalse
from typing import Any

from regild.model.pattern import posix_patterns
from regild.model.versions import debian_key
from regild.plan.debian.automatic import Automatic
from regild.plan.debian.choice import PROVIDES, RECOMMENDS, REQUIRES, SUGGESTS, Relations
from regild.plan.debian.guest import Guest
from regild.plan.debian.kernels import Kernels

REQUIRED = 1


class Sweep:
    """What goes of a set of versions because nobody needs it."""

    def __init__(
        self,
        guest: Guest,
        relations: Relations,
        automatic: Automatic,
        locked: AbstractSet[int] = frozenset(),
    ) -> None:
        """`locked` are the titles of what stays as it is."""
        self.guest, self.relations = guest, relations
        self.automatic, self.locked = automatic, locked

    def gone(self, ids: frozenset[int], sweeping: bool) -> frozenset[int]:
        """New packages that nobody needs in the end, which are not installed then, and with
        `sweeping` all others.

        apt takes new ones back; but where anything then lacks what it needs or recommends, and
        nothing is to be swept away besides, it installs those again that any package speaks of,
        whether or not this one was what it lacks.
        """
        if not sweeping and all(map(self._is_old, ids)):
            return frozenset()
        gone = self._gone(ids, sweeping)
        if gone and not sweeping:
            _spare(self.relations, ids, gone)
        return frozenset(gone)

    def _gone(self, ids: frozenset[int], sweeping: bool) -> set[int]:
        """What goes, one after another by name: what a package that goes asks for may be wished for
        from then on, and stays with all that it needs if it is not gone before."""
        loose = self._unneeded(ids)
        if not sweeping:
            loose = set(filterfalse(self._is_old, loose))
        if not any(map(self.automatic.is_kept_for, loose)):
            return loose
        gone: set[int] = set()
        for identity in sorted(loose, key=self._name):
            if identity in loose:
                gone.add(identity)
                going = self._is_old(identity) or not sweeping
                if going and self.automatic.went(identity):
                    loose &= self._unneeded(ids - gone)
        return gone - self._led_to(ids - gone, ids)

    def _unneeded(self, ids: frozenset[int]) -> set[int]:
        found = Needs(self.guest, self.relations, ids, self.automatic, self.locked).found()
        return set(ids) - found

    def _led_to(self, rest: Iterable[int], ids: frozenset[int]) -> set[int]:
        """Everything that some versions need of a set; apt ends with an error where it has removed
        any of that."""
        waiting, found = list(rest), set(rest)
        while waiting:
            one = self.relations.version(waiting.pop())
            for relation in self.relations.of(one, REQUIRES):
                if not self.relations.is_met(relation, found):
                    fresh = self.relations.ids(relation) & ids
                    found |= fresh
                    waiting += fresh
        return found

    def _is_old(self, identity: int) -> bool:
        return self.relations.version(identity).nameid in self.guest.packages

    def _name(self, identity: int) -> tuple[str, str]:
        title = str(self.relations.version(identity).name)
        return title.partition(":")[0], title


def _spare(relations: Relations, ids: frozenset[int], loose: set[int]) -> None:
    """Let those stay that are spoken of, first those that others which stay speak of."""
    rest = set(ids - loose)
    asked = {one: set(relations.asked(relations.version(one))) for one in ids}
    if all(relations.is_met(each, rest) for one in rest for each in asked[one]):
        return
    spoken = {name for one in rest for each in asked[one] for name in relations.names(each)}
    while saved := {one for one in loose if not spoken.isdisjoint(_own(relations, one))}:
        loose -= saved
        for one in saved:
            for each in asked[one]:
                spoken.update(relations.names(each))


def _own(relations: Relations, identity: int) -> set[str]:
    """The names that a version has and provides."""
    one = relations.version(identity)
    provided = (relations.pool.dep2str(each) for each in relations.of(one, PROVIDES))
    names = {text.partition(" ")[0] for text in provided}
    return {one.name, *(name.removeprefix("virt(").removesuffix(")") for name in names)}


class Needs:
    """What of some versions is needed."""

    def __init__(
        self,
        guest: Guest,
        relations: Relations,
        ids: frozenset[int],
        automatic: Automatic,
        locked: AbstractSet[int],
    ) -> None:
        self.guest, self.relations, self.ids, self.locked = guest, relations, ids, locked
        self.automatic = automatic
        self.kernels = Kernels(guest, relations, ids)
        settings = guest.options.get("APT::NeverAutoRemove", [])
        self.is_kept = posix_patterns(*settings, *self.kernels.patterns)
        self.kinds = [REQUIRES]
        if guest.is_on("APT::AutoRemove::RecommendsImportant", default=True):
            self.kinds.append(RECOMMENDS)
        if guest.is_on("APT::AutoRemove::SuggestsImportant", default=True):
            self.kinds.append(SUGGESTS)

    def found(self) -> set[int]:
        """Everything that leads on from what stays by itself."""
        waiting = [one for one in self.ids if self._is_root(self.relations.version(one))]
        needed = set(waiting)
        while waiting:
            one = self.relations.version(waiting.pop())
            for relation in (each for kind in self.kinds for each in self.relations.of(one, kind)):
                fresh = self._meant(relation) - needed
                needed |= fresh
                waiting += fresh
        return needed

    def _meant(self, relation: int) -> AbstractSet[int]:
        """The versions that a relation keeps."""
        met = self.relations.ids(relation) & self.ids
        sources = {self.relations.facts(self.relations.version(one)).source for one in met}
        if len(sources) == len(met):
            return met
        found: set[int] = set()
        for alternative in self.relations.alternatives(relation):
            found.update(self._newest(self.relations.ids(alternative) & met))
        return found

    def _newest(self, met: AbstractSet[int]) -> Iterator[int]:
        """Of what one source builds only its newest version, and of kernels those that stay."""
        by_source: dict[str, dict[str, list[int]]] = {}
        for identity in met:
            facts = self.relations.facts(self.relations.version(identity))
            versions = by_source.setdefault(facts.source, {})
            versions.setdefault(facts.source_version, []).append(identity)
        for versions in by_source.values():
            yield from self.kernels.staying(versions[max(versions, key=debian_key)])

    def _is_root(self, one: Any) -> bool:
        """Whether a version stays by itself."""
        before, name = self.guest.packages.get(one.nameid), one.name.partition(":")[0]
        if one.nameid in self.locked or not self.automatic.is_auto(one.nameid):
            return True
        if self.relations.is_essential(one):
            return True
        if before is not None and (before.hold or before.now.facts.priority == REQUIRED):
            return True
        return self.is_kept(name)
