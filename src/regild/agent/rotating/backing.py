"""The disks that instances stand on: each generation's boot disk, written once and never changed.

    FOLDER/IMAGE-NUMBER-DIGEST.raw     sparse, read-only, under its name only when it is whole

A backing disk is never modified: what stands above it would be lost. It goes when no instance
and no rotation needs it any more.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

from regild.agent.keeping.publishing import export
from regild.agent.keeping.storing import Store
from regild.agent.reading.intake import Image, open_image, open_stored
from regild.agent.rotating.rotation import Disk
from regild.errors import UnsupportedError
from regild.host.files import make_passable, open_new, translated
from regild.image.convert import write_raw
from regild.image.disk import Disk as VirtualDisk
from regild.model.digest import hex_of
from regild.model.generation import Generation, Reference
from regild.model.progress import Progress, end_step
from regild.store.generations import find_generation

READ_ONLY = 0o444
DIGITS = 16


def backing_of(store: Store, folder: Path, image: str, number: int, progress: Progress) -> Disk:
    """A generation's boot disk in a folder, brought there if it is not.

    Raises: NotListed, PublishError where its bytes were given up, IntegrityError, DiskFull.
    """
    with store.catalogue.reading() as view:
        generation = find_generation(view, image, number)
    path = folder / name_of(generation)
    if not path.exists():
        _write(store, generation, path, progress)
    return Disk(str(path), "raw", generation.digest)


def name_of(generation: Generation) -> str:
    """The name of a generation's backing disk."""
    return f"{generation.image}-{generation.number}-{hex_of(generation.digest)[:DIGITS]}.raw"


def prune(folder: Path, needed: Collection[str]) -> list[str]:
    """Remove the backing disks that nothing stands on any more; the names of those that went."""
    gone = [path for path in sorted(folder.glob("*.raw")) if path.name not in needed]
    for path in gone:
        path.unlink(missing_ok=True)
    return [path.name for path in gone]


def _write(store: Store, generation: Generation, path: Path, progress: Progress) -> None:
    with translated(path.parent):
        make_passable(path.parent)
        with tempfile.TemporaryDirectory(prefix=".backing-", dir=path.parent) as folder:
            main = generation.files[0].name if generation.form != "folder" else "appliance"
            reference = Reference(generation.image, str(generation.number))
            export(store, reference, Path(folder) / main, progress)
            with open_image(Path(folder) / main) as image, _boot_disk(image) as disk:
                progress.step(f"Writing the backing disk {path.name}", disk.size)
                with open_new(path) as file:
                    write_raw(disk, file, progress)
                end_step(progress)
        path.chmod(READ_ONLY)


@contextlib.contextmanager
def _boot_disk(image: Image) -> Iterator[VirtualDisk]:
    """The disk that an image boots from, which is its only one.

    Raises: UnsupportedError where instances would need more, or there is none.
    """
    disks = image.only_system.disks
    if len(disks) != 1:
        why = f"it has {len(disks)} disks, and instances stand on one"
        raise UnsupportedError(where=str(image.path), why=why)
    with open_stored(disks[0]) as disk:
        yield disk
