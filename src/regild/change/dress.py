"""Owner, mode, attributes and times of a path that is taken out of an image."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping

from regild.change.record import OVERLAY_ATTRIBUTE
from regild.errors import UnsupportedFilesystem


def dress(
    path: str,
    name: str,
    where: str,
    *,
    mode: int,
    owner: tuple[int, int],
    mtime_ns: int,
    attributes: Mapping[str, bytes],
) -> list[str]:
    """Make a path look like the image's; the attributes that a name space does not allow.

    Owner first, since giving a file away clears setuid and capabilities; times last. `mode` has
    the type, `name` is what the path is called in errors about the volume `where`.

    Raises: UnsupportedFilesystem for an owner beyond the ids that can be mapped.
    """
    try:
        os.lchown(path, *owner)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        why = f"{name!r} belongs to {owner[0]}:{owner[1]}, beyond the ids that can be mapped"
        raise UnsupportedFilesystem(where=where, why=why) from error
    if not stat.S_ISLNK(mode):
        os.chmod(path, stat.S_IMODE(mode))
    lost = [key for key, value in attributes.items() if not _set_attribute(path, key, value)]
    os.utime(path, ns=(mtime_ns, mtime_ns), follow_symlinks=False)
    return lost


def _set_attribute(path: str, attribute: str, value: bytes) -> bool:
    """Set what a name space allows; overlayfs would take marks of its own for orders."""
    if attribute.startswith(OVERLAY_ATTRIBUTE):
        return False
    try:
        os.setxattr(path, attribute, value, follow_symlinks=False)
    except OSError:
        return False
    return True
