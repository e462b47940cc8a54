"""Stages inside a stage: called and waited for, or at work beside their caller."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from regild.errors import HostError
from regild.host.process import children
from regild.host.run import find_tool
from regild.host.stage import (
    MEMORY_BYTES_MAX,
    TRACING,
    confinement,
    converse,
    follow,
    send,
    title_of,
)
from regild.host.syscalls import open_filter
from regild.model.progress import Progress

END_SECONDS = 60


def run_nested(
    name: str,
    request: object,
    progress: Progress,
    *,
    keep: Sequence[int] = (),
    traces: bool = False,
) -> Any:
    """A confined stage inside a stage: it shares the name space, and with it what is mounted.

    What it says on standard error goes where its caller's does.

    Raises: as `run_stage`.
    """
    with _nested(name, keep, traces) as process:
        return converse(process, request, title_of(name), progress, _said_in_log)


class Companion:
    """A nested stage that works beside its caller, from when it is told to begin until it is told
    to end."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        title: str,
        progress: Progress,
        end: int,
        ending: contextlib.ExitStack,
    ) -> None:
        """`end` is the file descriptor that tells it when to end, `ending` what has it told so."""
        self._process, self._title, self._progress = process, title, progress
        self._end, self._ending = end, ending

    @property
    def pid(self) -> int:
        """The number of the process that it runs in, or of that which waits for it."""
        return self._process.pid

    def begin(self, request: dict[str, Any]) -> None:
        """Send its request; `end` in it is a file descriptor that tells it when to end."""
        send(self._process, {**request, "end": self._end})

    def finish(self) -> Any:
        """Have it end; returns what it returns.

        Raises: as `run_stage`.
        """
        self._ending.close()
        return follow(self._process, self._title, self._progress, _said_in_log)


def await_end(companion: Companion | None = None) -> None:
    """Wait until nothing that a command started is alive, so that nobody writes any more.

    bubblewrap reports a command's end before the kernel has ended what it left behind; as the
    first process of the name space we inherit that. Whoever works beside us goes on.

    Raises: HostError when something outlives it, or when the companion has ended.
    """
    until = time.monotonic() + END_SECONDS
    while time.monotonic() < until:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None:
            if companion and children() == {companion.pid}:
                return
            time.sleep(0.01)
        elif companion and ended.si_pid == companion.pid:
            raise HostError(where="the files that were left in the image", why="their server ended")
        else:
            os.waitpid(ended.si_pid, 0)
    raise HostError(where="guest commands apart", why="something of the guest would not end")


@contextlib.contextmanager
def open_companion(name: str, progress: Progress, keep: Sequence[int]) -> Iterator[Companion]:
    """Start a nested stage that waits for its request; on leaving it is ended if it has not."""
    theirs, ours = os.pipe()
    with contextlib.ExitStack() as stack:
        ending = stack.enter_context(contextlib.ExitStack())
        ending.callback(os.close, ours)
        try:
            process = stack.enter_context(_nested(name, (*keep, theirs), traces=False))
        finally:
            os.close(theirs)
        # Told to end before it is ended, so that it is not asked for twice.
        stack.callback(ending.close)
        yield Companion(process, title_of(name), progress, theirs, ending)


@contextlib.contextmanager
def _nested(name: str, keep: Sequence[int], traces: bool) -> Iterator[subprocess.Popen[bytes]]:
    """The process of a confined stage inside a stage."""
    bound = find_tool("prlimit", "to bound a stage's memory")
    limit: list[str | Path] = [bound, f"--as={MEMORY_BYTES_MAX}"]
    program = [sys.executable, "-I", "-m", "regild.host.stage", name]
    with open_filter(TRACING if traces else frozenset()) as calls:
        process = subprocess.Popen(
            [*limit, *confinement(calls), *program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(*keep, calls),
        )
    with process:
        try:
            yield process
        finally:
            process.kill()


def _said_in_log() -> str:
    return "see the stages' log"
