"""Guests without a disk: a folder or a mapping of paths stands for the tree."""

from __future__ import annotations

import posixpath
import stat
from collections.abc import Mapping
from pathlib import Path

from regild.errors import Malformed, MissingFile, TooLarge
from regild.image.tree import Guest, Mount, Node, NodeKind, Tree
from regild.image.volumes import Volume
from regild.model.content import Unknown


class MemoryTree:
    """A tree of files given as `path -> content`; folders follow from the paths."""

    def __init__(self, files: Mapping[str, bytes | str]) -> None:
        self.files = {
            path: content.encode() if isinstance(content, str) else content
            for path, content in files.items()
        }
        self.reads: list[str] = []

    def read(self, path: str, limit: int) -> bytes:
        self.reads.append(path)
        if path not in self.files:
            if self.find(path):
                raise Malformed(where=path, why="it is a directory")
            raise MissingFile(where=path, why="there is no such file")
        content = self.files[path]
        if len(content) > limit:
            raise TooLarge(where=path, why=f"it holds more than {limit} bytes")
        return content

    def names(self, path: str) -> tuple[str, ...]:
        start = path.rstrip("/") + "/"
        found = {one[len(start) :].split("/")[0] for one in self.files if one.startswith(start)}
        if not found:
            raise MissingFile(where=path, why="there is no such folder")
        return tuple(sorted(found))

    def entries(self, path: str) -> tuple[tuple[str, NodeKind], ...]:
        return entries_of(self, path)

    def part(self, path: str, offset: int, count: int) -> bytes:
        return self.read(path, 1 << 40)[offset : offset + count]

    def find(self, path: str) -> Node | None:
        if path in self.files:
            return Node("file", len(self.files[path]))
        start = path.rstrip("/") + "/"
        return Node("directory") if any(one.startswith(start) for one in self.files) else None


class FolderTree:
    """A folder of this machine as a guest's tree; symlinks are followed within it only."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def _place(self, path: str, depth: int = 0) -> Path:
        place = self.root
        parts = [part for part in posixpath.normpath(path).split("/") if part]
        for index, part in enumerate(parts):
            place = place / part
            if place.is_symlink() and depth < 40:
                target = posixpath.join("/", *parts[:index], str(place.readlink()))
                return self._place(posixpath.join(target, *parts[index + 1 :]), depth + 1)
        return place

    def read(self, path: str, limit: int) -> bytes:
        place = self._place(path)
        if not place.exists():
            raise MissingFile(where=path, why="there is no such file")
        if not place.is_file():
            raise Malformed(where=path, why="it is not a file")
        content = place.read_bytes()
        if len(content) > limit:
            raise TooLarge(where=path, why=f"it holds more than {limit} bytes")
        return content

    def names(self, path: str) -> tuple[str, ...]:
        place = self._place(path)
        if not place.is_dir():
            raise MissingFile(where=path, why="there is no such folder")
        return tuple(sorted(one.name for one in place.iterdir()))

    def entries(self, path: str) -> tuple[tuple[str, NodeKind], ...]:
        return entries_of(self, path)

    def part(self, path: str, offset: int, count: int) -> bytes:
        return self.read(path, 1 << 40)[offset : offset + count]

    def find(self, path: str) -> Node | None:
        place = self._place(posixpath.dirname(path)) / posixpath.basename(path)
        try:
            found = place.lstat()
        except FileNotFoundError:
            return None
        kinds: dict[int, NodeKind] = {stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink"}
        kind = kinds.get(stat.S_IFMT(found.st_mode), "file")
        target = str(place.readlink()) if kind == "symlink" else ""
        return Node(kind, found.st_size, stat.S_IMODE(found.st_mode), target)


def entries_of(tree: Tree, path: str) -> tuple[tuple[str, NodeKind], ...]:
    """The names in a folder with what they are."""
    found = ((name, tree.find(f"{path.rstrip('/')}/{name}")) for name in tree.names(path))
    return tuple((name, node.kind) for name, node in found if node)


ROOT = Volume(number=1, name="partition 1", offset=0, bytes=0, kind="filesystem", uuid="0000")


def guest(tree: Tree, unknowns: tuple[Unknown, ...] = ()) -> Guest:
    """A guest with one volume that holds everything."""
    return Guest(tree, (ROOT,), (Mount("/", ROOT, "ext4"),), unknowns, ())


OS_RELEASE = """PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
NAME="Debian GNU/Linux"
VERSION_ID="12"
VERSION="12 (bookworm)"
VERSION_CODENAME=bookworm
ID=debian
"""


def paragraph(name: str, version: str = "1.0-1", arch: str = "amd64", **fields: str) -> str:
    """A paragraph of a status file; keywords with `_` for `-` are further fields."""
    stated = {"Status": "install ok installed", "Architecture": arch, "Version": version}
    stated.update({key.replace("_", "-"): value for key, value in fields.items()})
    lines = "".join(f"{key}: {value}\n" for key, value in stated.items())
    return f"Package: {name}\n{lines}Description: what it is\n long\n .\n text\n\n"


def debian(files: Mapping[str, bytes | str] | None = None, status: str | None = None) -> Guest:
    """A small Debian guest; `files` are added or replace its own."""
    packages = paragraph("dpkg", "1.21.22") + paragraph("openssl", "3.0.14-1~deb12u2")
    own: dict[str, bytes | str] = {
        "/etc/os-release": OS_RELEASE,
        "/etc/debian_version": "12.5\n",
        "/var/lib/dpkg/status": packages if status is None else status,
    }
    return guest(MemoryTree({**own, **(files or {})}))
