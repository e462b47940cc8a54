"""A question about one guest of apk, answered by libsolv: what changes, and what is kept back.

apk keeps a machine at what its world asks for: everything that this needs in its newest version,
and nothing else. So the world is solved anew, with what is installed as a wish among equals; what
stands in neither is gone afterwards, as it is with `apk upgrade`. `full` is the same. Repositories
of apk do not say which releases are for security, so `security` is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from regild.errors import Unsolvable, UnsupportedWish
from regild.model.apk_blocks import WORLD, Block, read_blocks, read_relations
from regild.model.plan import Action
from regild.model.versions import apk_key
from regild.plan.apk.words import Words
from regild.plan.solver import Move, Request, Transaction

ROUNDS_LIMIT = 50
PROBLEMS_TOLD = 3

Known = dict[tuple[str, str], Block]
"""Packages by name and version."""


class Shelf:
    """What the repositories offer: the newest of equal entries, with the tag of the repository."""

    def __init__(self, request: Request) -> None:
        self.offers: list[tuple[Block, str, str]] = []
        """Block, tag, and what people call the repository."""
        for index in request.indexes:
            text = Path(index.path).read_text(errors="replace")
            for block in read_blocks(text, index.where):
                self.offers.append((block, index.suite, index.where))


def open_shelf(request: Request) -> Shelf:
    """What a request offers."""
    return Shelf(request)


def answer(shelf: Shelf, request: Request) -> Transaction:
    """What changes in a guest.

    Raises: Unsolvable, UnsupportedWish, Malformed.
    """
    if request.mode == "security":
        why = "repositories of apk do not say which releases are for security"
        raise UnsupportedWish(where="the mode security", why=why)
    if request.only is not None:
        why = "apk brings everything up to date that the world asks for"
        raise UnsupportedWish(where="a plan for some packages only", why=why)
    return _Question(shelf, request).transaction()


class _Question:
    """One guest's packages and world against what is on offer."""

    def __init__(self, shelf: Shelf, request: Request) -> None:
        import solv

        self._request = request
        planning = request.planning
        self._installed = {
            block["P"]: block for block in read_blocks(planning.status, "the planning state")
        }
        files = (one.text for one in planning.preferences if one.path == WORLD)
        self._world = [one for text in files for one in read_relations(text)]
        tags = {name: tag for _, name, tag, _, _ in self._world if tag}
        self._offers: Known = {}
        self._origins: dict[tuple[str, str], str] = {}
        for block, tag, where in shelf.offers:
            key = block["P"], block["V"]
            if key not in self._offers and (not tag or tags.get(block["P"]) == tag):
                self._offers[key], self._origins[key] = block, where
        self._pool = solv.Pool()
        self._pool.setarch("x86_64")  # one guest, one architecture: all are noarch here
        every = self._candidates()
        texts = [planning.status, *(one.text for one in planning.preferences)]
        self._words = Words(self._pool, every.values(), texts)
        self._repo = self._pool.add_repo("all")
        self._ids: dict[int, tuple[str, str]] = {}
        for key, block in every.items():
            self._ids[self._words.add(self._repo, block)] = key
        self._every = every
        self._pool.createwhatprovides()

    def _candidates(self) -> Known:
        """What may be there afterwards: offers, and what is installed where no offer is newer, for
        apk does not go back by itself."""
        held = {*self._request.holds, *self._request.forbidden}
        found: Known = {}
        for (name, version), block in self._offers.items():
            mine = self._installed.get(name)
            if mine is None:
                if name not in self._request.forbidden:
                    found[name, version] = block
            elif name not in held and apk_key(version) > apk_key(mine["V"]):
                found[name, version] = block
        for name, block in self._installed.items():
            found[name, block["V"]] = self._offers.get((name, block["V"]), block)
        return found

    def transaction(self) -> Transaction:
        """Ask libsolv until nothing more comes in by itself, and say what it answers.

        Raises: Unsolvable.
        """
        asked: list[Any] = []
        final: set[tuple[str, str]] = set()
        for _ in range(ROUNDS_LIMIT):
            final = self._solved(asked)
            names = {name for name, _ in final}
            more = [name for name in self._coming(final) if name not in names]
            if not more:
                break
            asked += more
        moves = tuple(self._moves(final))
        return Transaction(moves, tuple(sorted(self._kept(final))))

    def _solved(self, more: list[str]) -> set[tuple[str, str]]:
        import solv

        job = solv.Job
        jobs = []
        for conflict, name, _, sign, version in self._world:
            how = job.SOLVER_ERASE if conflict else job.SOLVER_INSTALL
            relation = self._words.relation(name, sign, version)
            jobs.append(self._pool.Job(how | job.SOLVER_SOLVABLE_PROVIDES, relation.id))
        for name in more:
            how = job.SOLVER_INSTALL | job.SOLVER_SOLVABLE_NAME | job.SOLVER_WEAK
            jobs.append(self._pool.Job(how, self._pool.str2id(name)))
        for name in self._installed:
            how = job.SOLVER_FAVOR | job.SOLVER_SOLVABLE_NAME
            jobs.append(self._pool.Job(how, self._pool.str2id(name)))
        for name in {*self._request.holds} & {*self._installed}:
            how = job.SOLVER_INSTALL | job.SOLVER_SOLVABLE_NAME
            jobs.append(self._pool.Job(how, self._pool.str2id(name)))
        solver = self._pool.Solver()
        solver.set_flag(solv.Solver.SOLVER_FLAG_IGNORE_RECOMMENDED, 1)
        if problems := solver.solve(jobs):
            told = "; ".join(str(one) for one in problems[:PROBLEMS_TOLD])
            raise Unsolvable(where="the image", why=self._words.told(told))
        return {self._ids[one.id] for one in solver.transaction().newsolvables()}

    def _coming(self, final: set[tuple[str, str]]) -> Iterator[str]:
        """Names of packages that come in by themselves once others are there (install_if)."""
        there = {one for key in final for one in self._words.names_of(self._every[key])}
        for key, block in self._every.items():
            needs = list(read_relations(block.get("i", "")))
            if needs and key not in final:
                met = (self._meets(one, final) for one in needs)
                if all(one[1] in there for one in needs if not one[0]) and all(met):
                    yield key[0]

    def _meets(self, need: tuple[bool, str, str, str, str], final: set[tuple[str, str]]) -> bool:
        conflict, name, _, sign, version = need
        relation = self._words.relation(name, sign, version)
        providers = {self._ids[one.id] for one in self._pool.whatprovides(relation)}
        return bool(providers & final) != conflict

    def _moves(self, final: set[tuple[str, str]]) -> Iterator[Move]:
        after = dict(final)
        for name, version in sorted(final):
            mine = self._installed.get(name)
            if mine is not None and mine["V"] == version:
                continue
            action: Action = "upgrade" if mine else "install"
            was = mine["V"] if mine else ""
            arch = self._every[name, version].get("A", "")
            yield Move(action, name, arch, was, version, self._origins.get((name, version), ""))
        for name, block in sorted(self._installed.items()):
            if name not in after:
                yield Move("remove", name, block.get("A", ""), block["V"])

    def _kept(self, final: set[tuple[str, str]]) -> set[str]:
        """Names of installed packages that stay below what is offered."""
        after = dict(final)
        return {
            name
            for name, version in self._offers
            if name in self._installed and name in after and apk_key(version) > apk_key(after[name])
        }
