"""A stage of a job: one function of regild run in a process and name space of its own.

The stage gets a request (JSON) on its standard input and tells, line by line (JSON) on its
standard output, what it does, and at the end its result or its error, which is raised here as if
the function had been called. Where the work touches a guest's bytes, this is the wall: the stage
sees only the folders and file descriptors that it is given.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from regild.errors import (
    CommandFailed,
    DiskFull,
    GuestCommandHung,
    HostError,
    NotPermitted,
    RegildError,
    TooLarge,
    Unforeseen,
)
from regild.host.answering import LOG_TAIL_BYTES, rebuild_error
from regild.host.enter import NOT_ALLOWED, SIGNALLED
from regild.host.namespace import IdMap, View, open_namespace
from regild.host.run import end_group, find_tool
from regild.host.syscalls import open_filter
from regild.model.progress import Progress

CAPABILITIES = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_SETFCAP",
)
"""What building a guest's tree takes; all within the name space only (writepath measurements)."""

TRACING = frozenset({"ptrace"})
LINE_BYTES_MAX = 64 << 20
MEMORY_BYTES_MAX = 4 << 30
"""Address space of a confined stage: reading eight million names and inodes stays below it."""


def run_stage(
    name: str,
    request: object,
    *,
    ids: IdMap,
    view: View,
    log: Path,
    progress: Progress,
    keep: Sequence[int] = (),
    confined: bool = True,
    traces: bool = False,
    timeout_seconds: float | None = None,
) -> Any:
    """Run `main` of the module `name` apart, and return what it returns (JSON values).

    `confined` leaves the stage only the capabilities that file ownership takes, and bounds its
    memory; without it, it may mount inside its name space. With `traces` it may trace the processes
    that it started (ptrace(2)), which is how a user-mode kernel runs its own. What it says on
    standard error goes to the file `log`. The answer is checked for its form only: whoever takes
    over a stage can say anything in it.

    Raises: whatever RegildError the stage raised; CommandFailed when a signal ended it (the code
    is 128 and the signal's number), HostError when it ended otherwise without an answer;
    NotPermitted when there can be no name space; GuestCommandHung when `timeout_seconds` pass.
    """
    argv: list[str | Path] = [sys.executable, "-I", "-m", "regild.host.stage", name]
    title = title_of(name)
    with (
        log.open("ab") as errors_file,
        open_filter(TRACING if traces else frozenset()) as calls,
        open_namespace(
            [*confinement(calls), *argv] if confined else argv,
            ids,
            view,
            errors=errors_file,
            keep=(*keep, calls),
            memory_bytes=MEMORY_BYTES_MAX if confined else None,
        ) as process,
        _deadline(process, timeout_seconds, title),
    ):
        begin = errors_file.tell()
        return converse(process, request, title, progress, lambda: _last_line(log, begin))


def title_of(name: str) -> str:
    """What a stage is called in errors."""
    return f"the stage {name.rpartition('.')[2]}"


def converse(
    process: subprocess.Popen[bytes],
    request: object,
    title: str,
    progress: Progress,
    last_words: Callable[[], str],
) -> Any:
    """Send a stage its request and follow what it tells to its result or error."""
    send(process, request)
    return follow(process, title, progress, last_words)


def send(process: subprocess.Popen[bytes], request: object) -> None:
    """Send a stage its request."""
    assert process.stdin is not None  # noqa: S101 - a pipe by construction
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(json.dumps(request).encode())
        process.stdin.close()


def follow(
    process: subprocess.Popen[bytes],
    title: str,
    progress: Progress,
    last_words: Callable[[], str],
) -> Any:
    """What a stage tells, to its result or error."""
    assert process.stdout is not None  # noqa: S101 - a pipe by construction
    for told in _read_lines(process.stdout, title):
        if "result" in told:
            return told["result"]
        if "error" in told:
            raise rebuild_error(told, title)
        _pass_on(told, progress)
    raise _without_answer(process, title, last_words())


def signal_of(error: CommandFailed) -> int:
    """The number of the signal that ended a stage or command; 0 when none did."""
    return error.code - SIGNALLED if error.code > SIGNALLED else 0


def confinement(calls: int) -> list[str | Path]:
    """bubblewrap around the stage: no capability but those named, no new privileges, and only the
    calls of the kernel that the filter lets through."""
    found = find_tool("bwrap", "to keep a guest's bytes apart from this machine")
    granted = [part for capability in CAPABILITIES for part in ("--cap-add", capability)]
    shown = ["--bind", "/", "/", "--dev-bind", "/dev", "/dev"]
    return [found, *shown, "--seccomp", str(calls), "--cap-drop", "ALL", *granted]


def _read_lines(lines: IO[bytes], title: str) -> Iterator[dict[str, Any]]:
    """What the stage tells, line by line.

    Raises: HostError when it is not what a stage says.
    """
    while line := lines.readline(LINE_BYTES_MAX):
        if not line.endswith(b"\n"):
            return  # it was ended in the middle
        try:
            told = json.loads(line)
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict):
            raise HostError(where=title, why="it answered in a form that no stage has")
        yield told


def _pass_on(told: dict[str, Any], progress: Progress) -> None:
    """Give a stage's progress to whoever watches ours."""
    if "step" in told:
        total = told.get("total")
        progress.step(str(told["step"]), total if isinstance(total, int) else None)
    elif isinstance(told.get("advance"), int):
        progress.advance(told["advance"])
    elif "note" in told:
        progress.note(str(told["note"]))


def _without_answer(process: subprocess.Popen[bytes], title: str, said: str) -> HostError:
    """Why a stage ended without an answer, as far as its exit status and last words tell."""
    code = process.wait()
    if code == NOT_ALLOWED:
        return NotPermitted(where="name spaces of their own for a guest's bytes", why=said)
    if code > SIGNALLED:
        number = code - SIGNALLED
        known = signal.strsignal(number) if number < signal.NSIG else None
        why = f"signal {number} ended it ({known or 'unknown'})"
        return CommandFailed(where=title, why=why, code=code)
    return HostError(where=title, why=f"it ended with {code} and without an answer: {said}")


def _last_line(log: Path, begin: int) -> str:
    """The last thing that a stage said on standard error."""
    with log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(begin, size - LOG_TAIL_BYTES))
        lines = file.read(LOG_TAIL_BYTES).decode(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else "it said nothing"


@contextlib.contextmanager
def _deadline(
    process: subprocess.Popen[bytes], seconds: float | None, title: str
) -> Iterator[None]:
    """End the stage when its time is up, and say that this was the reason."""
    if seconds is None:
        yield
        return
    up = threading.Event()

    def end() -> None:
        up.set()
        end_group(process)

    timer = threading.Timer(seconds, end)
    timer.start()
    try:
        yield
    except HostError as error:
        if up.is_set():
            why = f"it was ended after {seconds:.0f} seconds"
            raise GuestCommandHung(where=title, why=why) from error
        raise
    finally:
        timer.cancel()


class _Teller:
    """Progress told over standard output; small advances are gathered."""

    def __init__(self, out: IO[str]) -> None:
        self._out, self._gathered, self._told = out, 0, time.monotonic()

    def step(self, name: str, total: int | None = None) -> None:
        """A new step begins."""
        self.tell(step=name, total=total)

    def advance(self, amount: int) -> None:
        """Some more is done."""
        self._gathered += amount
        if time.monotonic() - self._told > 0.2:
            self.tell(advance=self._gathered)
            self._gathered, self._told = 0, time.monotonic()

    def note(self, text: str) -> None:
        """Something worth a line of its own."""
        self.tell(note=text)

    def tell(self, **facts: Any) -> None:
        """Send one line."""
        self._out.write(json.dumps(facts, default=str) + "\n")
        self._out.flush()

    def finish(self, **facts: Any) -> None:
        """Send the outcome, after what is still gathered."""
        self.tell(advance=self._gathered)
        self.tell(**facts)


def main(name: str) -> int:
    """The stage's own process: read the request, call the module's `main`, tell the outcome."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever prints must not be taken for an answer
    teller = _Teller(out)
    request = json.loads(sys.stdin.buffer.read())
    try:
        result = importlib.import_module(name).main(request, teller)
    except RegildError as error:
        failed = error
    except MemoryError:
        failed = TooLarge(where=f"the stage {name.rpartition('.')[2]}", why="it needs more memory")
    except Exception as error:
        traceback.print_exc()
        failed = _unforeseen(error, name)
    else:
        teller.finish(result=result)
        return 0
    teller.finish(error=type(failed).__name__, facts=failed.facts())
    return 1


def _unforeseen(error: Exception, name: str) -> RegildError:
    """One sentence for what nobody translated: the system's own words, or a bug."""
    if isinstance(error, OSError):
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return DiskFull(where=str(error.filename or "the job's folder"), why="no space left")
        why = f"{error.filename or 'a file'}: {error.strerror}"
        return HostError(where=f"the stage {name.rpartition('.')[2]}", why=why)
    return Unforeseen(what=f"{type(error).__name__} in {name}: {error}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
