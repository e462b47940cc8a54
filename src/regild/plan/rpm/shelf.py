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
from regild.model.digest import hex_of
from regild.model.release import IndexFile, Modules, Notice
from regild.plan.rpm.settings import options_of
from regild.plan.solver import Request

PRIMARY, NOTICES, MODULES = "rpm-md", "rpm-md notices", "rpm-md modules"
FILELISTS = "rpm-md filelists"
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
        self._filelists = {one.feed: one for one in request.indexes if one.form == FILELISTS}
        self._paths = request.paths
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
        self._tell_installed(installed)
        self.pool.addfileprovides()
        self.pool.createwhatprovides()
        return installed

    def _add_repository(self, index: IndexFile) -> None:
        repo = _load(self.pool, index, self._filelists.get(index.feed))
        options = options_of(index.options)
        repo.priority = -_number(options, "priority", DEFAULT_PRIORITY)
        repo.subpriority = -_number(options, "cost", DEFAULT_COST)
        self.options[repo.id] = options
        self.titles[repo.id] = index.where

    def _tell_installed(self, installed: Any) -> None:
        """Tell of installed packages which of the asked paths they have, as far as a repository
        lists the very same ones: what describing keeps of them is less."""
        import solv

        how = solv.Dataiterator
        flags = how.SEARCH_STRING | how.SEARCH_FILES | how.SEARCH_COMPLETE_FILELIST
        mine = {(one.name, one.evr, one.arch): one for one in installed.solvables}
        for path in self._paths if self._filelists else ():
            for match in self.pool.Dataiterator(solv.SOLVABLE_FILELIST, path, flags):
                listed = match.solvable
                one = mine.get((listed.name, listed.evr, listed.arch))
                if one is not None and listed.id != one.id:
                    one.add_deparray(solv.SOLVABLE_PROVIDES, self.pool.Dep(path))


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


def _load(pool: Any, index: IndexFile, filelists: IndexFile | None) -> Any:
    """An index's repository, with all files where their list is there: from what is kept, else from
    the index itself.

    Raises: Malformed.
    """
    repo = pool.add_repo(index.where)
    more = f".{hex_of(filelists.digest)[:32]}" if filelists else ""
    kept = Path(f"{index.path}{more}.solv")
    note = kept.with_suffix(".solv.sha256")
    with contextlib.suppress(OSError, HostError):
        # Against decay, not against malice; the folder is the user's own.
        if note.read_text() == digest_file(kept) and repo.add_solv(str(kept)):
            return repo
    repo.empty()
    _parse(repo, index, 0)
    if filelists:
        # Of packages that the index has; what else is listed is left aside.
        _parse(repo, filelists, repo.REPO_EXTEND_SOLVABLES)
    repo.internalize()
    _keep(repo, kept, note)
    return repo


def _parse(repo: Any, index: IndexFile, flags: int) -> None:
    import solv

    with Path(index.path).open("rb") as file:
        stream = solv.xfopen_fd("index.xml", file.fileno())
        if not repo.add_rpmmd(stream, None, flags):
            raise Malformed(where=index.where, why=f"libsolv says: {repo.pool.errstr}")
        stream.close()


def _keep(repo: Any, kept: Path, note: Path) -> None:
    import solv

    with contextlib.suppress(HostError):
        with open_new(kept) as made:
            stream = solv.xfopen_fd(kept.name, made.fileno(), "w")
            repo.write(stream)
            stream.close()
        with open_new(note) as told:
            told.write(digest_file(kept).encode())


def _number(options: dict[str, str], name: str, default: int) -> int:
    text = options.get(name, "")
    return int(text) if text.isdecimal() and len(text) < 7 else default
