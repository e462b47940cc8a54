"""The solver's own process: it reads questions and answers them until there are no more.

What it has loaded for one question serves the next one about the same indexes.
"""

from __future__ import annotations

import importlib
import os
import resource
import sys
from pathlib import Path
from typing import Any

import msgspec

from regild.errors import RegildError, TooLarge, Unforeseen, UnsupportedError
from regild.host.answering import read_question, write_answer
from regild.plan.solver import TITLE, Answer, Request, Transaction

MEMORY_BYTES_MAX = 4 << 30
"""Address space; all of Debian for three architectures takes a tenth of it."""
STATM = Path("/proc/self/statm")
"""Its first number is the size of the address space, in pages (proc_pid_statm(5))."""


SOLVERS = {
    "deb": "regild.plan.debian.answer",
    "rpm": "regild.plan.rpm.answer",
    "apk": "regild.plan.apk.answer",
}
"""For each family of packages (`Planning.type`) the module that answers: its `open_shelf` loads
what a request offers, its `answer` decides with it."""


class Loaded:
    """The indexes that were loaded last, which the next question may be about too."""

    def __init__(self) -> None:
        self._key: object = None
        self._shelf: Any = None

    def solve(self, request: Request) -> Transaction:
        """Answer a question.

        Raises: PlanError, Malformed, TooLarge.
        """
        planning = request.planning
        if planning.type not in SOLVERS:
            raise UnsupportedError(
                where="the image", why=f"no solver knows {planning.type!r} packages"
            )
        solver = importlib.import_module(SOLVERS[planning.type])
        key = (planning.type, planning.architectures, request.indexes)
        if key != self._key:
            self._key, self._shelf = None, None
            self._shelf = solver.open_shelf(request)
            self._key = key
        found: Transaction = solver.answer(self._shelf, request)
        return found


def main() -> int:
    """Answer questions on standard input until it ends."""
    _bound_memory()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints must not be taken for an answer
    shelves = Loaded()
    while (question := read_question(sys.stdin.buffer)) is not None:
        write_answer(answers, msgspec.msgpack.encode(_answered(shelves, question)))
    return 0


def _bound_memory() -> None:
    """Let it have so much more than it begins with, which is what its parent has where it begins as
    a copy; not more than its caller lets it have."""
    try:
        pages = int(STATM.read_text().split()[0])
    except OSError:  # then it did not begin as a copy either
        pages = 0
    size = pages * resource.getpagesize() + MEMORY_BYTES_MAX
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    size = size if most == resource.RLIM_INFINITY else min(size, most)
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


def _answered(shelves: Loaded, question: bytes) -> Answer:
    try:
        return Answer(shelves.solve(msgspec.msgpack.decode(question, type=Request)))
    except RegildError as error:
        failed = error
    except MemoryError:
        failed = TooLarge(where=TITLE, why="it needs more memory")
    except Exception as error:
        import traceback

        traceback.print_exc()
        failed = Unforeseen(what=f"{type(error).__name__} in {TITLE}: {error}")
    return Answer(error=type(failed).__name__, facts=failed.facts())


if __name__ == "__main__":
    sys.exit(main())
