"""Paths of a guest, followed by hand: through mounts and symlinks, and never out of the guest.

path_resolution(7): `..` of the root is the root, an absolute symlink begins at the guest's root,
more than 40 symlinks are a loop.
"""

from __future__ import annotations

from dataclasses import dataclass

from fs_explorer.tree import Node as Item

from regild.errors import Malformed, MissingFile
from regild.image.filesystems import Filesystem
from regild.image.tree import Node, NodeKind

MAX_LINKS = 40
"""MAXSYMLINKS of the Linux kernel."""
MAX_PARTS = 4096
HELD_FOLDERS, HELD_DEPTH = 4096, 32


@dataclass(frozen=True, slots=True)
class Place:
    """Where a path ends: the real path by its parts, the filesystem and its entry."""

    parts: tuple[str, ...]
    filesystem: Filesystem
    item: Item


class MountedTree:
    """Several filesystems as one tree (`regild.image.tree.Tree`)."""

    def __init__(self, root: Filesystem) -> None:
        self._mounts: dict[tuple[str, ...], Place] = {(): Place((), root, root.root)}
        self._folders: dict[str, tuple[list[Place], int]] = {}
        """Folders that a path was followed through: the way there, and how many links it took."""

    def mount(self, path: str, filesystem: Filesystem) -> None:
        """Put a filesystem at a path, over what is there.

        Raises: Malformed.
        """
        self._put(path, filesystem, filesystem.root)

    def bind(self, path: str, source: str) -> None:
        """Let a path show what another path of the tree shows (mount(8), --bind).

        Raises: MissingFile when there is no such source, Malformed.
        """
        place = self._existing(source)
        self._put(path, place.filesystem, place.item)

    def read(self, path: str, limit: int) -> bytes:
        """The bytes of a file (see `regild.image.tree.Tree.read`).

        Raises: MissingFile, TooLarge, Malformed.
        """
        place = self._existing(path)
        return place.filesystem.read(place.item, limit, path)

    def names(self, path: str) -> tuple[str, ...]:
        """The names in a directory, sorted.

        Raises: MissingFile, TooLarge, Malformed.
        """
        place = self._existing(path)
        if not place.filesystem.is_folder(place.item):
            raise MissingFile(where=path, why="it is not a directory")
        mounted = {parts[-1] for parts in self._mounts if parts and parts[:-1] == place.parts}
        return tuple(sorted({*place.filesystem.names(place.item), *mounted}))

    def entries(self, path: str) -> tuple[tuple[str, NodeKind], ...]:
        """The names in a directory with what they are (see `regild.image.tree.Tree.entries`).

        Raises: MissingFile, TooLarge, Malformed.
        """
        place = self._existing(path)
        if not place.filesystem.is_folder(place.item):
            raise MissingFile(where=path, why="it is not a directory")
        found = dict(place.filesystem.kinds(place.item))
        for parts in self._mounts:
            if parts and parts[:-1] == place.parts:
                found[parts[-1]] = "directory"
        return tuple(sorted(found.items()))

    def part(self, path: str, offset: int, count: int) -> bytes:
        """Some bytes of a file (see `regild.image.tree.Tree.part`).

        Raises: MissingFile, Malformed.
        """
        place = self._existing(path)
        return place.filesystem.part(place.item, offset, count)

    def find(self, path: str) -> Node | None:
        """What stands at a path, or None; a symlink at its end is not followed.

        Raises: Malformed.
        """
        place = self._place(path, follow=False)
        return place.filesystem.node(place.item) if place else None

    def _existing(self, path: str) -> Place:
        place = self._place(path, follow=True)
        if place is None:
            raise MissingFile(where=path, why="it is not in the image")
        return place

    def _place(self, path: str, follow: bool) -> Place | None:
        """Follow a path; None when something on the way is missing or no directory.

        Whoever asks for one file of a folder mostly asks for the next one too, so the way to a
        folder is kept.
        """
        folder, _, name = path.rpartition("/")
        if name in ("", ".", ".."):
            found = self._way(path, path, follow)
            return found[0][-1] if found else None
        known = self._folders.get(folder)
        if known is None:
            known = self._way(path, folder, follow=True)
            if known is None:
                return None
            if len(self._folders) >= HELD_FOLDERS:
                self._folders.clear()
            if len(known[0]) <= HELD_DEPTH:
                self._folders[folder] = known
        found = self._way(path, name, follow, known)
        return found[0][-1] if found else None

    def _way(
        self, path: str, rest: str, follow: bool, begun: tuple[list[Place], int] | None = None
    ) -> tuple[list[Place], int] | None:
        """Go on along the rest of a path from where a way ended, without one from the root: the
        places that lead to its end, and how many links it took."""
        trail, links = (list(begun[0]), begun[1]) if begun else ([self._mounts[()]], 0)
        todo = list(reversed(parts_of(rest)))
        while todo:
            name = todo.pop()
            if name == "..":
                del trail[max(1, len(trail) - 1) :]
                continue
            found = self._step(trail[-1], name)
            if found is None:
                return None
            if found.filesystem.is_link(found.item) and (todo or follow):
                links += 1
                if links > MAX_LINKS:
                    raise Malformed(where=path, why=f"more than {MAX_LINKS} symlinks are a loop")
                target = found.filesystem.target(found.item)
                if target.startswith("/"):
                    trail = [self._mounts[()]]
                todo.extend(reversed(parts_of(target)))
                if len(todo) > MAX_PARTS:
                    raise Malformed(where=path, why="its symlinks make it too long")
                continue
            trail.append(found)
        return trail, links

    def _put(self, path: str, filesystem: Filesystem, item: Item) -> None:
        # A mount point that is missing is made by the guest's init when it mounts.
        place = self._place(path, follow=True)
        parts = place.parts if place else parts_of(path)
        self._mounts[parts] = Place(parts, filesystem, item)
        self._folders.clear()

    def _step(self, place: Place, name: str) -> Place | None:
        """One entry of a directory, or the root of what is mounted over it."""
        if not place.filesystem.is_folder(place.item):
            return None
        parts = (*place.parts, name)
        mounted = self._mounts.get(parts)
        if mounted is not None:
            return mounted
        item = place.filesystem.child(place.item, name)
        return Place(parts, place.filesystem, item) if item is not None else None


def parts_of(path: str) -> tuple[str, ...]:
    """The names of a path; empty ones and `.` are left out."""
    return tuple(name for name in path.split("/") if name not in ("", "."))
