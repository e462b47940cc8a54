"""The solver's door: what it is asked, what it answers. Behind it stands `plan.libsolv`."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from regild.model.content import Planning, Value
from regild.model.plan import Action, Mark, Mode
from regild.model.release import IndexFile

TITLE = "the solver"


class Request(Value, frozen=True):
    """A question for a solver: the installed state, what is available, how far to go."""

    planning: Planning
    indexes: tuple[IndexFile, ...]
    """What the enabled sources offer, in the sources' order."""
    mode: Mode
    holds: tuple[str, ...] = ()
    """Names of installed packages that must stay as they are, besides the guest's own holds."""
    only: tuple[str, ...] | None = None
    """Names of the packages to bring up to date; None: all."""
    autoremove: bool = False
    """Remove what was only installed for another's sake and is no longer needed."""
    phased: bool = True
    """Take updates that their repository still rolls out by and by."""
    forbidden: tuple[str, ...] = ()
    """Names of packages of which no other version must be installed."""
    asks_paths: bool = False
    """Say which paths would decide that no index names, in place of an answer without them."""
    paths: tuple[str, ...] = ()
    """Those paths; the indexes then hold the repositories' lists of all files."""


class Move(Value, frozen=True, rename={"was": "from", "becomes": "to"}):
    """One package that the solver wants changed."""

    action: Action
    name: str
    arch: str
    was: str = ""
    becomes: str = ""
    origin: str = ""
    """Where the version comes from."""
    paths: tuple[str, ...] = ()
    """Which of the paths that were asked about it has."""


class Transaction(Value, frozen=True):
    """What a solver answers: what changes, and which upgrades it had to leave out."""

    moves: tuple[Move, ...]
    kept: tuple[str, ...] = ()
    """Names of installed packages with an upgrade that could not be taken."""
    reasons: dict[str, str] = msgspec.field(default_factory=dict)
    """By name, why a package is kept back or removed, where the solver can tell."""
    paths: tuple[str, ...] = ()
    """Paths that would decide, and that no index names: the rest is no answer then. Only where
    that was asked for."""
    marks: tuple[Mark, ...] = ()
    """Which packages count as installed for others, where that is not what their manager makes of
    these moves anyway."""


class Answer(msgspec.Struct, frozen=True):
    """What the solver's process says: a transaction, or the name and facts of an error."""

    transaction: Transaction | None = None
    error: str = ""
    facts: dict[str, Any] = msgspec.field(default_factory=dict)


class Solver(Protocol):
    """Finds the transaction for a request."""

    def __call__(self, request: Request, /) -> Transaction:
        """The packages that change.

        Raises: Unsolvable, HostError when the solver cannot run here.
        """
