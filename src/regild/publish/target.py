"""Where generations are pushed to, and taken from: the protocol, and what travels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from regild.model.content import Value
from regild.model.digest import Digest
from regild.model.generation import GenerationForm
from regild.model.progress import Progress


class ParcelFile(Value, frozen=True):
    """One file that travels."""

    name: str
    digest: Digest
    bytes: int
    media_type: str = "application/octet-stream"


class Label(Value, frozen=True):
    """What stands on a parcel: which generation it is, and of which files it is made."""

    image: str
    number: int
    digest: Digest
    form: GenerationForm
    files: tuple[ParcelFile, ...]
    parent: str = ""
    created: str = ""
    arch: str = "amd64"


@dataclass(frozen=True, slots=True)
class Parcel:
    """A generation on its way: its label, and its files where they lie on this machine."""

    label: Label
    paths: Mapping[str, Path]
    """By the names of the files."""
    disk: Callable[[str], Path]
    """Its boot disk as `qcow2` or `raw`, made when it is asked for."""
    referrers: Mapping[str, tuple[str, bytes]] = field(default_factory=dict)
    """What is said about it, by kind: a media type and bytes. Kinds: content, bom, receipt."""


class Pushed(Value, frozen=True):
    """Where a parcel is now."""

    where: str
    digest: Digest | None = None
    """What the target itself names it by, where it does."""
    sent_bytes: int = 0
    """What had to be sent; less than its size where the target had some of it."""
    notes: tuple[str, ...] = ()


class Target(Protocol):
    """A place that keeps generations for others to use."""

    def push(self, parcel: Parcel, progress: Progress) -> Pushed:
        """Put a generation there, whole or not at all; again after an interruption goes on.

        Raises: PublishError, NotPermitted, Unreachable, DigestMismatch.
        """

    def names(self) -> tuple[str, ...]:
        """What is there and can be taken, such as `web@3` or a tag."""

    def pull(self, name: str, folder: Path, progress: Progress) -> tuple[Path, ...]:
        """Bring what is there under a name into a folder, every byte proven by its digest where
        the target knows one; the first file is the image.

        Raises: MissingFile, DigestMismatch, NotPermitted, Unreachable, PublishError.
        """


def marks_of(target: Target) -> Mapping[str, str]:
    """What is at a target, each with what differs once it has changed; where a target of a third
    party has no `marks`, what it names never changes.

    Raises: what the target raises.
    """
    asked: Callable[[], Mapping[str, str]] | None = getattr(target, "marks", None)
    return asked() if asked is not None else {name: name for name in target.names()}
