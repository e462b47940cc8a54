"""The solver's door: what it is asked, what it answers. Today apt-get stands behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from regild.model.content import Planning, Source, Value
from regild.model.plan import Action, FeedState, Mode


class Request(Value, frozen=True):
    """A question for a solver: the installed state, what is available, how far to go."""

    planning: Planning
    sources: tuple[Source, ...]
    """The enabled sources, whose indexes lie in `lists`."""
    feeds: tuple[FeedState, ...]
    mode: Mode
    holds: tuple[str, ...] = ()
    """Names of installed packages that must stay as they are, besides the guest's own holds."""
    forbidden: tuple[str, ...] = ()
    """Names of packages that must not be installed."""


class Move(Value, frozen=True, rename={"was": "from", "becomes": "to"}):
    """One package that the solver wants changed."""

    action: Action
    name: str
    arch: str
    was: str = ""
    becomes: str = ""
    origin: str = ""
    """Where the version comes from, in the solver's words."""


class Transaction(Value, frozen=True):
    """What a solver answers: what changes, and which upgrades it had to leave out."""

    moves: tuple[Move, ...]
    kept: tuple[str, ...] = ()
    """Names of installed packages with an upgrade that could not be taken."""


class Solver(Protocol):
    """Finds the transaction for a request; `lists` is a folder laid out as apt's lists are."""

    def __call__(self, request: Request, lists: Path, /) -> Transaction:
        """The packages that change.

        Raises: Unsolvable, HostError when the solver cannot run here.
        """
