"""What the agent may do by itself, as a site's file says: which images it keeps up to date, how
they come from one channel to the next, and whom it tells."""

from __future__ import annotations

from typing import Literal

from regild.model.content import Value

Occasion = Literal["pending", "done", "halted", "revoked"]
"""Something waits for a person; something was finished; something was given up or has failed; a
generation must not be used any more."""
OCCASIONS: tuple[Occasion, ...] = ("pending", "done", "halted", "revoked")


class ImagePolicy(Value, frozen=True):
    """How one image, or every image whose name fits, is kept up to date."""

    image: str
    """A name, or a pattern with * and ?."""
    update: bool = True
    """Make a new generation when there is something to change."""
    mode: str = ""
    """`upgrade`, `security` or `full`; empty: what the site says."""
    channels: tuple[str, ...] = ()
    """The way of a generation, first to last; empty: the image's channels in their order."""
    bake_seconds: int = 0
    """How long a generation stays in a channel at least before the next one may point at it."""
    approval: tuple[str, ...] = ()
    """Channels that point at something new only when a person has said yes."""
    windows: str = ""
    """iCalendar text of the times in which channels may move; empty: at any time."""
    freezes: str = ""
    targets: tuple[str, ...] = ()
    """Addresses that generations are pushed to."""
    targets_channel: str = ""
    """Which channel's generation is pushed; empty: the last one's."""
    source: str = ""
    """An address that is watched: what appears or changes there is the image's next generation."""
    source_names: str = "*"
    """Which of what is there, as a pattern."""


class Notices(Value, frozen=True):
    """Who is told when something happens."""

    webhooks: tuple[str, ...] = ()
    secret: str = ""
    """A file; what it holds signs what is sent to webhooks."""
    mail: tuple[str, ...] = ()
    """Addresses of people."""
    smtp: str = "localhost:25"
    sender: str = ""
    on: tuple[Occasion, ...] = OCCASIONS


class AgentPolicy(Value, frozen=True):
    """Everything that the agent does."""

    every_seconds: int = 900
    """How often feeds and sources are read."""
    tick_seconds: int = 60
    """How often channels and groups are looked at."""
    groups: tuple[str, ...] = ("*",)
    """Which groups it takes turns with: names, or patterns."""
    images: tuple[ImagePolicy, ...] = ()
    notices: Notices = Notices()
