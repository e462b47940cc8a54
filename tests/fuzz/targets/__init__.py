"""Every parser of ours that reads bytes of strangers: how it is run, and what it starts from.

A target ends well when it returns, or raises an error of ours; anything else is a finding. Where a
parser has a writer, what was read must survive being written.
"""

from __future__ import annotations

from tests.fuzz.targets import (
    databases,
    disks,
    feeds,
    guests,
    keeping,
    packages,
    planning,
    recipes,
    statements,
    trees,
)
from tests.fuzz.targets.target import Target, run_target

__all__ = ["TARGETS", "Target", "run_target"]

TARGETS: dict[str, Target] = {
    **packages.TARGETS,
    **statements.TARGETS,
    **disks.TARGETS,
    **trees.TARGETS,
    **guests.TARGETS,
    **databases.TARGETS,
    **feeds.TARGETS,
    **planning.TARGETS,
    **recipes.TARGETS,
    **keeping.TARGETS,
}
"""By name, the ones of the package first."""
