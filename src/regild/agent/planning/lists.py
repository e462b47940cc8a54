"""Lists of all files, brought where a path decides that no index names."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from regild.model.release import IndexFile
from regild.plan.solver import Request, Solver, Transaction


def following_paths(solve: Solver, bring: Callable[[], tuple[IndexFile, ...]]) -> Solver:
    """A solver that is asked once more, with the lists of all files that `bring` gives, where its
    first answer hangs on a path that no index names."""

    def ask(request: Request, /) -> Transaction:
        """The answer, which may have taken two questions."""
        found = solve(replace(request, asks_paths=True))
        if not found.paths:
            return found
        return solve(replace(request, indexes=bring(), paths=found.paths))

    return ask
