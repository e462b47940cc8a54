"""Packages of apk in libsolv's own words.

libsolv compares versions as rpm does. Every version that one question speaks of is known before it
is asked, so each is given its place in apk's order as a plain number instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from regild.model.apk_blocks import Block, read_relations
from regild.model.versions import apk_key

SIGNS = {"<": 4, "<=": 6, "=": 2, ">=": 3, ">": 1}
"""libsolv's REL_LT, REL_EQ and REL_GT in their combinations."""
OR = 17
"""libsolv's REL_OR."""
NOTHING = "nothing that exists"
ONE_OF = "one of "
"""Before a name: only one package that provides it in a version can be there (apk-package(5))."""


class Words:
    """Relations and packages in one pool."""

    def __init__(self, pool: Any, blocks: Iterable[Block], texts: Iterable[str]) -> None:
        self._pool = pool
        versions: set[str] = set()
        for block in blocks:
            versions.add(block["V"])
            for letter in "Dpi":
                versions |= {one[4] for one in read_relations(block.get(letter, "")) if one[4]}
        for text in texts:
            versions |= {one[4] for one in read_relations(text) if one[4]}
        order = sorted(versions, key=apk_key)
        self._places: dict[str, int] = {}
        for version in order:
            # Versions that compare as equal have one place.
            last = next(reversed(self._places), None)
            same = last is not None and apk_key(last) == apk_key(version)
            self._places[version] = self._places[last] if same and last else len(self._places) + 1
        self._provided: dict[str, set[str]] = {}

    def add(self, repo: Any, block: Block) -> int:
        """Put a package into a repository; its id."""
        import solv

        one = repo.add_solvable()
        one.name, one.arch = block["P"], "noarch"
        one.evr = self._place(block["V"])
        provides = [(block["P"], block["V"])]
        provides += [(name, version) for _, name, _, _, version in self._listed(block, "p")]
        for name, version in provides:
            self._provided.setdefault(name, set()).add(version)
            plain = self._pool.Dep(name)
            mine = plain.Rel(SIGNS["="], self._pool.Dep(self._place(version))) if version else plain
            one.add_deparray(solv.SOLVABLE_PROVIDES, mine)
            if version:
                single = self._pool.Dep(ONE_OF + name)
                one.add_deparray(solv.SOLVABLE_PROVIDES, single)
                one.add_deparray(solv.SOLVABLE_CONFLICTS, single)
        for conflict, name, _, sign, version in self._listed(block, "D"):
            kind = solv.SOLVABLE_CONFLICTS if conflict else solv.SOLVABLE_REQUIRES
            one.add_deparray(kind, self.relation(name, sign, version))
        found: int = one.id
        return found

    def relation(self, name: str, sign: str, version: str) -> Any:
        """A relation in libsolv's words; `~` means every version that begins so."""
        plain = self._pool.Dep(name)
        if not sign or not version:
            return plain
        if "~" in sign:
            return self._fuzzy(plain, version)
        if sign not in SIGNS:
            return self._pool.Dep(NOTHING)
        return plain.Rel(SIGNS[sign], self._pool.Dep(self._place(version)))

    def names_of(self, block: Block) -> Iterator[str]:
        """The names that a package answers to."""
        yield block["P"]
        yield from (one[1] for one in self._listed(block, "p"))

    def told(self, text: str) -> str:
        """What libsolv says, with versions in the place of their numbers."""
        names = {str(place): version for version, place in self._places.items()}
        return re.sub(
            r"(?<=[-= ])v([0-9]+)\b", lambda one: names.get(one[1], one[0]), text
        ).replace(ONE_OF, "")

    def _fuzzy(self, plain: Any, beginning: str) -> Any:
        fitting = [one for one in self._places if _begins(one, beginning)]
        found = None
        for version in fitting:
            one = plain.Rel(SIGNS["="], self._pool.Dep(self._place(version)))
            found = one if found is None else found.Rel(OR, one)
        return found if found is not None else self._pool.Dep(NOTHING)

    def _place(self, version: str) -> str:
        return f"v{self._places[version]}"

    def _listed(self, block: Block, letter: str) -> Iterator[tuple[bool, str, str, str, str]]:
        return read_relations(block.get(letter, ""))


def _begins(version: str, beginning: str) -> bool:
    """Whether a version is one of those that `~beginning` means."""
    rest = version.removeprefix(beginning)
    return version == beginning or (rest != version and not rest[0].isdigit())
