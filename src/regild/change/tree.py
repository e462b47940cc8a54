"""The guest's filesystem as seen by the change room: which volume lies where in the tree."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import msgspec

from regild.errors import Malformed, UnsafeName, UnsupportedFilesystem
from regild.image.spans import Places
from regild.model.content import Value


class Part(Value, frozen=True):
    """One of the guest's filesystems and the place where it is mounted."""

    mount: str
    """`/`, `/boot`, ..."""
    offset: int
    """First byte on the disk."""
    bytes: int
    filesystem: str
    """`ext2`, `ext3`, `ext4` (written by the library), `xfs`, `btrfs` (by a kernel); others are
    shown to scripts as empty folders and refuse changes."""
    volume: str = ""
    """`UUID=...`."""
    free_blocks: int = 0
    reserved_blocks: int = 0
    free_inodes: int = 0
    block_bytes: int = 4096
    places: Places = ()
    """Where its bytes lie on the disk, piece by piece, for a volume that LVM put together."""
    device: str = ""
    """`/dev/mapper/...` of a logical volume."""
    options: str = ""
    """For mount(2): which subvolume of a btrfs."""
    prefix: str = ""
    """Where that subvolume stands in its filesystem, as boot loaders name it (`/@`)."""

    @property
    def on_disk(self) -> Places:
        """Where its bytes lie on the disk."""
        return self.places or ((self.offset, self.bytes),)

    @property
    def writable(self) -> bool:
        """Whether regild can take this filesystem out and write it back."""
        return self.by_library or self.by_kernel

    @property
    def by_library(self) -> bool:
        """Whether libext2fs reads and writes it."""
        return self.filesystem in ("ext2", "ext3", "ext4")

    @property
    def by_kernel(self) -> bool:
        """Whether a user-mode kernel reads and writes it."""
        return self.filesystem in ("xfs", "btrfs")


def check_parts(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """The guest's filesystems, parents before children, when they can be worked on.

    Mount points come from the guest's own fstab; a slash at the end is let go.

    Raises: UnsafeName for one that leads elsewhere, UnsupportedFilesystem for two at one place or
    a root that this carrier cannot take out and write back.
    """
    found: dict[str, Part] = {}
    for part in parts:
        mount = "/" + part.mount.strip("/")
        inside = [] if mount == "/" else mount[1:].split("/")
        if not part.mount.startswith("/") or {"", ".", ".."} & set(inside) or "\0" in mount:
            raise UnsafeName(where=part.mount, why="the guest mounts a volume there")
        if mount in found:
            raise UnsupportedFilesystem(where=mount, why="two volumes are mounted there")
        found[mount] = msgspec.structs.replace(part, mount=mount)
    root = found.get("/")
    if root is None or not root.writable:
        kind = root.filesystem if root else "no"
        why = f"its root is on {kind} filesystem, and changes are written to ext, XFS or btrfs"
        raise UnsupportedFilesystem(where="the guest", why=why)
    _check_apart(found.values())
    return tuple(found[mount] for mount in sorted(found, key=lambda m: m.rstrip("/").count("/")))


def _check_apart(parts: Iterable[Part]) -> None:
    """Refuse volumes that share bytes of the disk: writing one would change another.

    Raises: Malformed.
    """
    # Subvolumes of one btrfs are one volume.
    volumes = {part.on_disk: part for part in parts if part.writable}
    spans = sorted((*span, part.mount) for part in volumes.values() for span in part.on_disk)
    for (offset, length, mount), (other, _, place) in itertools.pairwise(spans):
        if offset + length > other:
            raise Malformed(where=place, why=f"it lies on the same bytes of the disk as {mount}")


def part_of(parts: tuple[Part, ...], path: str) -> Part:
    """The part that a path of the guest lies on: the longest mount point above it."""
    fitting = [part for part in parts if below(part.mount, path)]
    return max(fitting, key=lambda part: len(part.mount))


def below(mount: str, path: str) -> bool:
    """Whether a path is a mount point or lies under it."""
    return mount == "/" or path == mount or path.startswith(mount + "/")


def within(part: Part, path: str) -> str:
    """A guest's path as its own volume knows it."""
    return path if part.mount == "/" else path[len(part.mount) :] or "/"
