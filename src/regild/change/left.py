"""Which files are left in the image while the guest's tree is taken out of it.

What package scripts work with is taken out; what is data is left where it is and shown to them
from there (`regild.change.show`), content and all. The rule decides what that costs, never what
comes of it: a script may read, change, move and delete either kind.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Final

from regild.change.dress import dress
from regild.image.ext import ExtVolume, Inode
from regild.model.content import Value
from regild.model.record import Attribute

LEFT: Final = "left.json"
"""The file beside the tree that says what was left (`Left`, all of them)."""

SYSTEM: Final = tuple(
    f"{place}/"
    for place in (
        *("/bin", "/boot", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/sbin", "/usr"),
        *("/var/lib/alternatives", "/var/lib/apk", "/var/lib/apt", "/var/lib/dnf"),
        *("/var/lib/dpkg", "/var/lib/pam", "/var/lib/rpm", "/var/lib/selinux"),
        *("/var/lib/systemd", "/var/lib/ucf", "/var/cache/debconf"),
    )
)
"""Where packages put files and keep their state: read again and again while they are changed."""
LARGE_BYTES: Final = 256 << 20
"""A file of this size is left wherever it lies: hardly a package has one, or a script reads it."""
WORTH_BYTES: Final = 256 << 20
"""Less than this on a filesystem is taken out like everything else, and nothing has to be served:
what is left costs a process and a layer more."""


class Left(Value, frozen=True):
    """A regular file that is left in the image."""

    mount: str
    """Of its filesystem."""
    number: int
    """Of its inode."""
    names: tuple[str, ...]
    """All of them, as its own volume has them."""
    attributes: tuple[Attribute, ...] = ()
    """Those that it would wear if it had been taken out."""


def worth_leaving(
    files: Sequence[Inode], names: Mapping[int, Sequence[str]], mount: str, least: int
) -> frozenset[int]:
    """The inodes of a filesystem's regular files that are left, or none where they hold less than
    `least` bytes.

    A file with several names is left as a whole, or not at all.
    """
    prefix = mount.rstrip("/")
    found = {
        inode.number: inode.size
        for inode in files
        if all(_may_stay(prefix + name, inode.size) for name in names[inode.number])
    }
    return frozenset(found if sum(found.values()) >= least else ())


def _may_stay(path: str, size: int) -> bool:
    return size >= LARGE_BYTES or not path.startswith(SYSTEM)


class Fitting:
    """Finds out what a file would wear if it were taken out: its attributes as far as this machine
    sets them, on a file that is there for a moment.

    Whoever compares a file that was left with what became of it must find what he would find of
    one that was taken out.
    """

    def __init__(self, volume: ExtVolume, place: str) -> None:
        """`place` is a path beside the tree's files where nothing is yet."""
        self._volume, self._place = volume, place
        self._known: dict[tuple[object, ...], list[str]] = {}

    def wear(self, inode: Inode, path: str) -> tuple[tuple[Attribute, ...], list[str]]:
        """The attributes that it would wear, and those that would be lost.

        Raises: UnsupportedFilesystem for an owner beyond the ids that can be mapped.
        """
        attributes = self._volume.read_attributes(inode)
        key = (inode.uid, inode.gid, *sorted(attributes.items()))
        if key not in self._known:
            self._known[key] = self._try(inode, path, attributes)
        lost = self._known[key]
        worn = sorted(attributes.keys() - set(lost))
        return tuple(Attribute(name, attributes[name]) for name in worn), lost

    def _try(self, inode: Inode, path: str, attributes: Mapping[str, bytes]) -> list[str]:
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW
        os.close(os.open(self._place, flags, 0o600))
        try:
            return dress(
                self._place,
                path,
                self._volume.where,
                mode=inode.mode,
                owner=(inode.uid, inode.gid),
                mtime_ns=inode.mtime_ns,
                attributes=attributes,
            )
        finally:
            os.unlink(self._place)
