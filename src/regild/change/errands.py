"""The errands of a plan as guest commands, behind what its packages need; pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from regild.change.family import family_of
from regild.change.script import PLACE, GuestCommand
from regild.model.plan import Errand, Plan

FOLDER: Final = "errands"
"""Below what the guest is shown: the files of each errand, by its number in the plan."""
SHOWN_MAX: Final = 60


def compile_commands(plan: Plan) -> tuple[GuestCommand, ...]:
    """Everything that changes the guest: the packages first, then the errands in their order."""
    packages = family_of(plan).compile(plan) if plan.package_steps else ()
    return (*packages, *_commands(plan))


def compile_tests(plan: Plan) -> tuple[GuestCommand, ...]:
    """The commands that must end with 0 once everything is in place; they change nothing."""
    return tuple(
        GuestCommand(_with_settings(number, one, argv), f"test of {one.name}", read_only=True)
        for number, one in enumerate(plan.errands)
        for argv in one.tests
    )


def _commands(plan: Plan) -> Iterator[GuestCommand]:
    for number, one in enumerate(plan.errands):
        for argv in one.commands:
            yield GuestCommand(_with_settings(number, one, argv), f"{one.name}: {_shown(argv)}")


def _with_settings(number: int, errand: Errand, argv: tuple[str, ...]) -> tuple[str, ...]:
    """A command with its errand's environment, the same way for every carrier."""
    settings = (("REGILD_FILES", f"{PLACE}/{FOLDER}/{number}"), *errand.settings)
    return ("env", *(f"{name}={value}" for name, value in settings), *argv)


def _shown(argv: tuple[str, ...]) -> str:
    """A command's words, short enough for a line."""
    text = argv[2] if argv[:2] == ("sh", "-ec") and len(argv) == 3 else " ".join(argv)
    line = " ".join(text.split())
    return line if len(line) <= SHOWN_MAX else line[: SHOWN_MAX - 3] + "..."
