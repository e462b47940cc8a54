"""How long a server may take: a deadline for the head of its answer, a least rate for what follows.

A wait for the next byte alone bounds nothing, since a server may send one just before the end of
each, for ever. What reads from a connection therefore asks here how long it may still wait; the
deadline moves on with what was of use to the reader, not with what came over the line.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Final

SLOWEST_BYTES: Final = 4096
"""Each second, below which a transfer is given up, after some grace."""
GRACE_SECONDS: Final = 60.0

_running: ContextVar[Allowance | None] = ContextVar("allowance", default=None)


class TooLate(TimeoutError):
    """The time that a server was given is over."""


class Allowance:
    """What one request may take: `seconds` until there is a head, in all."""

    def __init__(self, seconds: float, slowest: int = SLOWEST_BYTES) -> None:
        self._until = time.monotonic() + seconds
        self._slowest = slowest

    @property
    def is_over(self) -> bool:
        """Whether nothing is left."""
        return time.monotonic() >= self._until

    def begin_body(self, grace: float) -> None:
        """The head has come: from now on the bytes count."""
        self._until = time.monotonic() + grace

    def came(self, count: int) -> None:
        """There are more bytes, which are worth a while.

        Raises: TooLate.
        """
        self.left(None)
        self._until += count / self._slowest

    def left(self, silence: float | None) -> float:
        """How long the next byte may be waited for.

        Raises: TooLate.
        """
        left = self._until - time.monotonic()
        if left <= 0:
            raise TooLate("the server is too slow")
        return left if silence is None else min(silence, left)


@contextlib.contextmanager
def within(seconds: float, slowest: int = SLOWEST_BYTES) -> Iterator[Allowance]:
    """What this thread waits for on connections that keep time, it waits so long for in all.

    Raises: TooLate, or what the library in between makes of it.
    """
    allowance = Allowance(seconds, slowest)
    token = _running.set(allowance)
    try:
        yield allowance
    finally:
        _running.reset(token)


def left(silence: float | None) -> float | None:
    """How long this thread may wait for the next byte; `silence` where there is no deadline.

    Raises: TooLate.
    """
    allowance = _running.get()
    return silence if allowance is None else allowance.left(silence)
