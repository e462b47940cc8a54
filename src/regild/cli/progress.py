"""What long work is doing, told on standard error: a live line on a terminal, else plain lines.

The live line carries the step, the bytes done and to do, the rate and the time left. Plain lines
come at a step's start and, unless it was over at once, at its end; a step that takes long says so
every ten seconds. Nothing is ever written to standard output.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TextIO

from regild.cli.text import plain
from regild.model.progress import Progress

REPAINT_SECONDS = 0.1
TICK_SECONDS = 0.5
MOMENT_SECONDS = 0.9
"""What is shorter than this needs no time, no rate and no line of its own."""
HEARTBEAT_SECONDS = 10.0
RATE_SECONDS = 5.0
"""The rate shown is that of the last five seconds, so that the time left follows the work."""

ROWS_MAX = 16
"""Things under way that are shown at once."""

Clock = Callable[[], float]
Unit = Callable[[float], str]


@contextlib.contextmanager
def open_progress(live: bool = True, stream: TextIO | None = None) -> Iterator[Progress]:
    """Tell what the work inside does, in the form that fits standard error.

    `live=False` asks for plain lines even on a terminal (with --debug, whose log would tear the
    live line).
    """
    stream = stream or sys.stderr
    on_terminal = stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb")
    if not (live and on_terminal):
        lines = Lines(stream)
        yield lines
        lines.end()
        return
    line = LiveLine(stream)
    try:
        with _ticking(line):
            yield line
    finally:
        line.end()


class Step:
    """One step's name, amount and time; pure but for the clock that it is given."""

    def __init__(
        self, name: str, total: int | None, clock: Clock, unit: Unit | None = None
    ) -> None:
        self.name = plain(name)
        self.total = total
        self._text = unit or bytes_text
        self.done = 0
        self._clock = clock
        self._begun = clock()
        self._whole_at: float | None = None
        """When all of it was done: what is told later took no longer."""
        self._recent: deque[tuple[float, int]] = deque([(self._begun, 0)])

    def advance(self, amount: int) -> None:
        """Some more is done."""
        self.done += amount
        now = self._clock()
        if self.total and self.done >= self.total and self._whole_at is None:
            self._whole_at = now
        if now - self._recent[-1][0] >= RATE_SECONDS / 20:
            self._recent.append((now, self.done))
        while len(self._recent) > 2 and now - self._recent[0][0] > RATE_SECONDS:
            self._recent.popleft()

    @property
    def seconds(self) -> float:
        """How long this step has taken so far."""
        until = self._clock() if self._whole_at is None else self._whole_at
        return until - self._begun

    @property
    def rate(self) -> float:
        """Bytes a second, of late."""
        then, done = self._recent[0]
        return (self.done - done) / max(self._clock() - then, 1e-3)

    @property
    def left_seconds(self) -> float | None:
        """How long the rest will take at this rate; None where that cannot be said."""
        if (
            not self.total
            or self.done >= self.total
            or self.rate <= 0
            or self.seconds < MOMENT_SECONDS
        ):
            return None
        return (self.total - self.done) / self.rate

    def now(self) -> str:
        """The step in one line, while it runs."""
        parts = [self.name]
        if self.total and self.done:
            share = min(100, 100 * self.done // self.total)
            parts.append(f"{self._text(self.done)} of {self._text(self.total)}, {share} %")
        elif self.done:
            parts.append(self._text(self.done))
        if self.done and self.seconds >= MOMENT_SECONDS:
            parts.append(f"{self._text(self.rate)}/s")
        left = self.left_seconds
        if left is not None:
            parts.append(f"{seconds_text(left)} left")
        elif self.seconds >= MOMENT_SECONDS:
            parts.append(seconds_text(self.seconds))
        return "  ".join(parts)

    def end(self) -> str:
        """The step in one line, when it is over."""
        if not self.done:
            return f"{self.name}: done in {seconds_text(self.seconds)}"
        rate = self._text(self.done / max(self.seconds, 1e-3))
        took = seconds_text(self.seconds)
        return f"{self.name}: done, {self._text(self.done)} in {took} ({rate}/s)"

    def begin(self) -> str:
        """The step in one line, when it begins."""
        return f"{self.name}: {self._text(self.total)}" if self.total else self.name


class Lines:
    """Progress as plain lines, for logs and pipes."""

    def __init__(self, stream: TextIO, clock: Clock = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._step: Step | None = None
        self._said = 0.0

    def step(self, name: str, total: int | None = None) -> None:
        """A new step begins; the one before has ended."""
        self._begin(Step(name, total, self._clock))

    def count(self, name: str, total: int) -> None:
        """A new step begins, of things that are counted."""
        self._begin(Step(name, total, self._clock, count_text))

    def rows(self, rows: Sequence[str]) -> None:
        """A log is not painted again."""

    def _begin(self, step: Step) -> None:
        self.end()
        self._step = step
        self._say(step.begin())

    def advance(self, amount: int) -> None:
        """Some more of the current step is done."""
        if self._step is None:
            return
        self._step.advance(amount)
        if self._clock() - self._said >= HEARTBEAT_SECONDS:
            self._say(self._step.now())

    def note(self, text: str) -> None:
        """Something worth a line of its own."""
        self._say(plain(text))

    def end(self) -> None:
        """The current step is over; a step under a second needs no line to say so."""
        if self._step is not None and self._step.seconds >= MOMENT_SECONDS:
            self._say(self._step.end())
        self._step = None

    def _say(self, text: str) -> None:
        self._said = self._clock()
        _write(self._stream, f"{text}\n")


class LiveLine:
    """Progress as one line that is painted again and again, for a terminal.

    Safe to call from two threads: the work and the clock's tick.
    """

    def __init__(self, stream: TextIO, clock: Clock = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._step: Step | None = None
        self._painted = 0.0
        self._rows: list[str] = []
        self._has_rows = False
        """Whether some are on the screen."""
        self._lock = threading.RLock()

    def step(self, name: str, total: int | None = None) -> None:
        """A new step begins; the one before has ended and leaves its line if it took a while."""
        self._begin(Step(name, total, self._clock))

    def count(self, name: str, total: int) -> None:
        """A new step begins, of things that are counted."""
        self._begin(Step(name, total, self._clock, count_text))

    def rows(self, rows: Sequence[str]) -> None:
        """What is under way just now, below the line."""
        with self._lock:
            self._rows = [plain(one) for one in rows]
            self._paint()

    def _begin(self, step: Step) -> None:
        with self._lock:
            self._close()
            self._step = step
            self._paint()

    def advance(self, amount: int) -> None:
        """Some more of the current step is done."""
        with self._lock:
            if self._step is not None:
                self._step.advance(amount)
                if self._clock() - self._painted >= REPAINT_SECONDS:
                    self._paint()

    def note(self, text: str) -> None:
        """Something worth a line of its own, above the live one."""
        with self._lock:
            _write(self._stream, f"\r{self._erase()}{plain(text)}\n")
            self._paint()

    def tick(self) -> None:
        """Time has passed: paint it."""
        with self._lock:
            self._paint()

    def end(self) -> None:
        """The work is over; the line goes."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._step is None:
            return
        kept = f"{self._step.end()}\n" if self._step.seconds >= MOMENT_SECONDS else ""
        _write(self._stream, f"\r{self._erase()}{kept}")
        self._step, self._rows = None, []

    def _paint(self) -> None:
        if self._step is None:
            return
        self._painted = self._clock()
        width = _columns(self._stream) - 1
        lines = [self._step.now()[:width], *(f"  {one}"[:width] for one in self._shown())]
        back = f"\x1b[{len(lines) - 1}A" if len(lines) > 1 else ""
        _write(self._stream, f"\r{self._erase()}" + "\n".join(lines) + back)

    def _erase(self) -> str:
        """Erase the line, and what is painted below it (ECMA-48, EL and ED)."""
        return "\x1b[J" if self._rows or self._has_rows else "\x1b[K"

    def _shown(self) -> list[str]:
        """As many rows as can be looked at."""
        self._has_rows = bool(self._rows)
        more = len(self._rows) - ROWS_MAX
        return self._rows if more <= 0 else [*self._rows[:ROWS_MAX], f"and {more} more"]


@contextlib.contextmanager
def _ticking(line: LiveLine) -> Iterator[None]:
    """Paint the line twice a second, so that a step without bytes shows its time too."""
    over = threading.Event()

    def tick() -> None:
        while not over.wait(TICK_SECONDS):
            line.tick()

    ticker = threading.Thread(target=tick, name="progress", daemon=True)
    ticker.start()
    try:
        yield
    finally:
        over.set()
        ticker.join()


def _columns(stream: TextIO) -> int:
    """The width of the terminal behind a stream; 80 where it does not say."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):  # no terminal, or none any more
        return 80


def _write(stream: TextIO, text: str) -> None:
    """Write, and never let a closed standard error end the work."""
    with contextlib.suppress(OSError, ValueError):
        stream.write(text)
        stream.flush()


def bytes_text(amount: float) -> str:
    """A number of bytes as a person reads it, in powers of 1000: `1.2 GB`."""
    size = float(amount)
    for unit in ("B", "kB", "MB", "GB"):
        if abs(size) < 999.5:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.1f} TB"


def count_text(amount: float) -> str:
    """A number of things as a person reads it: `40`, or `1.3` of a rate."""
    return f"{amount:.0f}" if amount == int(amount) else f"{amount:.2g}"


def seconds_text(seconds: float) -> str:
    """A length of time as a person reads it: `0.4 s`, `38 s`, `2 min 05 s`, `1 h 10 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
