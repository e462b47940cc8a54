"""Advisories by the package that they speak of, kept on disk under the digest of the feed.

A feed is read once; after that a plan asks for the few hundred names that it needs.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from msgspec.structs import replace

from regild.errors import Malformed, TooLarge
from regild.feeds.cache import Cache
from regild.host.files import mark_used, translated
from regild.model.advisory import Advisory, Affected, Match
from regild.model.digest import Digest

if TYPE_CHECKING:
    from regild.feeds.advisories.kinds import Told

SUFFIX = ".advisories-1"
"""The number is that of the tables below: another one is made anew."""
ROWS_LIMIT = 20_000_000
TABLES = """
CREATE TABLE advisory (number INTEGER PRIMARY KEY, told BLOB NOT NULL);
CREATE TABLE affected (name TEXT NOT NULL, number INTEGER NOT NULL, told BLOB NOT NULL);
CREATE TABLE ecosystem (name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE exploited (cve TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE kind (name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE newest (date TEXT NOT NULL);
"""


class Summary(NamedTuple):
    """What an index says of the feed as a whole."""

    kinds: tuple[str, ...]
    date: str
    advisories: int
    ecosystems: frozenset[str]


class AdvisoryIndex:
    """The advisories of one feed."""

    def __init__(self, path: Path) -> None:
        # Nobody writes to a finished index, so no lock is needed; threads ask in turn.
        address = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
        self._tables = sqlite3.connect(address, uri=True, check_same_thread=False)

    def close(self) -> None:
        """Let go of the file."""
        self._tables.close()

    def find(self, name: str) -> list[Match]:
        """Every statement about packages of a name, of whatever distribution."""
        line = (
            "SELECT advisory.told, affected.told FROM affected JOIN advisory USING (number) "
            "WHERE name = ? ORDER BY number"
        )
        return [
            Match(
                msgspec.msgpack.decode(one, type=Advisory),
                msgspec.msgpack.decode(two, type=Affected),
            )
            for one, two in self._tables.execute(line, (name,))
        ]

    def about(self, name: str) -> list[Match]:
        """Every statement of an advisory by its own id or by one of its CVE ids."""
        line = "SELECT number, told FROM advisory WHERE instr(told, ?) > 0 ORDER BY number"
        found = []
        for number, told in self._tables.execute(line, (name.encode(),)).fetchall():
            advisory = msgspec.msgpack.decode(told, type=Advisory)
            if name != advisory.id and name not in advisory.cves:
                continue
            rows = self._tables.execute("SELECT told FROM affected WHERE number = ?", (number,))
            found += [
                Match(advisory, msgspec.msgpack.decode(one, type=Affected)) for (one,) in rows
            ]
        return found

    def exploited(self, cves: Iterable[str]) -> Iterator[str]:
        """Those of some CVE ids that the feed says are used in attacks."""
        for cve in cves:
            if self._tables.execute("SELECT 1 FROM exploited WHERE cve = ?", (cve,)).fetchone():
                yield cve

    @property
    def summary(self) -> Summary:
        """What it holds."""
        kinds = tuple(row[0] for row in self._tables.execute("SELECT name FROM kind ORDER BY 1"))
        date = self._tables.execute("SELECT date FROM newest").fetchone()
        count = self._tables.execute("SELECT count(*) FROM advisory").fetchone()
        names = self._tables.execute("SELECT name FROM ecosystem")
        return Summary(
            kinds, date[0] if date else "", int(count[0]), frozenset(row[0] for row in names)
        )


def find_index(cache: Cache, digest: Digest) -> Path | None:
    """The index of a feed with a digest, if there is one."""
    path = cache.place(digest, SUFFIX)
    if not path.is_file():
        return None
    mark_used(path)
    return path


def write_index(cache: Cache, digest: Digest, told: Iterable[Told], where: str) -> Path:
    """Make the index of a feed; it appears whole or not at all.

    Raises: as reading `told` does; TooLarge, DiskFull, NotPermitted.
    """
    path = cache.place(digest, SUFFIX)
    with translated(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="new-", dir=path.parent))
    try:
        made = folder / "index"
        with contextlib.closing(sqlite3.connect(made)) as tables:
            # The file is thrown away when this process dies, so it needs no journal.
            tables.execute("PRAGMA journal_mode=OFF")
            tables.execute("PRAGMA synchronous=OFF")
            tables.executescript(TABLES)
            _fill(tables, told, where)
            tables.execute("CREATE INDEX by_name ON affected (name)")
            tables.commit()
        with translated(path):
            made.replace(path)
    except sqlite3.Error as error:
        raise Malformed(where=where, why=f"its index cannot be made: {error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return path


def _fill(tables: sqlite3.Connection, told: Iterable[Told], where: str) -> None:
    newest, rows = "", 0
    for number, (kind, advisory) in enumerate(told):
        rows += 1 + len(advisory.affected)
        if rows > ROWS_LIMIT:
            raise TooLarge(where=where, why=f"it makes more than {ROWS_LIMIT} statements")
        newest = max(newest, advisory.published)
        tables.execute("INSERT OR IGNORE INTO kind VALUES (?)", (kind,))
        head = msgspec.msgpack.encode(replace(advisory, affected=()))
        tables.execute("INSERT INTO advisory VALUES (?, ?)", (number, head))
        tables.executemany(
            "INSERT INTO affected VALUES (?, ?, ?)",
            ((one.name, number, msgspec.msgpack.encode(one)) for one in advisory.affected),
        )
        names = {f"{one.type}:{one.ecosystem}" for one in advisory.affected}
        tables.executemany("INSERT OR IGNORE INTO ecosystem VALUES (?)", ((one,) for one in names))
        if advisory.exploited:
            cves = ((cve,) for cve in advisory.cves)
            tables.executemany("INSERT OR IGNORE INTO exploited VALUES (?)", cves)
    tables.execute("INSERT INTO newest VALUES (?)", (newest,))
