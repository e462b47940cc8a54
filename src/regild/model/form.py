"""What becomes of an image that is written in another form, or on a larger disk."""

from __future__ import annotations

from regild.model.answers import Output
from regild.model.content import Unknown, Value
from regild.model.digest import Digest


class ConvertedDisk(Value, frozen=True):
    """A disk that was written in another form."""

    name: str
    was: str
    becomes: str
    bytes: int
    """Of the virtual disk."""
    virtual: Digest
    """Of its bytes, the same before and after."""


class ConvertAnswer(Value, frozen=True):
    """`regild convert`: what was written."""

    image: str
    disks: tuple[ConvertedDisk, ...]
    output: Output
    unknowns: tuple[Unknown, ...] = ()
    """What could not be read in the guest; its bytes were taken over all the same."""


class ResizeAnswer(Value, frozen=True):
    """`regild resize`: sizes before and after, in bytes."""

    image: str
    mount: str
    """Whose filesystem has the new room."""
    disk_was: int
    disk_becomes: int
    volume_was: int
    volume_becomes: int
    output: Output
    unknowns: tuple[Unknown, ...] = ()


FORM_ANSWERS: dict[str, type[Value]] = {"convert": ConvertAnswer, "resize": ResizeAnswer}
"""The answers of the commands that change an image's form alone."""
