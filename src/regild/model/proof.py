"""What was asked of an image and of its receipt, and what each question came to."""

from __future__ import annotations

from typing import Literal

from regild.model.content import Unknown, Value
from regild.model.plan import Difference


class ReceiptAnswer(Value, frozen=True):
    """The receipt that a descriptor names."""

    system: str
    name: str
    state: Literal["absent", "broken", "unsigned", "unchecked", "untrusted", "valid"]
    why: str
    key: str = ""
    """The id of the key that signed it, where one that is trusted did."""
    differences: tuple[Difference, ...] = ()


class CheckAnswer(Value, frozen=True):
    """One question of the static proof."""

    check: str
    says: str
    """What is true when it holds."""
    state: Literal["held", "broken", "left out"]
    why: str = ""
    """Why it was left out."""
    differences: tuple[Difference, ...] = ()


class SystemProof(Value, frozen=True):
    """What was asked of one virtual system."""

    system: str
    checks: tuple[CheckAnswer, ...]
    unknowns: tuple[Unknown, ...] = ()


class ProveAnswer(Value, frozen=True):
    """`regild prove`: whether what an image holds is whole."""

    image: str
    systems: tuple[SystemProof, ...]
