"""A process of regild's own that answers questions one after another: whatever becomes of it, the
asker goes on.

Questions and answers are bytes, each after its length (`host.answering`). A child that dies,
is silent for too long or says more than it may is one typed error.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import IO

from regild.errors import CommandFailed, HostError
from regild.host.answering import LENGTH, LOG_TAIL_BYTES
from regild.host.fork import Forked, can_fork
from regild.host.run import ENVIRONMENT, TIMED_OUT, end_group, ending_with_us

ANSWER_BYTES_MAX = 256 << 20
PIECE_BYTES = 1 << 20

Process = subprocess.Popen[bytes] | Forked


class Child:
    """A process that answers; made by `open_child`."""

    def __init__(self, process: Process, title: str, complaints: IO[bytes]) -> None:
        self._process, self._title, self._complaints = process, title, complaints

    def ask(self, question: bytes, timeout_seconds: float) -> bytes:
        """The answer to a question.

        Raises: CommandFailed when the child dies (the code is 128 and the signal's number when a
        signal ended it) or is out of time, HostError when its answer is longer than it may be.
        """
        asked, answered = self._process.stdin, self._process.stdout
        assert asked is not None and answered is not None  # noqa: S101 - pipes by construction
        until = time.monotonic() + timeout_seconds
        with contextlib.suppress(BrokenPipeError):
            self._write(asked, LENGTH.pack(len(question)) + question, until)
        (length,) = LENGTH.unpack(self._read(answered, LENGTH.size, until))
        if length > ANSWER_BYTES_MAX:
            end_group(self._process)
            raise HostError(where=self._title, why="its answer is longer than any that it may give")
        return self._read(answered, length, until)

    def _write(self, pipe: IO[bytes], content: bytes, until: float) -> None:
        """All of it, as the child takes it."""
        os.set_blocking(pipe.fileno(), False)
        done = 0
        with selectors.DefaultSelector() as waiting:
            waiting.register(pipe, selectors.EVENT_WRITE)
            while done < len(content):
                self._await(waiting, until)
                done += os.write(pipe.fileno(), content[done : done + PIECE_BYTES])

    def _await(self, waiting: selectors.BaseSelector, until: float) -> None:
        if not waiting.select(max(0.0, until - time.monotonic())):
            end_group(self._process)
            why = "it did not answer in time"
            raise CommandFailed(where=self._title, why=why, code=TIMED_OUT)

    def _read(self, pipe: IO[bytes], size: int, until: float) -> bytes:
        """Exactly so many bytes."""
        found = bytearray()
        with selectors.DefaultSelector() as waiting:
            waiting.register(pipe, selectors.EVENT_READ)
            while len(found) < size:
                self._await(waiting, until)
                piece = os.read(pipe.fileno(), min(size - len(found), PIECE_BYTES))
                if not piece:
                    raise self._dead()
                found += piece
        return bytes(found)

    def _dead(self) -> CommandFailed:
        code = self._process.wait()
        self._complaints.seek(max(0, os.fstat(self._complaints.fileno()).st_size - LOG_TAIL_BYTES))
        said = self._complaints.read().decode(errors="replace").strip().splitlines()
        why = said[-1] if said else f"it ended with {code} and without an answer"
        return CommandFailed(where=self._title, why=why, code=128 - code if code < 0 else code)


@contextlib.contextmanager
def open_child(module: str, title: str) -> Iterator[Child]:
    """Run the `main` of a module apart, with nothing of the user's environment; ended with the
    block. It begins as a copy of this process where that is safe, else from nothing."""
    with tempfile.TemporaryFile() as complaints:
        process = Forked(module, complaints) if can_fork() else _started(module, complaints)
        try:
            yield Child(process, title, complaints)
        finally:
            end_group(process)
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()


def _started(module: str, complaints: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*ending_with_us(), sys.executable, "-I", "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=complaints,
        env=dict(ENVIRONMENT),
        start_new_session=True,
    )
