"""Why a change that is available is left out; pure."""

from __future__ import annotations

from collections.abc import Mapping

BOOTED_WHY = "it takes the booted machine: "
HELD_WHY = "it is on hold in the image"
ASKED_WHY = "it was asked to be held"
EXCLUDED_WHY = "it was asked to be left out"
POLICY_WHY = "the policy holds it"
PLACE_WHY = "{name} takes its place"
KEPT_WHY = "the package manager keeps it back: it needs something removed or held"


def why_kept(name: str, reasons: Mapping[str, str], booted: str) -> str:
    """Why an upgrade is left out; `booted` is the reason why it could not be made offline."""
    if name in reasons and reasons[name] in (ASKED_WHY, HELD_WHY, EXCLUDED_WHY, POLICY_WHY):
        return reasons[name]
    if booted:
        return BOOTED_WHY + booted
    told = reasons.get(name, "")
    return f"the package manager keeps it back: {told}" if told else KEPT_WHY
