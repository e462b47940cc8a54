"""Where every command ends: the one place that prints results and errors and chooses the exit code.

Results go to standard output, everything else to standard error. Exit codes: the error's own class
says it (`regild.errors`); 70 for what nobody foresaw; 130 and 143 after Ctrl-C and SIGTERM; 141
when the reader of our output went away. An error beats 3, 3 beats 10 and 11.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any, NamedTuple, TextIO

from regild.cli.outcome import Outcome
from regild.cli.text import plain, plain_json, plain_lines
from regild.errors import DiskFull, HostError, NotPermitted, RegildError, Unforeseen, UsageError

INTERRUPTED = 128 + signal.SIGINT
PIPE_CLOSED = 128 + signal.SIGPIPE
BUG = 70

COLUMNS = 100
"""The width of tables where there is no terminal."""
NARROWEST = 60
"""Tables are not made for narrower terminals than this."""


class Wishes(NamedTuple):
    """How the user wants to be answered; read before parsing, so that a wrong command line is
    answered in the same form."""

    json: bool = False
    debug: bool = False


class Ended(BaseException):
    """SIGTERM or SIGHUP arrived; raised so that everything open is closed on the way out."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.code = 128 + number


def read_wishes(argv: Sequence[str]) -> Wishes:
    """The wishes on a command line, wherever they stand before `--`."""
    options = argv[: argv.index("--")] if "--" in argv else argv
    return Wishes(json="--json" in options, debug="--debug" in options)


def conclude(command: Callable[[], Outcome | int | None], wishes: Wishes) -> int:
    """Run a command to its end, print what it says and give the exit code."""
    _ready_streams()
    try:
        with _signals_raised(), _logged_to(sys.stderr if wishes.debug else None):
            return _spoken(command, wishes)
    except BrokenPipeError:
        return PIPE_CLOSED
    except KeyboardInterrupt:
        return _interrupted(INTERRUPTED)
    except Ended as error:
        return _interrupted(error.code)
    finally:
        _forget_stdout_if_broken()


def _spoken(command: Callable[[], Outcome | int | None], wishes: Wishes) -> int:
    """Run a command and print its answer or its error."""
    try:
        return _told(command(), wishes)
    except BrokenPipeError:
        raise
    except Exception as error:
        known = error if isinstance(error, RegildError) else _known(error)
        if wishes.debug:
            print(plain_lines(traceback.format_exc()), file=sys.stderr)
        if wishes.json:
            # Where standard output itself is what failed, the sentence below has to do.
            with contextlib.suppress(OSError):
                _print_json({"error": failure_of(known)})
        _complain(known)
        return known.exit_code


def _told(ended: Outcome | int | None, wishes: Wishes) -> int:
    """Print what a command answered."""
    if not isinstance(ended, Outcome):
        sys.stdout.flush()
        # The parser turns Ctrl-C into this code before we see it.
        return _interrupted(INTERRUPTED) if ended == INTERRUPTED else ended or 0
    if wishes.json:
        _print_json(ended.answer)
    else:
        print(ended.text(_columns()), flush=True)
    for complaint in ended.complaints:
        _complain(complaint)
    return ended.exit_code


def _known(error: Exception) -> RegildError:
    """The regild error for an exception of the parser, of the machine, or of nobody's foresight."""
    from typer import TyperException

    if isinstance(error, TyperException):
        return UsageError(what=_said_of_usage(error))
    if isinstance(error, MemoryError):
        return HostError(where="regild", why="there is not enough memory")
    if isinstance(error, OSError) and error.errno is not None:
        where = os.fsdecode(error.filename) if error.filename else "regild"
        why = os.strerror(error.errno).lower()
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            return NotPermitted(where=f"access to {where}", why=why)
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        return (DiskFull if full else HostError)(where=where, why=why)
    return Unforeseen(what=f"{type(error).__name__}: {error}".rstrip(": "))


def _said_of_usage(error: Any) -> str:
    """What the parser says of a command line; a group without a command lists its own."""
    said: str = error.format_message().rstrip(".")
    context = getattr(error, "ctx", None)
    if said != "Missing command" or context is None:
        return said
    return f"say which command: {', '.join(context.command.list_commands(context))}"


def failure_of(error: RegildError) -> dict[str, Any]:
    """An error as it stands in `--json`, under `error`."""
    return {
        "kind": type(error).__name__,
        "sentence": str(error),
        "hint": error.advice,
        "exit_code": error.exit_code,
        "retryable": error.retryable,
        "facts": error.facts(),
        "log": error.log,
    }


def _interrupted(code: int) -> int:
    print("regild: interrupted; nothing was published", file=sys.stderr)
    return code


def _complain(error: RegildError) -> None:
    print(f"regild: {plain(error)}", file=sys.stderr)
    if error.advice:
        print(f"  hint: {plain(error.advice)}", file=sys.stderr)
    if error.log:
        print(f"  log: {plain(error.log)}", file=sys.stderr)


def _print_json(value: Any) -> None:
    """Print a value as JSON; msgspec's own writer would refuse file names that are not UTF-8."""
    import msgspec

    text = json.dumps(msgspec.to_builtins(value, enc_hook=str), ensure_ascii=False)
    try:
        shown = msgspec.json.format(text, indent=2)
    except UnicodeEncodeError:
        # A file's name that is not UTF-8: only Python's own writer takes it, slowly.
        shown = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    print(plain_json(shown), flush=True)


def _columns() -> int:
    """The width to print in: the terminal's, or 100 where there is none."""
    return max(NARROWEST, shutil.get_terminal_size().columns) if sys.stdout.isatty() else COLUMNS


def _ready_streams() -> None:
    """Make standard output and error take any text, and be there at all.

    Where the caller closed one, the next file that we open would get its number, and whatever a
    library or a child prints would go into that file.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            handle = os.open(os.devnull, os.O_RDWR)
            if handle != number:
                os.dup2(handle, number)
                os.close(handle)
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115 - stays open
        stream = getattr(sys, name)
        if number and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _forget_stdout_if_broken() -> None:
    """Nobody takes our output any more: keep the interpreter from complaining at its end."""
    try:
        sys.stdout.flush()
        return
    except (OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
    with contextlib.suppress(OSError, ValueError):
        os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


@contextlib.contextmanager
def _signals_raised() -> Iterator[None]:
    """Let SIGTERM and SIGHUP unwind like Ctrl-C does, so that nothing is left behind."""
    at_keyboard = signal.getsignal(signal.SIGINT)

    def end(number: int, frame: FrameType | None) -> None:
        raise Ended(number)

    numbers = (signal.SIGTERM, signal.SIGHUP)
    before: list[tuple[signal.Signals, Any]] = []
    try:
        before = [(number, signal.signal(number, end)) for number in numbers]
        if at_keyboard is signal.SIG_DFL:
            before.append((signal.SIGINT, signal.signal(signal.SIGINT, signal.default_int_handler)))
    except ValueError:  # not in the main thread: a test's runner
        before = []
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


class _PlainFormatter(logging.Formatter):
    """Log lines may quote an image; they are made safe like everything else."""

    def format(self, record: logging.LogRecord) -> str:
        return plain_lines(super().format(record))


@contextlib.contextmanager
def _logged_to(stream: TextIO | None) -> Iterator[None]:
    """Send regild's own log to a stream, for as long as the command runs."""
    if stream is None:
        yield
        return
    tap = logging.StreamHandler(stream)
    tap.setFormatter(_PlainFormatter("%(relativeCreated)7d ms %(name)s: %(message)s"))
    log = logging.getLogger("regild")
    before, level = log.handlers, log.level
    log.handlers = [tap]
    log.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        log.handlers = before
        log.setLevel(level)
