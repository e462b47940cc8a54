"""The headers in rpm's SQLite database (`rpmdb.sqlite`, since rpm 4.16), with what is still in its
write-ahead log (SQLite's file format, section 4).

SQLite itself reads a private copy and replays the log there. A rollback journal is never handed to
it: such a journal may name a file of this machine, which SQLite would then look for and remove.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

from regild.errors import Malformed, Truncated

MAGIC = b"SQLite format 3\0"
BLOB_LIMIT = 64 << 20
STEPS_LIMIT = 400
"""How many times 100,000 instructions of SQLite a database may take; 3,000 packages take 1."""

_HEADERS = "SELECT hnum, blob FROM main.Packages ORDER BY hnum"
_TABLES = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'Packages' "
_PLAIN = _TABLES + "AND rootpage > 0 AND sql NOT LIKE '%generated%'"


def read_headers(content: bytes, log: bytes, where: str) -> Iterator[tuple[str, bytes]]:
    """Each header with its place; `log` is the write-ahead log, empty where there is none.

    Raises: Malformed when SQLite cannot read it or it is not rpm's, Truncated.
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
            yield from _rows(connection, where)
        except (sqlite3.Error, OverflowError, UnicodeDecodeError) as error:
            raise Malformed(where=where, why=f"SQLite says: {str(error)[:200]}") from error
        finally:
            connection.close()


def _rows(connection: sqlite3.Connection, where: str) -> Iterator[tuple[str, bytes]]:
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, BLOB_LIMIT)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    steps = iter(range(STEPS_LIMIT))
    connection.set_progress_handler(lambda: next(steps, None) is None, 100_000)
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    # A view or a computed column could run anything that SQL can say: rpm writes neither.
    if connection.execute(_PLAIN).fetchone() != (1,):
        raise Malformed(where=where, why="it has no table of packages as rpm makes it")
    for number, blob in connection.execute(_HEADERS):
        if not isinstance(number, int) or not isinstance(blob, bytes):
            raise Malformed(where=where, why="its table of packages does not hold headers")
        yield f"{where}, package {number}", blob
