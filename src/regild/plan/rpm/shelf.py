"""Repositories of rpm in a pool of libsolv, and the guest's own packages beside them.

An index is parsed by libsolv itself, once, and kept beside itself in the form that it loads at
once.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import msgspec

from regild.errors import HostError, Malformed
from regild.host.files import digest_file, open_new
from regild.model.release import IndexFile, Modules, Notice
from regild.plan.rpm.settings import options_of
from regild.plan.solver import Request

PRIMARY, NOTICES, MODULES = "rpm-md", "rpm-md notices", "rpm-md modules"
"""The forms of index files that a repository of rpm consists of."""
DEFAULT_PRIORITY, DEFAULT_COST = 99, 1000
"""dnf.conf(5), priority and cost."""
SIGNS = {"<": 4, "<=": 6, "=": 2, ">=": 3, ">": 1}
"""libsolv's REL_LT, REL_EQ and REL_GT in their combinations."""
FIELDS = (
    "Provides",
    "Requires",
    "Conflicts",
    "Obsoletes",
    "Recommends",
    "Suggests",
    "Supplements",
    "Enhances",
)


class Shelf:
    """What a request offers; its repositories lie in a new pool for each question."""

    def __init__(self, request: Request) -> None:
        self._indexes = [one for one in request.indexes if one.form == PRIMARY]
        self._arch = (request.planning.architectures or ("noarch",))[0]
        self.pool: Any = None
        self.options: dict[int, dict[str, str]] = {}
        """Of each repository, by its id."""
        self.titles: dict[int, str] = {}
        self.notices: list[Notice] = []
        self.modules: list[Modules] = []
        for index in request.indexes:
            if index.form == NOTICES:
                told = Path(index.path).read_bytes()
                self.notices += msgspec.msgpack.decode(told, type=tuple[Notice, ...])
            elif index.form == MODULES:
                told = Path(index.path).read_bytes()
                self.modules.append(msgspec.msgpack.decode(told, type=Modules))

    def seat(self, status: str) -> Any:
        """The guest's packages in a pool, with the repositories behind them: where libsolv has a
        choice among equals, the order of its packages decides, and dnf has them in this one.

        Raises: Malformed.
        """
        import solv

        self.pool = solv.Pool()
        self.pool.setarch(self._arch)
        self.pool.set_flag(solv.Pool.POOL_FLAG_ADDFILEPROVIDESFILTERED, 1)
        # A package of one architecture does not take the place of its namesake of another.
        self.pool.set_flag(solv.Pool.POOL_FLAG_IMPLICITOBSOLETEUSESCOLORS, 1)
        installed = self.pool.add_repo("@System")
        self.pool.installed = installed
        add_installed(self.pool, installed, status)
        self.options.clear()
        for index in self._indexes:
            self._add_repository(index)
        self.pool.addfileprovides()
        self.pool.createwhatprovides()
        return installed

    def _add_repository(self, index: IndexFile) -> None:
        repo = _load(self.pool, index)
        options = options_of(index.options)
        repo.priority = -_number(options, "priority", DEFAULT_PRIORITY)
        repo.subpriority = -_number(options, "cost", DEFAULT_COST)
        self.options[repo.id] = options
        self.titles[repo.id] = index.where


def add_installed(pool: Any, repo: Any, status: str) -> None:
    """Add the guest's packages as the planning state has them.

    Raises: Malformed.
    """
    import solv

    kinds = {
        "Provides": solv.SOLVABLE_PROVIDES,
        "Requires": solv.SOLVABLE_REQUIRES,
        "Conflicts": solv.SOLVABLE_CONFLICTS,
        "Obsoletes": solv.SOLVABLE_OBSOLETES,
        "Recommends": solv.SOLVABLE_RECOMMENDS,
        "Suggests": solv.SOLVABLE_SUGGESTS,
        "Supplements": solv.SOLVABLE_SUPPLEMENTS,
        "Enhances": solv.SOLVABLE_ENHANCES,
    }
    one: Any = None
    for number, line in enumerate(status.split("\n"), 1):
        field, _, value = line.partition(": ")
        if not line:
            one = None
        elif field == "Package":
            one = repo.add_solvable()
            one.name = value
        elif one is None:
            raise Malformed(where=f"the planning state, line {number}", why="it is of no package")
        elif field == "Version":
            one.evr = value
        elif field == "Arch":
            one.arch = value or "noarch"
        elif field == "Vendor":
            one.vendor = value
        elif field == "File":
            one.add_deparray(solv.SOLVABLE_PROVIDES, pool.Dep(value))
        elif field in kinds:
            one.add_deparray(kinds[field], relation_of(pool, value))


def relation_of(pool: Any, text: str) -> Any:
    """A relation as libsolv has it, such as `bash >= 4.0`, or a rich one in brackets."""
    if text.startswith("("):
        return pool.parserpmrichdep(text) or pool.Dep(text)
    name, sign, evr = ([*text.rsplit(" ", 2), "", ""])[:3]
    if sign in SIGNS and evr:
        return pool.Dep(name).Rel(SIGNS[sign], pool.Dep(evr))
    return pool.Dep(text)


def _load(pool: Any, index: IndexFile) -> Any:
    """An index's repository: from what is kept, else from the index itself.

    Raises: Malformed.
    """
    import solv

    repo = pool.add_repo(index.where)
    kept = Path(f"{index.path}.solv")
    note = kept.with_suffix(".solv.sha256")
    with contextlib.suppress(OSError, HostError):
        # Against decay, not against malice; the folder is the user's own.
        if note.read_text() == digest_file(kept) and repo.add_solv(str(kept)):
            return repo
    repo.empty()
    with Path(index.path).open("rb") as file:
        stream = solv.xfopen_fd("primary.xml", file.fileno())
        if not repo.add_rpmmd(stream, None, 0):
            raise Malformed(where=index.where, why=f"libsolv says: {pool.errstr}")
        stream.close()
    repo.internalize()
    with contextlib.suppress(HostError):
        with open_new(kept) as made:
            stream = solv.xfopen_fd(kept.name, made.fileno(), "w")
            repo.write(stream)
            stream.close()
        with open_new(note) as told:
            told.write(digest_file(kept).encode())
    return repo


def _number(options: dict[str, str], name: str, default: int) -> int:
    text = options.get(name, "")
    return int(text) if text.isdecimal() and len(text) < 7 else default
