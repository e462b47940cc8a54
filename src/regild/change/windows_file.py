"""A file of a Windows, read from its disk and changed where its bytes lie.

Its length stays, so nothing of NTFS but the file's own clusters is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from regild.change.hive import Patch
from regild.errors import MissingFile, UnsupportedFilesystem
from regild.image.disk import Disk
from regild.image.filesystems import open_filesystem
from regild.image.spans import Places
from regild.image.volumes import Volume


def read_file(disk: Disk, volume: Volume, path: str, limit: int) -> tuple[bytes, Places]:
    """A file's bytes, and where on the disk they lie.

    Raises: MissingFile; UnsupportedFilesystem where they do not lie there as they are read; as
    `open_filesystem` and `Filesystem.read`.
    """
    if volume.layer:
        why = f"it lies in {volume.layer}, where nothing is written"
        raise UnsupportedFilesystem(where=volume.name, why=why)
    filesystem = open_filesystem(disk, volume)
    item = filesystem.root
    for name in path.strip("/").split("/"):
        found = filesystem.child(item, name)
        if found is None:
            raise MissingFile(where=path, why=f"{volume.name} does not have it")
        item = found
    return filesystem.read(item, limit, path), filesystem.places(item, path)


def placed(places: Places, patches: Iterable[Patch]) -> Iterator[Patch]:
    """What becomes of a disk where a file whose bytes lie at `places` of it gets patches."""
    for at, content in patches:
        begin = 0
        for offset, length in places:
            first, last = max(at, begin), min(at + len(content), begin + length)
            if first < last:
                yield offset + first - begin, content[first - at : last - at]
            begin += length
