"""A demo ends as a whole: what it has started ends with it, however it ends."""

from __future__ import annotations

import contextlib
import shutil
import signal
from collections.abc import Iterator, Sequence
from types import FrameType


def tied(line: Sequence[str]) -> list[str]:
    """A command line whose process is asked to end when ours is gone, even by SIGKILL
    (PR_SET_PDEATHSIG)."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", "--", *line] if setpriv else [*line]


@contextlib.contextmanager
def ending_tidily() -> Iterator[None]:
    """Let SIGTERM and SIGHUP unwind as Ctrl-C does, so that guests and folders are removed."""

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [(number, signal.signal(number, end)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
