"""libsolv behind the solver's door, in a process of its own.

A wrong word makes libsolv end its process, and what it reads was written by strangers: so it runs
apart, with bounded memory and time, for as many questions as the asker has. It keeps what it has
loaded between questions.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import msgspec

from regild.errors import HostError
from regild.host.answering import rebuild_error
from regild.host.child import Child, open_child
from regild.plan.solver import TITLE, Answer, Request, Transaction

TIMEOUT_SECONDS = 300


class Libsolv:
    """Solves by libsolv; made by `open_libsolv`."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._child: Child | None = None

    def __call__(self, request: Request) -> Transaction:
        """The packages that change.

        Raises: Unsolvable, PlanError, Malformed, TooLarge, CommandFailed when the process dies.
        """
        if self._child is None:
            self._child = self._stack.enter_context(open_child("regild.plan.solving", TITLE))
        try:
            said = self._child.ask(msgspec.msgpack.encode(request), TIMEOUT_SECONDS)
        except HostError:
            self.close()  # what ended it was this question; the next one gets a process of its own
            raise
        answer = msgspec.msgpack.decode(said, type=Answer)
        if answer.transaction is None:
            raise rebuild_error({"error": answer.error, "facts": answer.facts}, TITLE)
        return answer.transaction

    def close(self) -> None:
        """End the process; another question starts a new one."""
        self._child = None
        self._stack.close()


@contextlib.contextmanager
def open_libsolv() -> Iterator[Libsolv]:
    """A solver for as many questions as there are; its process starts with the first one and ends
    with the block."""
    solver = Libsolv()
    try:
        yield solver
    finally:
        solver.close()
