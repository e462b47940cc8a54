"""A tree that another kernel sent, made into folders and files below a volume's mount point."""

from __future__ import annotations

import os
import stat
from typing import IO

from regild.change.dress import dress
from regild.change.stream import PIECE_BYTES, Sent, receive_tree
from regild.errors import Malformed
from regild.model.progress import Progress

TYPES = {
    "directory": stat.S_IFDIR,
    "file": stat.S_IFREG,
    "symlink": stat.S_IFLNK,
    "fifo": stat.S_IFIFO,
    "socket": stat.S_IFSOCK,
}


class Unpacking:
    """One volume's tree on its way into the folder that it is mounted at."""

    def __init__(self, base: str, mount: str, where: str, progress: Progress) -> None:
        self.base, self.where, self.progress = base, where, progress
        self.prefix = mount.rstrip("/")
        self.lost: list[list[str]] = []
        self.fixed: list[str] = []

    def run(self, source: IO[bytes]) -> None:
        """Make all that was sent; `lost` is what cannot be made here, `fixed` what is immutable.

        Raises: Malformed, TooLarge, UnsupportedFilesystem, and what the system says.
        """
        folders: list[Sent] = []
        for sent in receive_tree(source, self.where):
            if sent.fixed:
                self.fixed.append(self.prefix + sent.path)
            if sent.kind == "directory":
                if sent.path != "/":
                    os.mkdir(self._place(sent.path), 0o700)
                folders.append(sent)
            else:
                self._make(sent, source)
        for sent in reversed(folders):
            self._dress(sent)

    def _place(self, path: str) -> str:
        return self.base if path == "/" else self.base + path

    def _make(self, sent: Sent, source: IO[bytes]) -> None:
        place = self._place(sent.path)
        if sent.link_to:
            if os.path.lexists(self._place(sent.link_to)):  # a device was not made either
                os.link(self._place(sent.link_to), place, follow_symlinks=False)
            return
        if sent.kind == "symlink":
            os.symlink(sent.target, place)
        elif sent.kind == "file":
            self._fill(place, sent, source)
        elif sent.kind in ("fifo", "socket"):
            os.mknod(place, TYPES[sent.kind] | 0o600)
        else:
            self.lost.append([self.prefix + sent.path, "device"])
            return
        self._dress(sent)

    def _fill(self, place: str, sent: Sent, source: IO[bytes]) -> None:
        handle = os.open(place, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
        try:
            for offset, length in sent.extents:
                while length:
                    piece = source.read(min(PIECE_BYTES, length))
                    if not piece:
                        raise Malformed(where=self.where, why="what the kernel sent is cut off")
                    os.pwrite(handle, piece, offset)
                    offset, length = offset + len(piece), length - len(piece)
            os.ftruncate(handle, sent.bytes)
        finally:
            os.close(handle)
        self.progress.advance(sent.bytes)

    def _dress(self, sent: Sent) -> None:
        lost = dress(
            self._place(sent.path),
            sent.path,
            self.where,
            mode=TYPES[sent.kind] | stat.S_IMODE(sent.mode),
            owner=(sent.uid, sent.gid),
            mtime_ns=sent.mtime_ns,
            attributes={row.name: row.value for row in sent.attributes},
        )
        self.lost += [[self.prefix + sent.path, attribute] for attribute in lost]
