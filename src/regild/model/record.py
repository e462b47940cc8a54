"""The change record: every path that a run of package scripts changed, before one byte of the
image is written."""

from __future__ import annotations

from typing import Literal

from regild.model.content import Value
from regild.model.digest import Digest

Kind = Literal["file", "directory", "symlink", "fifo", "socket", "character", "block", "absent"]


class Attribute(Value, frozen=True):
    """An extended attribute, as the guest sees it."""

    name: str
    value: bytes


class Inode(Value, frozen=True):
    """What a path is: its type, owner, times and content."""

    kind: Kind
    mode: int = 0
    """Permission bits with setuid, setgid and sticky (07777)."""
    uid: int = 0
    gid: int = 0
    mtime_ns: int = 0
    bytes: int = 0
    digest: Digest | None = None
    """SHA-256 of a file's content."""
    target: str = ""
    """A symlink's target."""
    device: tuple[int, int] | None = None
    """Major and minor number of a device node."""
    links: int = 1
    group: int = 0
    """Names with the same number (not 0) were hard links to one file before the change."""
    attributes: tuple[Attribute, ...] = ()


class Entry(Value, frozen=True):
    """One path that changed: what it was and what it becomes."""

    path: str
    """Absolute in the guest, with surrogate escapes for bytes that are not UTF-8."""
    was: Inode
    becomes: Inode
    content_at: int | None = None
    """Offset of the new content in the record's content file; None where the content is
    unchanged."""
    link_to: str = ""
    """The first path of the same file, where this path is a further hard link to it."""
    opaque: bool = False
    """A directory that was replaced whole: nothing of the old one shows through."""
    in_place: bool = False
    """The old file was written through: its inode stays, with what a filesystem keeps beside it
    (chattr(1), projects). Any other file with new content is a new one under the old name."""
    holes: tuple[tuple[int, int], ...] = ()
    """(offset, length) of what the new content does not store; it reads as zeros."""


class Record(Value, frozen=True):
    """All changes of one run, sorted by path; each content has its digest in its entry."""

    entries: tuple[Entry, ...]
    content_bytes: int
    kept: tuple[str, ...] = ()
    """Files that were changed and that the image keeps as they were, so they are no entries."""


class Explained(Value, frozen=True):
    """A changed path and the reason that accounts for it."""

    path: str
    by: str
    """`package NAME`, `dpkg state`, `trigger NAME`, `script`, ...; empty when nothing accounts for
    it."""
