"""Who leads: one process at a time may be the agent of a catalogue.

With PostgreSQL that is an advisory lock of a session, with SQLite a lock on a file beside the
catalogue (flock(2)). Both end with the process that holds them, however it ends, so that nobody
waits for the dead.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import insert, update

from regild.errors import LeaseLost, RegildError, Unanswered
from regild.host.files import translated as files_translated
from regild.store.catalogue import Catalogue, Writing, translated
from regild.store.leases import find_lease
from regild.store.schema import leases

if TYPE_CHECKING:
    from sqlalchemy import Connection

LOCK = 7283940166
"""The number of PostgreSQL's advisory lock of whoever leads; any would do."""
SUFFIX = ".leader"
NOTE = "agent"
OWNER_SIGNS = 200
PROCESS = re.compile(r"\(([^/:()]+)/[^:()]*:(\d+):[^()]*\)$")
"""A process's own name, of which its machine and number mean something to people."""
LEADING = "the right to lead"


@dataclass(frozen=True, slots=True)
class Leadership:
    """The right to lead, as long as it lasts."""

    where: str
    connection: Connection | None = None
    """The session that holds the lock; None where a file does, which nothing takes away."""

    def check(self) -> None:
        """Lead on, if the lock is still there: a server that was started anew has forgotten it.

        Raises: LeaseLost.
        """
        if self.connection is None:
            return
        from sqlalchemy import text

        asked = text(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted "
            "AND pid = pg_backend_pid() AND objid = :low AND classid = :high"
        )
        numbers = {"low": LOCK & 0xFFFFFFFF, "high": LOCK >> 32}
        try:
            with translated(self.where):
                held = self.connection.execute(asked, numbers).scalar()
                self.connection.commit()
        except Unanswered as error:
            raise LeaseLost(where=LEADING, why=str(error)) from error
        if not held:
            raise LeaseLost(where=LEADING, why="the database's session is another one")


@contextlib.contextmanager
def leading(catalogue: Catalogue, actor: str, owner: str) -> Iterator[Leadership | None]:
    """Lead for as long as the block takes; None where another does.

    Raises: Unanswered, NotPermitted.
    """
    opened = _of_session(catalogue) if catalogue.is_server else _of_file(catalogue)
    with opened as held:
        if held is not None:
            with catalogue.writing(actor) as change:
                _note(change, f"{actor} ({owner})")
        yield held


def leader_of(catalogue: Catalogue) -> str:
    """Who led last, by the actor's name and the process's number."""
    with catalogue.reading() as view:
        found = find_lease(view, NOTE)
    return PROCESS.sub(r"(process \2 on \1)", found.owner) if found else "nobody yet"


def _note(change: Writing, who: str) -> None:
    """Note who leads, for others to read; the lock itself is elsewhere."""
    values = {"owner": who[:OWNER_SIGNS], "until": change.now}
    own = leases.c.name == NOTE
    if change.connection.execute(update(leases).where(own).values(values)).rowcount == 0:
        change.connection.execute(insert(leases).values(name=NOTE, token=1, **values))


@contextlib.contextmanager
def _of_file(catalogue: Catalogue) -> Iterator[Leadership | None]:
    path = Path(catalogue.where + SUFFIX)
    with files_translated(path):
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        yield Leadership(catalogue.where)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _of_session(catalogue: Catalogue) -> Iterator[Leadership | None]:
    from sqlalchemy import text

    with translated(catalogue.where):
        connection = catalogue.connect()
        try:
            asked = text("SELECT pg_try_advisory_lock(:lock)")
            got = connection.execute(asked, {"lock": LOCK}).scalar()
            connection.commit()
        except BaseException:
            connection.invalidate()
            connection.close()
            raise
    try:
        yield Leadership(catalogue.where, connection) if got else None
    finally:
        if got:  # at once, not only when the server notices that the session is gone
            with contextlib.suppress(RegildError), translated(catalogue.where):
                connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": LOCK})
                connection.commit()
        # Never back into the pool: the lock is the session's.
        connection.invalidate()
        connection.close()
