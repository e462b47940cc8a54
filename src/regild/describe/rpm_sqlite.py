"""The headers in rpm's SQLite database (`rpmdb.sqlite`, since rpm 4.16), with what is still in its
write-ahead log (SQLite's file format, section 4); dnf's own database is opened the same way.

SQLite itself reads a private copy and replays the log there. A rollback journal is never handed to
it: such a journal may name a file of this machine, which SQLite would then look for and remove.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from regild.errors import Malformed, Truncated

MAGIC = b"SQLite format 3\0"
BLOB_LIMIT = 64 << 20
STEPS_LIMIT = 400
"""How many times 100,000 instructions of SQLite a database may take; 3,000 packages take 1."""

_HEADERS = "SELECT hnum, blob FROM main.Packages ORDER BY hnum"
_PLAIN = (
    "SELECT count(*) FROM main.sqlite_schema WHERE type = 'table' AND name = ?"
    " AND rootpage > 0 AND sql NOT LIKE '%generated%'"
)


def read_headers(content: bytes, log: bytes, where: str) -> Iterator[tuple[str, bytes]]:
    """Each header with its place; `log` is the write-ahead log, empty where there is none.

    Raises: Malformed when SQLite cannot read it or it is not rpm's, Truncated.
    """
    with open_database(content, log, where, ("Packages",)) as connection:
        for number, blob in connection.execute(_HEADERS):
            if not isinstance(number, int) or not isinstance(blob, bytes):
                raise Malformed(where=where, why="its table of packages does not hold headers")
            yield f"{where}, package {number}", blob


@contextmanager
def open_database(
    content: bytes, log: bytes, where: str, tables: Sequence[str]
) -> Iterator[sqlite3.Connection]:
    """A stranger's SQLite database, bounded in what it may ask of this machine; each of `tables`
    is a plain one.

    Raises: Malformed when SQLite cannot read it or a table is missing, Truncated.
    """
    if content[:16] != MAGIC:
        raise Malformed(where=where, why="it is no SQLite database")
    pages, size = int.from_bytes(content[28:32], "big"), int.from_bytes(content[16:18], "big")
    if not log and pages * (size if size > 1 else 65536) > len(content):
        raise Truncated(where=where, why=f"it speaks of {pages} pages, which are not all there")
    with tempfile.TemporaryDirectory(prefix="regild-rpm-") as folder:
        copy = Path(folder) / "rpmdb.sqlite"
        copy.write_bytes(content)
        if log:
            copy.with_name("rpmdb.sqlite-wal").write_bytes(log)
        connection = sqlite3.connect(copy, isolation_level=None)
        try:
            _bound(connection)
            # A view or a computed column could run anything that SQL can say.
            for table in tables:
                if connection.execute(_PLAIN, (table,)).fetchone() != (1,):
                    raise Malformed(where=where, why=f"it has no plain table {table}")
            yield connection
        except MemoryError as error:
            # Damaged sizes make SQLite ask for more than it gives itself.
            raise Malformed(
                where=where, why="SQLite asks for too much memory to read it"
            ) from error
        except (sqlite3.Error, OverflowError, UnicodeDecodeError) as error:
            raise Malformed(where=where, why=f"SQLite says: {str(error)[:200]}") from error
        finally:
            connection.close()


def _bound(connection: sqlite3.Connection) -> None:
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, BLOB_LIMIT)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    steps = iter(range(STEPS_LIMIT))
    connection.set_progress_handler(lambda: next(steps, None) is None, 100_000)
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
