"""How long work tells what it is doing: one door that the terminal, a log and a test can stand
behind."""

from __future__ import annotations

import threading
from typing import Protocol


class Progress(Protocol):
    """Told by a verb what it does; `total` and `done` are bytes unless the step says otherwise."""

    def step(self, name: str, total: int | None = None) -> None:
        """A new step begins; the one before has ended."""

    def advance(self, amount: int) -> None:
        """Some more of the current step is done."""

    def note(self, text: str) -> None:
        """Something worth a line of its own."""


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
