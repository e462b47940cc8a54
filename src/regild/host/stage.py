"""A stage of a job: one function of regild run in a process and name space of its own.

The stage gets a request (JSON) on its standard input and tells, line by line (JSON) on its
standard output, what it does, and at the end its result or its error, which is raised here as if
the function had been called. Where the work touches a guest's bytes, this is the wall: the stage
sees only the folders and file descriptors that it is given.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from regild import errors
from regild.errors import GuestCommandHung, HostError, RegildError
from regild.host.namespace import IdMap, View, open_namespace
from regild.host.run import end_group, find_tool
from regild.model.progress import Progress

CAPABILITIES = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_SETFCAP",
)
"""What building a guest's tree takes; all within the name space only (writepath measurements)."""

LINE_BYTES_MAX = 64 << 20
LOG_TAIL_BYTES = 2000


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
    timeout_seconds: float | None = None,
) -> Any:
    """Run `main` of the module `name` apart, and return what it returns (JSON values).

    `confined` leaves the stage only the capabilities that file ownership takes; without it, it
    may mount inside its name space. What it says on standard error goes to the file `log`.

    Raises: whatever RegildError the stage raised; HostError when it ended without an answer;
    GuestCommandHung when `timeout_seconds` pass.
    """
    argv: list[str | Path] = [sys.executable, "-I", "-m", "regild.host.stage", name]
    if confined:
        argv = [*_confinement(), *argv]
    with (
        log.open("ab") as errors_file,
        open_namespace(argv, ids, view, errors=errors_file, keep=keep) as process,
        _deadline(process, timeout_seconds, name),
    ):
        assert process.stdin is not None and process.stdout is not None  # noqa: S101 - pipes by construction
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(request).encode())
            process.stdin.close()
        return _follow(process.stdout, name, log, progress)


def _confinement() -> list[str | Path]:
    """bubblewrap around the stage: no capability but those named, no new privileges."""
    found = find_tool("bwrap", "to keep a guest's bytes apart from this machine")
    granted = [part for capability in CAPABILITIES for part in ("--cap-add", capability)]
    return [found, "--bind", "/", "/", "--dev-bind", "/dev", "/dev", "--cap-drop", "ALL", *granted]


def _follow(lines: IO[bytes], name: str, log: Path, progress: Progress) -> Any:
    """Pass on what the stage tells until it has answered."""
    while line := lines.readline(LINE_BYTES_MAX):
        told = json.loads(line)
        if "step" in told:
            progress.step(told["step"], told["total"])
        elif "advance" in told:
            progress.advance(told["advance"])
        elif "note" in told:
            progress.note(told["note"])
        elif "error" in told:
            raise _rebuild(told["error"], told["facts"])
        elif "result" in told:
            return told["result"]
    raise HostError(where=f"the stage {name.rpartition('.')[2]}", why=_tail(log))


def _rebuild(kind: str, facts: dict[str, Any]) -> RegildError:
    """The error that a stage told of."""
    found = getattr(errors, kind, RegildError)
    made: RegildError = found(**{key: _tupled(value) for key, value in facts.items()})
    return made


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _tail(log: Path) -> str:
    said = log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace").strip()
    return f"it ended without an answer: {said or 'it said nothing'}"


@contextlib.contextmanager
def _deadline(process: Any, seconds: float | None, name: str) -> Iterator[None]:
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
            what = f"stage {name.rpartition('.')[2]}"
            why = f"it was ended after {seconds:.0f} seconds"
            raise GuestCommandHung(where=what, why=why) from error
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
        self._out.write(json.dumps(facts) + "\n")
        self._out.flush()


def main(name: str) -> int:
    """The stage's own process: read the request, call the module's `main`, tell the outcome."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever prints must not be taken for an answer
    teller = _Teller(out)
    request = json.loads(sys.stdin.buffer.read())
    try:
        result = importlib.import_module(name).main(request, teller)
    except RegildError as error:
        teller.tell(error=type(error).__name__, facts=error.facts())
        return 1
    teller.tell(result=result)
    return 0


def free_bytes(folder: Path) -> int:
    """Room left in a folder's filesystem."""
    return shutil.disk_usage(folder).free


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
