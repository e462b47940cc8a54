"""How long work tells what it is doing: one door that the terminal, a log and a test can stand
behind."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Protocol, runtime_checkable


class Progress(Protocol):
    """Told by a verb what it does; `total` and `done` are bytes unless the step says otherwise."""

    def step(self, name: str, total: int | None = None) -> None:
        """A new step begins; the one before has ended."""

    def advance(self, amount: int) -> None:
        """Some more of the current step is done."""

    def note(self, text: str) -> None:
        """Something worth a line of its own."""


@runtime_checkable
class Ending(Protocol):
    """Progress that can be told that a step is over, where no other follows at once."""

    def end(self) -> None:
        """The current step is over."""


@runtime_checkable
class Board(Protocol):
    """Progress that can also count things, and show several that are under way at once."""

    def count(self, name: str, total: int) -> None:
        """A new step begins, of so many things that are no bytes."""

    def rows(self, rows: Sequence[str]) -> None:
        """What is under way just now, a line for each; they take the place of those before."""


def begin_count(progress: Progress, name: str, total: int) -> None:
    """Begin a step of so many things, whoever is told."""
    if isinstance(progress, Board):
        progress.count(name, total)
    else:
        progress.step(name, total)


def end_step(progress: Progress) -> None:
    """Say that a step is over before what comes next is waited for, or its time would grow."""
    if isinstance(progress, Ending):
        progress.end()


def show_rows(progress: Progress, rows: Sequence[str]) -> None:
    """Show what is under way, where somebody can see it."""
    if isinstance(progress, Board):
        progress.rows(rows)


class Silent:
    """Progress that nobody watches."""

    def step(self, name: str, total: int | None = None) -> None:
        """A new step begins."""

    def advance(self, amount: int) -> None:
        """Some more is done."""

    def note(self, text: str) -> None:
        """Something worth a line of its own."""


class Shared:
    """Progress that several threads tell."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._lock = progress, threading.Lock()

    def step(self, name: str, total: int | None = None) -> None:
        """A new step begins."""
        with self._lock:
            self._progress.step(name, total)

    def advance(self, amount: int) -> None:
        """Some more is done."""
        with self._lock:
            self._progress.advance(amount)

    def note(self, text: str) -> None:
        """Something worth a line of its own."""
        with self._lock:
            self._progress.note(text)

    def end(self) -> None:
        """The current step is over."""
        with self._lock:
            end_step(self._progress)
