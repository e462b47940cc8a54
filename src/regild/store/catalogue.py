"""The catalogue: what is golden, who runs it and what has happened, in one database.

A file of SQLite by default (write-ahead log, synchronous FULL), PostgreSQL by address where several
machines share it. Reading and writing go through short transactions; a writing one is alone, on
both databases, so that whatever it looked at is still so when it ends. An older catalogue is
brought to this version's shape when it is opened, a newer one is refused.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regild.errors import (
    LibraryMissing,
    Malformed,
    NewerCatalogue,
    NotPermitted,
    RegildError,
    Unanswered,
    UsageError,
)

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

HEAD = "0002"
"""The step of `migrations/versions` that this version's tables stand at."""
WAIT_SECONDS = 60
"""How long a writer waits for another: far longer than any transaction of regild takes."""
LOCK = 7283940165
"""The number of PostgreSQL's advisory lock that a writing transaction holds; any would do."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A view of the catalogue as it was at one moment."""

    connection: Connection
    now: datetime


@dataclass(frozen=True, slots=True)
class Writing(Reading):
    """A change of the catalogue: all of it happens, or nothing."""

    actor: str


class Catalogue:
    """An open catalogue; safe to use from several threads; close it after use."""

    def __init__(self, engine: Engine, where: str) -> None:
        self._engine = engine
        self.where = where

    def __enter__(self) -> Catalogue:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    @property
    def is_server(self) -> bool:
        """Whether a server keeps it, which several machines may share."""
        return self._engine.dialect.name != "sqlite"

    def connect(self) -> Connection:
        """A session of its own, for what outlives a transaction; its user closes it."""
        connection = self._engine.connect()
        connection.info["writes"] = False
        return connection

    @contextlib.contextmanager
    def reading(self, now: datetime | None = None) -> Iterator[Reading]:
        """Look at the catalogue.

        Raises: Unanswered.
        """
        with translated(self.where), self._engine.connect() as connection:
            connection.info["writes"] = False
            with connection.begin():
                yield Reading(connection, now or datetime.now(UTC))

    @contextlib.contextmanager
    def writing(self, actor: str, now: datetime | None = None) -> Iterator[Writing]:
        """Change the catalogue, alone; an error inside takes all of it back.

        Raises: Unanswered, also where another writer does not end in time.
        """
        with translated(self.where), self._engine.connect() as connection:
            connection.info["writes"] = True
            with connection.begin():
                yield Writing(connection, now or datetime.now(UTC), actor)


def open_catalogue(place: str | Path) -> Catalogue:
    """Open a catalogue, made if it is not there, brought up to this version if it is older.

    `place` is a file's path for SQLite, or `postgresql://USER@HOST/DATABASE`.

    Raises: NewerCatalogue, Unanswered, NotPermitted, UsageError, LibraryMissing.
    """
    try:
        engine, where = _engine(str(place))
    except ImportError as error:
        extra = "postgres" if "psycopg" in str(error) else "store"
        why = "to keep a catalogue"
        raise LibraryMissing(where=error.name or extra, why=why, extra=extra) from error
    catalogue = Catalogue(engine, where)
    try:
        if _version(catalogue) != HEAD:
            _upgrade(catalogue)
    except BaseException:
        catalogue.close()
        raise
    return catalogue


@contextlib.contextmanager
def translated(where: str) -> Iterator[None]:
    """Turn the database's errors into regild's.

    Raises: Unanswered, NotPermitted, Malformed; TooLarge for a value that its column does not take.
    """
    from sqlalchemy.exc import DatabaseError, DBAPIError, OperationalError, StatementError

    try:
        yield
    except OperationalError as error:
        said = str(error.orig)
        if "readonly" in said or "unable to open" in said:
            raise NotPermitted(where=f"the catalogue {where}", why=said) from error
        raise Unanswered(where=f"the catalogue {where}", why=said.strip()) from error
    except DBAPIError as error:
        if type(error) is DatabaseError:  # SQLite's word for a file that is not, or not whole, its
            raise Malformed(where=f"the catalogue {where}", why=str(error.orig)) from error
        if not error.connection_invalidated:
            raise
        raise Unanswered(where=f"the catalogue {where}", why=str(error.orig).strip()) from error
    except StatementError as error:  # a value that a column's own type refused
        if isinstance(error.orig, RegildError):
            raise error.orig from error
        raise


def _engine(place: str) -> tuple[Engine, str]:
    """The engine for a place, and how the place is shown: never with a password."""
    from sqlalchemy import create_engine, event, make_url
    from sqlalchemy.exc import ArgumentError

    if not re.match(r"[a-z+0-9]+://", place):
        place = f"sqlite:///{Path(place).absolute()}"
    try:
        url = make_url(place)
    except ArgumentError as error:
        raise UsageError(what=f"a catalogue is a file or postgresql://..., not {place}") from error
    family = url.get_backend_name()
    if family == "sqlite":
        engine = create_engine(url, connect_args={"timeout": WAIT_SECONDS}, echo=False)
        event.listen(engine, "connect", _ready_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine, url.database or place
    if family != "postgresql":
        raise UsageError(what=f"a catalogue is a file or postgresql://..., not {family}")
    url = url.set(drivername="postgresql+psycopg")
    engine = create_engine(url, pool_pre_ping=True)
    event.listen(engine, "begin", _begin_postgresql)
    return engine, url.render_as_string(hide_password=True)


def _ready_sqlite(connection: Any, record: object) -> None:
    """SQLite as a catalogue needs it: nothing that was committed is lost when power is."""
    connection.isolation_level = None  # transactions are begun by us, below
    for wish in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {wish}")


def _begin_sqlite(connection: Connection) -> None:
    """A writer takes the one right to write at its begin, and so never has to give up later."""
    writes = connection.info.get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _begin_postgresql(connection: Connection) -> None:
    """A writer waits for the others as SQLite's does; the lock ends with its transaction.

    Once it has the lock, each of its statements sees what the others left (READ COMMITTED); a
    reader sees one moment throughout.
    """
    if not connection.info.get("writes", False):
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        return
    connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{WAIT_SECONDS}s'")
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")


def _version(catalogue: Catalogue) -> str:
    """The step that the catalogue stands at; empty for a new one."""
    from sqlalchemy import inspect, text

    with catalogue.reading() as view:
        if not inspect(view.connection).has_table("alembic_version"):
            return ""
        found = view.connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        return str(found or "")


def _upgrade(catalogue: Catalogue) -> None:
    """Bring a new or older catalogue to this version, alone and in one transaction."""
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    try:
        with catalogue.writing("regild") as change:
            config.attributes["connection"] = change.connection
            command.upgrade(config, "head")
    except CommandError as error:
        why = "its tables have a shape that this version does not know"
        raise NewerCatalogue(where=catalogue.where, why=why) from error
