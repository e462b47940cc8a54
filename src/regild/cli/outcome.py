"""What a command hands back: the answer, how a person reads it, and the exit code."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, NamedTuple

from regild.errors import RegildError

ASKED: ContextVar[tuple[str, ...]] = ContextVar("asked", default=())
"""The command line as it was given; a job notes it to be run again."""

DONE = 0
UNREAD = 3
CHANGES = 10
LEFT_OUT = 11
FOUND = 12


class Outcome(NamedTuple):
    """The end of a command that got as far as an answer.

    `answer` is the value that `--json` prints; `text` gives the same for a person, in at most the
    given number of columns. `complaints` are errors that stand beside the answer (a digest that
    does not match, in a list of those that do; one image of several); the exit code of the first
    beats `code`.
    """

    answer: Any
    text: Callable[[int], str]
    code: int = DONE
    complaints: tuple[RegildError, ...] = ()

    @property
    def exit_code(self) -> int:
        """The process's exit status."""
        return self.complaints[0].exit_code if self.complaints else self.code
