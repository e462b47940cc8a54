"""Generations in a folder or below a prefix of S3: `IMAGE/NUMBER/` with the files and a label.

The label is written last, so what has one is whole. Files that are there with their digest are not
sent again, and what was sent is read back and hashed.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from regild.errors import (
    DigestMismatch,
    Malformed,
    MissingFile,
    TooLarge,
    Truncated,
    UsageError,
)
from regild.host.files import digest_file, open_new
from regild.host.shelf import Shelf
from regild.model.digest import Digest
from regild.model.json import from_json, to_json
from regild.model.progress import Progress
from regild.publish.target import Label, Parcel, ParcelFile, Pushed

LABEL = "label.json"
LABEL_BYTES = 1 << 20
PIECE_BYTES = 8 << 20


class ShelfTarget:
    """A folder, or `s3://BUCKET/PREFIX`."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def push(self, parcel: Parcel, progress: Progress) -> Pushed:
        """Send what is not there yet, look at it again, and put the label down."""
        label, sent = parcel.label, 0
        prefix = f"{label.image}/{label.number}"
        progress.step(f"Pushing to {self._shelf.where}", sum(one.bytes for one in label.files))
        for one in label.files:
            name = f"{prefix}/{_plain(one.name)}"
            if self._digest(name, one.bytes) == one.digest:
                progress.advance(one.bytes)
                continue
            sent += self._shelf.put_file(name, parcel.paths[one.name], progress.advance)
            if (came := self._digest(name, one.bytes)) != one.digest:
                why = f"what arrived has the digest {came}, and {one.digest} was sent"
                raise DigestMismatch(where=f"{self._shelf.where}/{name}", why=why)
        for kind, (_, content) in sorted(parcel.referrers.items()):
            self._shelf.put(f"{prefix}/{kind}.about.json", content)
        self._shelf.put(f"{prefix}/{LABEL}", to_json(label).encode())
        return Pushed(f"{self._shelf.where}/{prefix}", label.digest, sent)

    def names(self) -> tuple[str, ...]:
        """Generations with a label, and every other file that stands there, by its name."""
        found = list(self._shelf.names())
        labelled = [one.removesuffix(f"/{LABEL}") for one in found if one.endswith(f"/{LABEL}")]
        below = tuple(f"{one}/" for one in labelled)
        loose = [one for one in found if not one.startswith(below)]
        return (*(one.replace("/", "@") for one in labelled if one.count("/") == 1), *loose)

    def marks(self) -> dict[str, str]:
        """What is there, with what differs once it has changed."""
        return {name: self._mark(name) for name in self.names()}

    def _mark(self, name: str) -> str:
        label = self.label(name)
        if label is not None:
            return label.digest
        try:
            return self._shelf.mark(name)
        except UsageError:  # a name that no shelf takes: bringing it will say so
            return name

    def pull(self, name: str, folder: Path, progress: Progress) -> tuple[Path, ...]:
        """Bring a generation's files, or one file that somebody else put there."""
        label = self.label(name)
        if label is None:
            size = self._shelf.size(name)
            if size is None:
                raise MissingFile(where=f"{self._shelf.where}/{name}", why="there is no such file")
            return (self._bring(name, folder / Path(name).name, size, None, progress),)
        prefix = name.replace("@", "/")
        return tuple(
            self._bring(f"{prefix}/{_plain(one.name)}", folder / one.name, one.bytes, one, progress)
            for one in label.files
        )

    def label(self, name: str) -> Label | None:
        """What stands on a generation that is whole there; None for anything else.

        Raises: TooLarge, Malformed.
        """
        place = f"{name.replace('@', '/')}/{LABEL}"
        if not re.fullmatch(r"[a-z0-9._-]+@[0-9]+", name) or self._shelf.size(place) is None:
            return None
        if (self._shelf.size(place) or 0) > LABEL_BYTES:
            raise TooLarge(where=place, why="it is too long for a label")
        label = from_json(Label, self._shelf.read(place, 0, LABEL_BYTES), place)
        if any("/" in one.name or one.name in (".", "..") for one in label.files):
            raise Malformed(where=place, why="it names a file outside its own folder")
        return label

    def _bring(
        self, name: str, path: Path, size: int, wanted: ParcelFile | None, progress: Progress
    ) -> Path:
        progress.step(f"Pulling {name}", size)
        with open_new(path) as file:
            for begin in range(0, size, PIECE_BYTES):
                wanted_bytes = min(PIECE_BYTES, size - begin)
                piece = self._shelf.read(name, begin, wanted_bytes)
                if len(piece) < wanted_bytes:  # or a label that lies would be followed for ever
                    raise Truncated(where=f"{self._shelf.where}/{name}", why="its end is missing")
                file.write(piece)
                progress.advance(len(piece))
        if wanted is not None and (came := digest_file(path)) != wanted.digest:
            path.unlink()
            raise DigestMismatch(where=name, why=f"it has the digest {came}, not {wanted.digest}")
        return path

    def _digest(self, name: str, size: int) -> Digest | None:
        """The digest of a file that has a length; None where it is not there or has another."""
        if self._shelf.size(name) != size:
            return None
        state = hashlib.sha256()
        for begin in range(0, size, PIECE_BYTES):
            state.update(self._shelf.read(name, begin, min(PIECE_BYTES, size - begin)))
        return Digest(f"sha256:{state.hexdigest()}")


def _plain(name: str) -> str:
    """A file's name in letters that every shelf takes; equal names stay equal, others apart."""
    return re.sub(r"[^a-z0-9._-]", lambda found: f"_{ord(found[0]):x}_", name).lstrip("._-") or "x"
