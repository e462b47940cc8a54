"""Golden images as the catalogue keeps them: lines of generations, the channels that point at them,
and what was revoked."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Literal

from regild.errors import UsageError
from regild.model.content import Value
from regild.model.digest import Digest

NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?")
"""Names of images, channels and groups: what is a name in a registry, in a domain and on a disk
as well (OCI distribution specification 1.1, RFC 1123)."""
CHANNELS = ("dev", "canary", "production")
"""The channels of a new image, unless it is told others."""

GenerationForm = Literal["ova", "folder", "disk"]


class Reference(Value, frozen=True):
    """What a user wrote to name a generation: `web@7`, `web@production`, or `web` for the
    newest."""

    image: str
    at: str = ""
    """Digits for a number, or a channel's name; empty for the newest."""

    @property
    def number(self) -> int | None:
        """The generation's number where it was named by number."""
        return int(self.at) if self.at.isdigit() else None

    def __str__(self) -> str:
        return f"{self.image}@{self.at}" if self.at else self.image


def read_reference(text: str) -> Reference:
    """Take `IMAGE[@NUMBER|@CHANNEL]` apart.

    Raises: UsageError.
    """
    image, at_sign, at = text.partition("@")
    if at_sign and not (re.fullmatch(r"[1-9][0-9]{0,8}", at) or is_name(at)):
        raise UsageError(what=f"{text}: after the @ stands a generation's number or a channel")
    return Reference(check_name(image, "image"), at)


def is_name(text: str) -> bool:
    """Whether a text can name an image, a channel or a group; digits alone name generations."""
    return NAME.fullmatch(text) is not None and not text.isdigit()


def check_name(text: str, what: str) -> str:
    """A name, if it is one.

    Raises: UsageError.
    """
    if not is_name(text):
        rule = "letters a-z, digits, dots, hyphens and underscores, at most 63, not digits alone"
        raise UsageError(what=f"{text!r} is no name for {what}: it is made of {rule}")
    return text


class Retention(Value, frozen=True):
    """Which old generations are kept; one that is in use, pinned or newest is kept in any case."""

    newest: int = 10
    """How many of the newest are kept; 0: all."""
    days: int = 0
    """Younger ones are kept too, whatever their number."""


class GoldenImage(Value, frozen=True):
    """One golden image: a line of generations."""

    name: str
    about: str = ""
    created: datetime | None = None
    retention: Retention = Retention()


class StoredFile(Value, frozen=True):
    """One file of a generation, whole under its digest in the store."""

    name: str
    digest: Digest
    bytes: int


class Revocation(Value, frozen=True):
    """Why a generation, and what descends from it, must not be used from a moment on."""

    generation: str
    """The generation that was revoked: this one or an ancestor, such as `web@7`."""
    at: datetime
    why: str
    actor: str = ""


class Generation(Value, frozen=True):
    """One published version of a golden image."""

    image: str
    number: int
    digest: Digest
    """Of its only file, or of the list of its files (`digest_of_files`)."""
    form: GenerationForm
    files: tuple[StoredFile, ...] = ()
    created: datetime | None = None
    actor: str = ""
    parent: str = ""
    """The generation that it was made from, such as `web@6`; empty for the first of its line."""
    content: Digest | None = None
    """Of the content's JSON, as the catalogue holds it."""
    plan: Digest | None = None
    receipt: Digest | None = None
    pinned: bool = False
    expired: datetime | None = None
    """When its bytes were given up; what it held is still known."""
    revocation: Revocation | None = None
    """The earliest that concerns it, its own or an ancestor's; its moment may lie ahead."""

    @property
    def name(self) -> str:
        """`image@number`."""
        return f"{self.image}@{self.number}"

    def is_revoked(self, now: datetime) -> bool:
        """Whether it must not be used any more at a moment."""
        return self.revocation is not None and self.revocation.at <= now


class Channel(Value, frozen=True):
    """A name that points at one generation of an image."""

    image: str
    name: str
    number: int | None = None
    """The generation; None where nothing was promoted yet."""
    since: datetime | None = None
    actor: str = ""
    pinned: bool = False
    """It stays where it is until it is unpinned."""


class Move(Value, frozen=True):
    """One step of a channel's history."""

    channel: str
    number: int
    at: datetime
    actor: str
    kind: Literal["promote", "rollback"]
    why: str = ""
