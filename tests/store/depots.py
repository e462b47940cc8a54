"""A store in a folder, small enough that a few kilobytes make several packs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from regild.host.shelf import FolderShelf, Shelf
from regild.model.generation import Generation, Reference, StoredFile
from regild.model.progress import Silent
from regild.store import Catalogue, Writing
from regild.store.deposit import Offer, deposit
from regild.store.generations import NewGeneration, add_generation
from regild.store.withdraw import read_stored

PACK = 200 << 10


class Depot:
    """A catalogue and a shelf together."""

    def __init__(self, catalogue: Catalogue, folder: Path, shelf: Shelf | None = None) -> None:
        self.catalogue, self.folder = catalogue, folder
        folder.mkdir(exist_ok=True)
        self.shelf = shelf or FolderShelf(folder / "shelf")

    def publish(
        self,
        image: str,
        content: bytes,
        parent: str = "",
        seams: Sequence[int] = (),
        name: str = "disk.raw",
    ) -> Generation:
        path = self.folder / "offer"
        path.write_bytes(content)

        def settle(change: Writing, stored: tuple[StoredFile, ...]) -> Generation:
            held, _, at = parent.partition("@")
            reference = Reference(held, at) if parent else None
            return add_generation(change, NewGeneration(image, "disk", stored, reference))

        offers = [Offer(name, path, tuple(seams))]
        return deposit(
            self.catalogue, self.shelf, offers, "tests", Silent(), settle, pack_bytes=PACK
        )

    def content(self, generation: Generation) -> bytes:
        (stored,) = generation.files
        return b"".join(read_stored(self.catalogue, self.shelf, stored.digest))

    def files(self) -> list[str]:
        return list(self.shelf.names())

    def bytes(self) -> int:
        return sum(self.shelf.size(name) or 0 for name in self.files())
