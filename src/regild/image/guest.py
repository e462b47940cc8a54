"""Opening the guest of a disk; what finds it is loaded only then, for it takes a while to load."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from regild.image.disk import Disk
from regild.image.keys import NO_KEYS, Keys
from regild.image.tree import Guest


@contextlib.contextmanager
def open_guest(disk: Disk, where: str = "the disk", keys: Keys = NO_KEYS) -> Iterator[Guest]:
    """Find the guest on a disk and open all its volumes as one tree.

    The root is the one volume with an os-release file or a dpkg database. Volumes that cannot be
    read, and volumes of the fstab that are not on this disk, are `unknowns`. `keys` open encrypted
    volumes.

    Raises: NothingRead, Encrypted, WrongKey, UnsupportedFilesystem when no guest is found,
    Ambiguous when there are two, Malformed, Truncated.
    """
    from regild.image.finding import found_guest

    yield found_guest(disk, where, keys)
