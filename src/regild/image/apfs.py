"""A container of APFS as one tree: each of its volumes is a folder of the top, by its name.

The library reads the volumes; which of them holds the system, and where macOS mounts the others,
is `regild.image.finding`'s to find (Apple File System Reference, 2020-06-22).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from fs_explorer.entry import EntryType
from fs_explorer.filesystems.apfs.container import Container, VolumeFacts
from fs_explorer.filesystems.apfs.fs import APFSVolume
from fs_explorer.io.source import RandomAccess
from fs_explorer.tree import Context, DataSource
from fs_explorer.tree import Node as Item
from fs_explorer.tree import Tree as Reader

MAX_VOLUMES = 100
"""NX_MAX_FILE_SYSTEMS."""


class ApfsReader(Reader):
    """The volumes of a container that can be read; an item's `ref` is the volume's place and the
    library's own item."""

    def __init__(self, access: RandomAccess, context: Context) -> None:
        container = Container(access, context)
        self.refused: list[str] = []
        """Names of the encrypted volumes."""
        self._volumes: list[tuple[str, APFSVolume]] = []
        for number in list(container.sb.fs_oids)[:MAX_VOLUMES]:
            block = container.volume_superblock(number)
            facts = VolumeFacts(block)
            name = f"{facts.name.replace('/', ':') or 'volume'}"
            if any(name == known for known, _ in self._volumes):
                name = f"{name} {facts.uuid.hex()}"
            if facts.encrypted:
                self.refused.append(name)
            else:
                self._volumes.append((name, APFSVolume(container, block)))

    def root(self) -> Item:
        """The folder of the volumes."""
        return Item("", EntryType.DIR, ref=None, inode=0)

    def children(self, node: Item, stat: bool = True) -> Iterator[Item]:
        """The entries of a folder."""
        if node.ref is None:
            for place, (name, volume) in enumerate(self._volumes):
                yield replace(_placed(place, volume.root()), name=name)
            return
        place, own = node.ref
        for item in self._volumes[place][1].children(own, stat):
            yield _placed(place, item)

    def stat(self, node: Item) -> Item:
        """An entry with all that its inode says."""
        if node.ref is None:
            return node
        place, own = node.ref
        return replace(_placed(place, self._volumes[place][1].stat(own)), name=node.name)

    def identity(self, node: Item) -> object:
        """Volume and inode."""
        return (node.ref[0], node.inode) if node.ref else ()

    def readlink(self, node: Item) -> str | None:
        """Where a symlink leads."""
        place, own = node.ref
        target: str | None = self._volumes[place][1].readlink(own)
        return target

    def open_file(self, node: Item) -> DataSource:
        """The content of a file."""
        place, own = node.ref
        source: DataSource = self._volumes[place][1].open_file(own)
        return source


def _placed(place: int, item: Item) -> Item:
    return replace(item, ref=(place, item))
