"""Which package apt would take where several satisfy a relation, and which relations count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from regild.plan.debian.evr import version_of
from regild.plan.debian.guest import Guest
from regild.plan.debian.loading import UNSTATED, Facts, read_facts
from regild.plan.debian.relations import OR, part_of, parts_of

REQUIRES, RECOMMENDS, SUGGESTS = "REQUIRES", "RECOMMENDS", "SUGGESTS"
CONFLICTS, PROVIDES = "CONFLICTS", "PROVIDES"


class Relations:
    """The relations of the pool's packages, each looked up once for an image."""

    def __init__(self, guest: Guest) -> None:
        import solv

        self.guest, self.pool = guest, guest.shelf.pool
        self._keys = {
            name: getattr(solv, f"SOLVABLE_{name}")
            for name in (REQUIRES, RECOMMENDS, SUGGESTS, CONFLICTS, PROVIDES)
        }
        self._providers: dict[int, list[Any]] = {}
        self._ids: dict[int, set[int]] = {}
        self._facts: dict[int, Facts] = {}

    def of(self, solvable: Any, kind: str) -> Sequence[int]:
        """The relations of one kind that a version has."""
        return [one.id for one in solvable.lookup_deparray(self._keys[kind])]

    def weak(self, solvable: Any) -> Iterator[int]:
        """The relations besides those that must hold that the guest wants satisfied."""
        if self.guest.is_on("APT::Install-Recommends", default=True):
            yield from self.of(solvable, RECOMMENDS)
        if self.guest.is_on("APT::Install-Suggests", default=False):
            yield from self.of(solvable, SUGGESTS)

    def asked(self, solvable: Any) -> Iterator[int]:
        """What a version needs, and what else the guest wants satisfied of it."""
        yield from self.of(solvable, REQUIRES)
        yield from self.weak(solvable)

    def providers(self, relation: int) -> list[Any]:
        """The versions, installed or candidates, that satisfy a relation."""
        found = self._providers.get(relation)
        if found is None:
            found = self._providers[relation] = self.pool.whatprovides(relation)
        return found

    def version(self, identity: int) -> Any:
        """A version by libsolv's number."""
        return self.pool.id2solvable(identity)

    def ids(self, relation: int) -> AbstractSet[int]:
        """libsolv's numbers of the versions that satisfy a relation; perhaps of more versions than
        this image's, so it is for asking which of them are among others."""
        found = self._ids.get(relation)
        if found is None:
            found = self._ids[relation] = {one.id for one in self.providers(relation)}
        return found

    def is_met(self, relation: int, ids: AbstractSet[int]) -> bool:
        """Whether one of some versions satisfies a relation."""
        return not self.ids(relation).isdisjoint(ids)

    def facts(self, solvable: Any) -> Facts:
        """What is said of a version."""
        found = self._facts.get(solvable.id)
        if found is None:
            found = self._facts[solvable.id] = read_facts(solvable.vendor)
        return found

    def is_essential(self, one: Any) -> bool:
        """Whether a package is Essential, Important or Protected: as apt has it, where any version
        is Essential, on offer or installed."""
        before = self.guest.packages.get(one.nameid)
        stated = before is not None and before.now.facts.essential != "-"
        name = one.name.partition(":")[0]
        return stated or name in self.guest.shelf.essential or self.facts(one).essential != "-"

    def choices(self, relation: int) -> Iterator[Any]:
        """The candidates that satisfy a relation, in the order in which apt tries them: upgrades
        of what is installed before new packages, and both in the order of the alternatives."""
        fresh = []
        for alternative in self.alternatives(relation):
            first = self.names(alternative)[0]
            providers = [
                one for one in self.providers(alternative) if not self.guest.is_installed(one)
            ]
            for one in sorted(providers, key=lambda one: self._rank(one, first)):
                if one.nameid in self.guest.packages:
                    yield one
                else:
                    fresh.append(one)
        yield from fresh

    def _rank(self, one: Any, asked: str) -> tuple[Any, ...]:
        """What makes apt prefer one provider to another."""
        facts = self.facts(one)
        title = one.name
        name, _, arch = title.partition(":")
        sibling = facts.multi == "s" and any(
            self.pool.str2id(self.guest.shelf.words.named(name, other)) in self.guest.packages
            for other in self.guest.shelf.words.architectures
        )
        arches = self.guest.shelf.words.architectures
        return (
            not sibling,
            name != asked.partition(":")[0],
            facts.essential != "e",
            facts.essential == "-",
            arches.index(arch) if arch in arches else 0,
            min(facts.priority, UNSTATED - 1),
            -one.id,
        )

    def alternatives(self, relation: int) -> Iterator[int]:
        """The alternatives of a relation; a name and its `virt` count as one."""
        parts = self._parts(relation)
        place = 0
        while place < len(parts):
            text = parts[place]
            place += 1
            if place < len(parts) and parts[place] == f"virt({text})":
                place += 1
                yield self._named(text, with_virtual=True)
            else:
                yield self._named(text, with_virtual=False)

    def named(self, alternative: int) -> int:
        """The id of the name that one alternative asks for."""
        return int(self.pool.str2id(self._parts(alternative)[0].partition(" ")[0]))

    def is_versioned(self, alternative: int) -> bool:
        """Whether one alternative asks for some versions only."""
        return " " in self._parts(alternative)[0]

    def names(self, relation: int) -> list[str]:
        """The names that a relation asks for, in their order."""
        found = (text.partition(" ")[0] for text in self._parts(relation))
        return [name for name in found if not name.startswith("virt(")]

    def told(self, relation: int) -> str:
        """A relation as its package states it."""
        parts = (text.split(" ") for text in self._parts(relation))
        named = (words for words in parts if not words[0].startswith("virt("))
        return " | ".join(
            f"{words[0]} ({words[1]} {version_of(words[2])})" if len(words) == 3 else words[0]
            for words in named
        )

    def rule_told(self, rule: Any) -> str:
        """Why a set of packages cannot be had, from the rule that libsolv failed at."""
        import solv

        kind, one, other = rule.type, rule.solvable, rule.othersolvable
        titled = [
            f"{each.name} {self.facts(each).version}" if each else "" for each in (one, other)
        ]
        asked = self.told(rule.dep.id) if rule.dep else ""
        if kind == solv.Solver.SOLVER_RULE_PKG_NOTHING_PROVIDES_DEP:
            return f"{titled[0]} needs {asked}, which nothing on offer provides"
        if kind == solv.Solver.SOLVER_RULE_PKG_REQUIRES:
            return f"{titled[0]} needs {asked}, which cannot be had"
        if kind == solv.Solver.SOLVER_RULE_PKG_CONFLICTS:
            return f"{titled[0]} excludes {titled[1]}"
        if kind == solv.Solver.SOLVER_RULE_PKG_SAME_NAME:
            return f"{titled[0]} and {titled[1]} cannot be installed together"
        if one is not None and kind in (
            solv.Solver.SOLVER_RULE_UPDATE,
            solv.Solver.SOLVER_RULE_FEATURE,
        ):
            return f"{titled[0]} would have to go"
        return "what it needs is held"

    def _parts(self, relation: int) -> list[str]:
        return parts_of(self.pool.dep2str(relation))

    def _named(self, text: str, with_virtual: bool) -> int:
        if with_virtual:
            named = self.pool.str2id(text)
            return int(self.pool.rel2id(named, self.pool.str2id(f"virt({text})"), OR))
        return part_of(self.pool, text)
