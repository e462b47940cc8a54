"""Relations between Debian packages (deb-control(5), Debian Policy 7) as dependencies of libsolv.

Names carry the architecture: a package of the native one keeps its name, `foo`; one of another is
`foo:i386`. That says all of Multi-Arch in names, which libsolv need not know about:

* a package that is Multi-Arch: foreign provides its name for every architecture of the guest;
* one that is Multi-Arch: allowed provides `foo:any`;
* what it conflicts with, it conflicts with in every architecture;
* copies for several architectures exclude each other, or, with Multi-Arch: same, every version but
  their own. They are meant by `copy(foo)`, which only the packages themselves provide.

What is provided without a version satisfies no relation with one: it is called `virt(V)`, and a
relation without a version asks for `V | virt(V)`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from regild.plan.debian.evr import evr_of

ATOM = re.compile(
    r"\s*([a-zA-Z0-9][a-zA-Z0-9+.-]*)(?::([a-z0-9-]+))?\s*(?:\(\s*(<<|<=|=|>=|>>|<|>)\s*([^\s)]+)\s*\))?"
    r"\s*(?:\[[^\]]*\]\s*)?(?:<[^>]*>\s*)*"
)
"""One name with its architecture and version; restrictions to architectures and profiles, which
only source packages have, are passed over."""

LESS, EQUAL, GREATER = 4, 2, 1
"""libsolv's REL_LT, REL_EQ and REL_GT."""
OPERATORS = {
    "<<": LESS,
    "<=": LESS | EQUAL,
    "<": LESS | EQUAL,  # obsolete; deb-control(5)
    "=": EQUAL,
    ">=": GREATER | EQUAL,
    ">": GREATER | EQUAL,
    ">>": GREATER,
}
OR = 17
"""libsolv's REL_OR."""
SIGNS = {"<": LESS, "=": EQUAL, ">": GREATER}
KNOWN_LIMIT = 200_000


class Atom(NamedTuple):
    """One name of a relation."""

    name: str
    arch: str
    """As it is written: empty, `any`, `native` or an architecture."""
    operator: str
    version: str


def read_clauses(text: str) -> Iterator[tuple[Atom, ...]]:
    """The clauses of a relation field, each with its alternatives; what is no relation is passed
    over, as apt does with a field that it cannot read to the end."""
    for clause in text.split(","):
        found = [ATOM.fullmatch(one) for one in clause.split("|")]
        atoms = [Atom(*(match.groups(default=""))) for match in found if match]
        if len(atoms) == len(found):
            yield tuple(atoms)


class Vocabulary:
    """libsolv's ids for the relations of a guest with some architectures."""

    def __init__(self, pool: Any, architectures: tuple[str, ...]) -> None:
        self.pool = pool
        self.native, *_ = self.architectures = architectures
        self._known: dict[tuple[str, str], int] = {}
        self._forbidden: dict[str, list[tuple[str, list[int]]]] = {}

    def named(self, name: str, arch: str) -> str:
        """A package's name with its architecture."""
        return name if arch in (self.native, "all", "native", "") else f"{name}:{arch}"

    def wanted(self, clause: str, arch: str) -> int:
        """The id of one clause of a positive relation of a package; 0 where it is not readable."""
        key = (clause.strip(), "" if arch == "all" else arch)
        found = self._known.get(key)
        if found is None:
            found = self._wanted(*key)
            self._remember(self._known, key, found)
        return found

    def _wanted(self, clause: str, arch: str) -> int:
        whole = 0
        for alternative in reversed(clause.split("|")):
            match = ATOM.fullmatch(alternative)
            if match is None:
                return 0
            one = self._one(arch, *match.groups(default=""))
            whole = self.pool.rel2id(one, whole, OR) if whole else one
        return whole

    def _one(self, own: str, name: str, arch: str, operator: str, version: str) -> int:
        """The id of one alternative of a package for the architecture `own`."""
        name = self.named(name, arch or own)
        found: int = self.pool.str2id(name)
        if version:
            return self._with_version(found, operator, version)
        virtual = self.pool.str2id(f"virt({name})")
        return int(self.pool.rel2id(found, virtual, OR))

    def _with_version(self, name: int, operator: str, version: str) -> int:
        evr = self.pool.str2id(evr_of(version))
        return int(self.pool.rel2id(name, evr, OPERATORS[operator]))

    def forbidden(self, clause: str, own: str) -> list[int]:
        """The ids of one clause of a negative relation of a package with the name `own`, which
        does not exclude itself or its copies for other architectures."""
        found = self._forbidden.get(clause)
        if found is None:
            found = [(atom.name, [*self._negative(atom)]) for (atom, *_) in read_clauses(clause)]
            self._remember(self._forbidden, clause, found)
        return [one for name, ids in found if name != own for one in ids]

    def _negative(self, atom: Atom) -> Iterator[int]:
        for arch in self.architectures if atom.arch in ("", "any") else (atom.arch,):
            name = self.named(atom.name, arch)
            found = self.pool.str2id(name)
            if atom.version:
                yield self._with_version(found, atom.operator, atom.version)
            else:
                yield found
                yield self.pool.str2id(f"virt({name})")

    @staticmethod
    def _remember(known: dict[Any, Any], key: Any, value: Any) -> None:
        if len(known) >= KNOWN_LIMIT:
            known.clear()
        known[key] = value


def parts_of(text: str) -> list[str]:
    """The alternatives of a relation as libsolv tells it."""
    return (text[1:-1] if text.startswith("(") else text).split(" or ")


def part_of(pool: Any, part: str) -> int:
    """libsolv's id of one alternative that it told."""
    name, _, rest = part.partition(" ")
    found: int = pool.str2id(name)
    if not rest:
        return found
    sign, _, evr = rest.partition(" ")
    return int(pool.rel2id(found, pool.str2id(evr), sum(SIGNS[one] for one in sign)))
