"""The running side as the catalogue keeps it: groups, their instances, windows, and who decided."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec

from regild.model.content import Value

WindowKind = Literal["window", "freeze"]
Verdict = Literal["pending", "approved", "refused"]


class GroupVersion(Value, frozen=True):
    """One version of a group's file, as it was given; `rotate` reads what it says."""

    name: str
    version: int
    text: str
    """TOML."""
    image: str = ""
    channel: str = ""
    size: int | None = None
    """How many instances are wanted, where it was said apart from the file."""
    rotation: dict[str, Any] = msgspec.field(default_factory=dict)
    """How far it is on its way to a generation, in `rotate`'s own words."""
    made: datetime | None = None
    actor: str = ""


class KnownInstance(Value, frozen=True):
    """One running machine of a group, as the catalogue knows it."""

    group: str
    name: str
    state: str
    """The driver's and the rotation's word for it."""
    current: str = ""
    """The generation that it runs, such as `web@7`."""
    staged: str = ""
    """The one that it has and does not run yet."""
    desired: str = ""
    user: str = ""
    """Whom it was built for on request."""
    place: str = ""
    """What the driver needs to find it again."""
    facts: dict[str, str] = msgspec.field(default_factory=dict)
    changed: datetime | None = None


class Window(Value, frozen=True):
    """A named calendar of convenient times, or of times when nothing may change."""

    name: str
    kind: WindowKind
    calendar: str
    """iCalendar (RFC 5545)."""
    made: datetime | None = None
    actor: str = ""


class Approval(Value, frozen=True):
    """A question that a person decides; nothing goes on before."""

    id: int
    subject: str
    """Such as `web@7 -> production`."""
    asked: datetime
    verdict: Verdict = "pending"
    decided: datetime | None = None
    actor: str = ""
    why: str = ""
