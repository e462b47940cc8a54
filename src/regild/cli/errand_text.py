"""What is run besides a guest's package manager, as a person reads it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from regild.cli.text import plain

if TYPE_CHECKING:
    from regild.model.answers import RecipeAnswer, UpdateAnswer
    from regild.model.plan import Errand, Step
    from regild.model.receipt import ReceiptErrand


def done_sentence(answer: UpdateAnswer) -> str:
    """What came of a change, in one line."""
    if not answer.output:
        return "Nothing to do; nothing was written"
    said = []
    applications = sum(bool(one.recipe) for one in answer.upgraded)
    packages = len(answer.upgraded) - applications
    if packages or not answer.receipt or not answer.receipt.errands:
        said.append(many(packages, "package was", "packages were") + " changed")
    if applications:
        said.append(many(applications, "application was", "applications were") + " changed")
    own = sum(one.recipe is None for one in (answer.receipt.errands if answer.receipt else ()))
    return ", ".join([*said, *(["the command was run"] if own else [])]) or "the recipe was run"


def errand_pairs(errands: Sequence[Errand | ReceiptErrand]) -> list[tuple[str, object]]:
    """What is run besides the package manager, and by whose word."""
    return [
        (
            f"Recipe {one.name}" if one.recipe else "Command",
            [" ".join(words[2:] if words[:2] == ("sh", "-ec") else words) for words in one.commands]
            + [f"{one.recipe}, by the {one.origin}" for _ in range(bool(one.recipe))],
        )
        for one in errands
    ]


def recipe_text(answer: RecipeAnswer, width: int) -> str:
    """What is wrong in recipes, file by file."""
    lines = []
    for file in answer.files:
        state = f"recipe {file.name}, {file.digest}" if not file.faults else "cannot be used"
        lines.append(f"{plain(file.path)}: {plain(state)}")
        for one in file.faults:
            place = f"line {one.line}: " if one.line else ""
            lines.append(plain(f"  {place}{one.setting} {one.why}"))
    return "\n".join(lines)


def many(number: int, one: str, several: str) -> str:
    """A number and the word for so many."""
    return f"{number} {one if number == 1 else several}"


def restart_rows(steps: Sequence[Step]) -> Iterator[tuple[str, object]]:
    """What instances that run have to be started anew for."""
    if steps:
        asking = [f"{step.name}: {step.restart}" for step in steps if step.restart]
        yield "Restart", asking or "no instance needs one"
