"""From a file to a generation and back: what is published is read first, and comes out with every
byte."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from regild.agent.keeping.storing import Store
from regild.agent.reading.inspect import open_system
from regild.agent.reading.intake import Image, StoredDisk, open_image
from regild.agent.reading.verify import require_manifest
from regild.errors import InputError, NothingRead, PublishError, TargetExists, UnsupportedError
from regild.host.files import read_limited
from regild.image.formats import open_disk
from regild.image.vmdk import VmdkDisk
from regild.model.content import Content
from regild.model.generation import Generation, Reference, StoredFile
from regild.model.plan import Plan
from regild.model.progress import Progress
from regild.model.receipt import Receipt
from regild.prove.receipt import BYTES_MAX, read_receipt
from regild.publish.assemble import move_into_place, temporary_folder
from regild.publish.place import BESIDE_SUFFIXES, check_file_place, check_folder_place
from regild.store import Writing
from regild.store.channels import find_channel, promote
from regild.store.deposit import Offer, deposit
from regild.store.generations import NewGeneration, add_generation, resolve
from regild.store.images import id_of_image
from regild.store.withdraw import export_file

RECEIPT_SUFFIX = ".receipt.json"


def publish(
    store: Store,
    path: Path,
    image: str,
    progress: Progress,
    *,
    parent: Reference | None = None,
    channel: str = "",
    plan: Plan | None = None,
    settling: Callable[[Writing, Generation], None] = lambda change, made: None,
) -> Generation:
    """Make a file the next generation of an image, with what belongs to it beside; `settling` is
    done in the transaction that makes it known.

    Its manifest is checked and its guest is described first. What could not be described is
    published all the same, without a content: questions about packages then say that they do
    not know.

    Raises: as `open_image`, `require_manifest` and `deposit`; NotListed, Revoked, Pinned.
    """
    with store.catalogue.reading() as view:
        id_of_image(view, image)  # said before anything is stored
        if channel:
            find_channel(view, image, channel)
        if parent is not None:
            resolve(view, parent)
    with open_image(path) as opened:
        require_manifest(opened, progress)
        offers, content = offers_of(opened), content_of(opened, progress)
    receipt = find_receipt(path)

    def settle(change: Writing, stored: tuple[StoredFile, ...]) -> Generation:
        """Enter the files as a generation, in the transaction that makes their rows."""
        new = NewGeneration(image, opened.form, stored, parent, content, plan, receipt)
        made = add_generation(change, new)
        if channel:
            promote(change, Reference(image, str(made.number)), channel)
        settling(change, made)
        return made

    return deposit(store.catalogue, store.shelf, offers, store.actor, progress, settle)


def offers_of(image: Image) -> list[Offer]:
    """The files of an image, each with the seams that its disks have.

    Raises: UnsupportedFormat for a disk that leads to other files.
    """
    seams: dict[Path, list[int]] = {}
    for system in image.systems:
        for disk in system.disks:
            disk.require_one_file()
            seams.setdefault(disk.path, []).extend(seams_of(disk))
    if image.form == "folder" and image.appliance is not None:
        paths = {name: member.path for name, member in image.appliance.members.items()}
    else:
        paths = {path.name: path for path in (image.path, *beside(image))}
    return [Offer(name, path, tuple(seams.get(path, ()))) for name, path in paths.items()]


def seams_of(disk: StoredDisk) -> list[int]:
    """Where a disk's file is best cut: at its begin and, in a compressed stream, before each grain.

    A grain that did not change has the same bytes in the next generation, in another place.
    """
    _, offset, length = disk.parts[0]
    seams = [offset, offset + length]
    if len(disk.parts) > 1 or disk.packed or disk.parent is not None:
        return seams
    with (
        contextlib.suppress(InputError, UnsupportedError),
        open_disk(disk.path, offset, length) as opened,
    ):
        if isinstance(opened, VmdkDisk) and opened.compressed:
            seams += [offset + at for _, at in opened.grains()]
    return seams


def beside(image: Image) -> list[Path]:
    """What belongs to a bare disk or an OVA and stands beside it."""
    stem = image.path.name.rpartition(".")[0] or image.path.name
    found = [image.path.with_name(f"{stem}{suffix}") for suffix in BESIDE_SUFFIXES]
    if image.form == "disk" and image.envelope_name:
        envelope = image.path.with_name(image.envelope_name)
        found += [envelope, envelope.with_suffix(".mf")]
    return [path for path in found if path.is_file() and path != image.path]


def content_of(image: Image, progress: Progress) -> Content | None:
    """What the only system of an image holds; None where that cannot be said."""
    progress.step(f"Reading {image.path.name}")
    try:
        with open_system(image, image.only_system) as inspected:
            return inspected.content
    except (InputError, UnsupportedError, NothingRead) as error:
        progress.note(f"what it holds is unknown: {error}")
        return None


def find_receipt(path: Path) -> Receipt | None:
    """The receipt beside an image; None where there is none.

    Raises: as `read_receipt`.
    """
    stem = path.name.rpartition(".")[0] or path.name
    place = path / f"{path.name}{RECEIPT_SUFFIX}" if path.is_dir() else None
    place = place or path.with_name(f"{stem}{RECEIPT_SUFFIX}")
    if not place.is_file():
        return None
    return read_receipt(read_limited(place, BYTES_MAX), str(place)).statement.predicate


def export(
    store: Store, reference: Reference, output: Path, progress: Progress, *, force: bool = False
) -> tuple[Generation, tuple[Path, ...]]:
    """Write a generation's files, whole: one under `output`, and what belongs to it beside; an
    OVF folder as a folder.

    Raises: NotListed, PublishError, TargetExists, IntegrityError, DiskFull, NotPermitted.
    """
    with store.catalogue.reading() as view:
        generation = resolve(view, reference)
    if generation.expired is not None:
        why = f"its bytes were given up on {generation.expired:%Y-%m-%d}"
        raise PublishError(where=generation.name, why=why)

    def write(stored: StoredFile, path: Path) -> Path:
        export_file(store.catalogue, store.shelf, stored, path, progress)
        return path

    if generation.form == "folder":
        return generation, _export_folder(generation, output, write, force)
    check_file_place(output)
    if output.exists() and not force:
        raise TargetExists(where=str(output), why="it is there already")
    main, *others = generation.files
    stem = main.name.rpartition(".")[0] or main.name
    new_stem = output.name.rpartition(".")[0] or output.name
    paths = [output]
    for one in others:
        ours = one.name.startswith(f"{stem}.") and generation.form == "ova"
        name = new_stem + one.name.removeprefix(stem) if ours else one.name
        paths.append(output.with_name(name))
    for path in paths[1:]:
        if path.exists() and not force:
            raise TargetExists(where=str(path), why="it is there already")
    written = [write(one, path) for one, path in zip(others, paths[1:], strict=True)]
    return generation, (write(main, output), *written)


def _export_folder(
    generation: Generation, output: Path, write: Callable[[StoredFile, Path], Path], force: bool
) -> tuple[Path, ...]:
    check_folder_place(output, force)
    with temporary_folder(output) as folder:
        for one in generation.files:
            (folder / one.name).parent.mkdir(parents=True, exist_ok=True)
            write(one, folder / one.name)
        move_into_place(folder, output)
    return tuple(output / one.name for one in generation.files)
