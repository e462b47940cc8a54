"""The guest's files as planning reads them: each is noted with its digest, so that a descriptor
can later be held against its disk.

A file or folder that is absent is noted as an empty one, because planning takes both alike; a
folder's witness is its sorted list of names and has a path that ends in a slash.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from regild.errors import InputError, MissingFile, TooLarge, UnsupportedError
from regild.model.content import Unknown, Witness
from regild.model.digest import sha256_of

if TYPE_CHECKING:
    from regild.image.tree import Guest, Mount, Node, NodeKind

NAMES_LIMIT = 20_000
"""Entries of one folder that describing looks at; /usr/bin of a full desktop has about 3,000."""

Unreadable = (InputError, UnsupportedError)
"""The errors of a tree that make its file an Unknown; anything else is an error of ours or of this
machine and is not hidden."""


class Evidence:
    """A guest's files, and a witness for each one that was asked for."""

    def __init__(self, guest: Guest) -> None:
        self._tree = guest.tree
        self._mounts = tuple(sorted(guest.mounts, key=lambda mount: -len(mount.path)))
        self._witnesses: dict[str, Witness] = {}

    @property
    def witnesses(self) -> tuple[Witness, ...]:
        """A witness for everything that was read, sorted by path."""
        return tuple(self._witnesses[path] for path in sorted(self._witnesses))

    def find_bytes(self, path: str, limit: int) -> bytes | None:
        """The content of a file, None where there is none.

        Raises: TooLarge, Malformed and the other errors of the tree when it cannot be read.
        """
        try:
            content = self._tree.read(path, limit)
        except MissingFile:
            self._note(path, b"")
            return None
        self._note(path, content)
        return content

    def peek(self, path: str, limit: int) -> bytes:
        """The content of a file that planning does not depend on; it leaves no witness.

        Raises: MissingFile and the other errors of the tree.
        """
        return self._tree.read(path, limit)

    def names(self, path: str) -> tuple[str, ...]:
        """The sorted names in a folder; none where the folder does not exist.

        Raises: TooLarge when there are more than `NAMES_LIMIT`, and the errors of the tree.
        """
        try:
            names = tuple(sorted(self._tree.names(path)))
        except MissingFile:
            names = ()
        if len(names) > NAMES_LIMIT:
            raise TooLarge(where=path, why=f"the folder holds more than {NAMES_LIMIT} names")
        self._note(path.rstrip("/") + "/", _listing(names))
        return names

    def entries(self, path: str) -> tuple[tuple[str, NodeKind], ...]:
        """The names in a folder with what they are; not noted, and none where there is no folder.

        Raises: the errors of the tree.
        """
        try:
            return self._tree.entries(path)
        except MissingFile:
            return ()

    def part(self, path: str, offset: int, count: int) -> bytes:
        """Some bytes of a file that planning does not depend on; not noted.

        Raises: MissingFile and the other errors of the tree.
        """
        return self._tree.part(path, offset, count)

    def find(self, path: str) -> Node | None:
        """What a path is; not noted, since it says nothing of the content."""
        return self._tree.find(path)

    def _note(self, path: str, content: bytes) -> None:
        self._witnesses[path] = Witness(
            volume=volume_of(self._mounts, path),
            path=path,
            digest=sha256_of(content),
            bytes=len(content),
        )


def volume_of(mounts: tuple[Mount, ...], path: str) -> str:
    """`UUID=...` of the filesystem that a path lies on, its name where it has none; mounts longest
    path first."""
    for mount in mounts:
        if mount.path == "/" or (path + "/").startswith(mount.path.rstrip("/") + "/"):
            return f"UUID={mount.volume.uuid}" if mount.volume.uuid else mount.volume.name
    return ""


def unknown(error: InputError | UnsupportedError, path: str) -> Unknown:
    """The Unknown for a path of the guest that could not be read."""
    place = path if error.where in ("", path) else f"{path} ({error.where})"
    return Unknown(where=place, why=error.why)


def _listing(names: tuple[str, ...]) -> bytes:
    """The bytes that a folder's witness is the digest of; names end at NUL, which none contains."""
    return b"".join(name.encode(errors="surrogateescape") + b"\0" for name in names)
