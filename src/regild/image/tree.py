"""A guest's files as one tree, read-only, put together of all volumes as its fstab says.

The door that `describe` and `change` stand before; what a filesystem is on the disk stays behind
it. Nothing in a guest leads outside of it: a symlink is followed from the guest's own root.
"""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

from regild.image.volumes import Volume
from regild.model.content import Unknown, Value, VolumeSpace

NodeKind = Literal["file", "directory", "symlink", "fifo", "socket", "character", "block", "other"]


class Node(Value, frozen=True):
    """What stands at a path."""

    kind: NodeKind
    bytes: int = 0
    mode: int = 0
    """Permission bits with setuid, setgid and sticky (07777)."""
    target: str = ""
    """A symlink's target, as it stands."""
    owner: tuple[int, int] | None = None
    """Numbers of user and group, where the filesystem has such."""


class Tree(Protocol):
    """The files of a guest; all paths are absolute in the guest."""

    def read(self, path: str, limit: int) -> bytes:
        """The bytes of a file; symlinks are followed, inside of the guest only.

        Raises: MissingFile, TooLarge when it holds more than `limit` bytes, Malformed when it is no
        file or is damaged.
        """

    def names(self, path: str) -> tuple[str, ...]:
        """The names in a directory, sorted, without `.` and `..`; symlinks are followed.

        Raises: MissingFile, TooLarge, Malformed.
        """

    def find(self, path: str) -> Node | None:
        """What stands at a path, or None; a symlink at its end is not followed.

        Raises: Malformed.
        """

    def entries(self, path: str) -> tuple[tuple[str, NodeKind], ...]:
        """The names in a directory with what they are, sorted; only its own blocks are read.

        Raises: as `names`.
        """

    def part(self, path: str, offset: int, count: int) -> bytes:
        """Up to `count` bytes of a file from `offset` on; less only at its end.

        Raises: as `read`.
        """


class Mount(Value, frozen=True):
    """A volume's place in the tree."""

    path: str
    volume: Volume
    filesystem: str
    subvolume: int = 0
    """Its number, for one of btrfs."""
    subvolume_path: str = ""
    """Where it stands in its filesystem."""


class Guest(msgspec.Struct, frozen=True):
    """A guest that was opened: its files, where they lie, and what could not be read."""

    tree: Tree
    volumes: tuple[Volume, ...]
    mounts: tuple[Mount, ...]
    """The root first."""
    unknowns: tuple[Unknown, ...]
    spaces: tuple[VolumeSpace, ...]
