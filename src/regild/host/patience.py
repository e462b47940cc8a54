"""Asking again, after growing pauses, where an attempt failed in a way that may pass."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from regild.errors import Unreachable

ATTEMPTS = 4
PAUSE_SECONDS = 0.5
"""Before the second attempt; doubles with every further one."""

_T = TypeVar("_T")


class Again(Exception):
    """The attempt failed in a way that may pass."""


def patiently(where: str, ask: Callable[[], _T]) -> _T:
    """What `ask` gives, at the first attempt that does not raise `Again`.

    Raises: Unreachable after the last attempt; whatever else `ask` raises.
    """
    pause = PAUSE_SECONDS
    for _ in range(ATTEMPTS - 1):
        try:
            return ask()
        except Again:
            time.sleep(pause)
            pause *= 2
    try:
        return ask()
    except Again as error:
        raise Unreachable(where=where, why=str(error)) from error
