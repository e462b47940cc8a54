"""Why a change that is available is left out; pure."""

from __future__ import annotations

BOOTED_WHY = "it takes the booted machine: "
HELD_WHY = "it is on hold in the image"
ASKED_WHY = "it was asked to be held"
KEPT_WHY = "the package manager keeps it back: it needs something removed or held"


def why_kept(name: str, held: frozenset[str], asked: frozenset[str], booted: str) -> str:
    """Why an upgrade is left out; `booted` is the reason why it could not be made offline."""
    if name in asked:
        return ASKED_WHY
    if name in held:
        return HELD_WHY
    return BOOTED_WHY + booted if booted else KEPT_WHY
