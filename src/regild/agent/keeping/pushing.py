"""Generations on their way to targets, and images from there on their way into the store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from regild import __version__
from regild.agent.keeping.publishing import export, publish
from regild.agent.keeping.storing import Store
from regild.agent.reading.intake import open_image, open_stored
from regild.describe.bom import write_cyclonedx
from regild.errors import UnsupportedError
from regild.host.scratch import default_folder, passing_folder
from regild.image.convert import write_raw
from regild.image.qcow2_write import write_qcow2
from regild.model.content import Content
from regild.model.generation import Generation, Reference
from regild.model.json import to_json
from regild.model.progress import Progress, Silent
from regild.model.receipt import Receipt
from regild.publish.target import Label, Parcel, ParcelFile, Pushed, Target
from regild.store import Writing
from regild.store.documents import read_document
from regild.store.events import tell
from regild.store.generations import check_usable, resolve

MEDIA_TYPES = {
    ".ova": "application/vnd.dmtf.ova",
    ".ovf": "application/vnd.dmtf.ovf+xml",
    ".vmdk": "application/vnd.vmware.vmdk",
    ".qcow2": "application/vnd.qemu.qcow2",
    ".json": "application/json",
}
WRITERS = {"raw": write_raw, "qcow2": write_qcow2}
CONTENT = "application/vnd.regild.content.v1+json"
BOM = "application/vnd.cyclonedx+json"
RECEIPT = "application/vnd.regild.receipt.v1+json"


def push(
    store: Store,
    reference: Reference,
    target: Target,
    progress: Progress,
    scratch: Path | None = None,
) -> tuple[Generation, Pushed]:
    """Put a generation where others use it; one that is revoked is refused.

    Raises: NotListed, Revoked, PublishError and what the target raises; run again, it goes on.
    """
    with store.catalogue.reading() as view:
        generation = resolve(view, reference)
        check_usable(view, generation)
    with _parcel(store, generation, progress, scratch) as parcel:
        pushed = target.push(parcel, progress)
    with store.catalogue.writing(store.actor) as change:
        facts = {"to": pushed.where, "digest": pushed.digest or ""}
        tell(change, "generation.push", generation.name, facts)
    return generation, pushed


def bring(
    store: Store,
    source: Target,
    name: str,
    image: str,
    progress: Progress,
    *,
    parent: Reference | None = None,
    channel: str = "",
    scratch: Path | None = None,
    settling: Callable[[Writing, Generation], None] = lambda change, made: None,
) -> Generation:
    """Take an image from a target and make it the next generation of a line; `settling` is done
    in the transaction that makes it known.

    Raises: what the target raises, and as `publish`.
    """
    with _scratch(scratch) as folder:
        paths = source.pull(name, folder, progress)
        main = folder if any(path.suffix == ".ovf" for path in paths[:1]) else paths[0]
        made = publish(
            *(store, main, image, progress), parent=parent, channel=channel, settling=settling
        )
    with store.catalogue.writing(store.actor) as change:
        tell(change, "generation.import", made.name, {"from": name})
    return made


@contextmanager
def _parcel(
    store: Store, generation: Generation, progress: Progress, scratch: Path | None
) -> Iterator[Parcel]:
    """A generation's files on this machine, for as long as they are needed."""
    with _scratch(scratch) as folder:
        out = folder / generation.image
        main = generation.files[0].name
        if generation.form != "folder":
            out.mkdir()
        output = out if generation.form == "folder" else out / main
        reference = Reference(generation.image, str(generation.number))
        _, paths = export(store, reference, output, progress)
        named = {one.name: path for one, path in zip(generation.files, paths, strict=True)}
        content, receipt = _said(store, generation)
        yield Parcel(
            label=_label(generation, content),
            paths=named,
            disk=_disk_maker(output, folder),
            referrers=_referrers(generation, content, receipt),
        )


def _said(store: Store, generation: Generation) -> tuple[Content | None, Receipt | None]:
    with store.catalogue.reading() as view:
        content, receipt = generation.content, generation.receipt
        return (
            read_document(view, content, Content) if content else None,
            read_document(view, receipt, Receipt) if receipt else None,
        )


def _label(generation: Generation, content: Content | None) -> Label:
    created = generation.created
    return Label(
        image=generation.image,
        number=generation.number,
        digest=generation.digest,
        form=generation.form,
        files=tuple(
            ParcelFile(one.name, one.digest, one.bytes, _media_type(one.name))
            for one in generation.files
        ),
        parent=generation.parent,
        created=f"{created:%Y-%m-%dT%H:%M:%SZ}" if created else "1970-01-01T00:00:00Z",
        arch=(content.platform.arch if content else "") or "amd64",
    )


def _media_type(name: str) -> str:
    return MEDIA_TYPES.get(Path(name).suffix.lower(), "application/octet-stream")


def _referrers(
    generation: Generation, content: Content | None, receipt: Receipt | None
) -> dict[str, tuple[str, bytes]]:
    """What is said about a generation: its content, a bill of materials made of it, its receipt."""
    said: dict[str, tuple[str, bytes]] = {}
    if content is not None:
        said["content"] = (CONTENT, to_json(content).encode())
        created = f"{generation.created:%Y-%m-%dT%H:%M:%SZ}" if generation.created else ""
        bill = write_cyclonedx(content, generation.image, created, __version__)
        said["bom"] = (BOM, bill)
    if receipt is not None:
        said["receipt"] = (RECEIPT, to_json(receipt).encode())
    return said


def _disk_maker(path: Path, folder: Path) -> Callable[[str], Path]:
    """Makes the boot disk in a format that a target wants, once for each."""
    made: dict[str, Path] = {}

    def make(form: str) -> Path:
        """The disk in a format; written at the first call for it."""
        if form not in made:
            made[form] = _disk(path, folder, form)
        return made[form]

    return make


def _disk(path: Path, folder: Path, form: str) -> Path:
    """The only disk of an image, written as raw or qcow2.

    Raises: UnsupportedError where it has several.
    """
    with open_image(path) as image:
        disks = image.only_system.disks
        if len(disks) != 1:
            raise UnsupportedError(where=path.name, why=f"it has {len(disks)} disks, not one")
        target = folder / f"disk.{form}"
        with open_stored(disks[0]) as disk, target.open("wb") as file:
            WRITERS[form](disk, file, Silent())
    return target


@contextmanager
def _scratch(scratch: Path | None) -> Iterator[Path]:
    """A folder of this run's own, removed afterwards, or by the next run where this one is
    killed."""
    with passing_folder(scratch or default_folder().parent / "pushes", "push-") as folder:
        yield folder
