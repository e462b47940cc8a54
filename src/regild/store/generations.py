"""Generations in the catalogue: what was published, from what, and whether it may still be used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, insert, select, update

from regild.errors import NotListed, Revoked
from regild.model.content import Content
from regild.model.digest import Digest, canonical, sha256_of
from regild.model.generation import Generation, GenerationForm, Reference, StoredFile
from regild.model.plan import Plan
from regild.model.receipt import Receipt
from regild.store.catalogue import Reading, Writing
from regild.store.contents import keep_content
from regild.store.documents import keep_document
from regild.store.events import tell
from regild.store.images import id_of_image
from regild.store.lineage import in_parts, revocations_of
from regild.store.schema import channels, documents, files, generations, images


@dataclass(frozen=True, slots=True)
class NewGeneration:
    """What is about to become the next generation of an image."""

    image: str
    form: GenerationForm
    files: tuple[StoredFile, ...]
    parent: Reference | None = None
    content: Content | None = None
    plan: Plan | None = None
    receipt: Receipt | None = None


def digest_of_files(stored: Sequence[StoredFile]) -> Digest:
    """The digest that names a generation: its only file's, or that of the list of its files."""
    if len(stored) == 1:
        return stored[0].digest
    return sha256_of(canonical([(one.name, one.digest, one.bytes) for one in stored]))


def add_generation(change: Writing, new: NewGeneration) -> Generation:
    """Give the next number of an image to something that was published.

    The same files and parent as the image's newest generation are that generation: who repeats a
    publish that was interrupted after its end gets what is there.

    Raises: NotListed, Revoked where the parent is.
    """
    image_id = id_of_image(change, new.image)
    digest = digest_of_files(new.files)
    newest = _newest(change, new.image)
    parent = resolve(change, new.parent) if new.parent else None
    if newest is not None and newest.digest == digest and newest.expired is None:
        return newest
    if parent is not None:
        check_usable(change, parent)
    row: dict[str, Any] = {"image_id": image_id, "number": newest.number + 1 if newest else 1}
    row |= {"digest": digest, "form": new.form, "created": change.now, "actor": change.actor}
    row |= {"parent_id": id_of(change, parent) if parent else None, "pinned": False}
    row |= _documents(change, new)
    added = insert(generations).values(row).returning(generations.c.id)
    made = change.connection.execute(added).scalar_one()
    for place, one in enumerate(new.files):
        values = {"generation_id": made, "name": one.name, "place": place}
        values |= {"digest": one.digest, "bytes": one.bytes}
        change.connection.execute(insert(files).values(values))
    facts = {"digest": digest, "parent": parent.name if parent else ""}
    tell(change, "generation.add", f"{new.image}@{row['number']}", facts)
    return find_generation(change, new.image, row["number"])


def find_generation(view: Reading, image: str, number: int) -> Generation:
    """One generation by its number.

    Raises: NotListed.
    """
    found = _read(view, _select().where(images.c.name == image, generations.c.number == number))
    if not found:
        id_of_image(view, image)
        why = f"image {image} has no generation of this number"
        raise NotListed(where=f"generation {image}@{number}", why=why)
    return found[0]


def list_generations(view: Reading, image: str = "") -> tuple[Generation, ...]:
    """Every generation of an image, oldest first; of all images without a name.

    Raises: NotListed.
    """
    wanted = _select().order_by(images.c.name, generations.c.number)
    if image:
        id_of_image(view, image)
        wanted = wanted.where(images.c.name == image)
    return _read(view, wanted)


def resolve(view: Reading, reference: Reference) -> Generation:
    """The generation that a reference names: by number, by channel, or the newest.

    Raises: NotListed.
    """
    if reference.number is not None:
        return find_generation(view, reference.image, reference.number)
    id_of_image(view, reference.image)
    if reference.at:
        on = (channels.c.generation_id == generations.c.id) & (channels.c.name == reference.at)
        wanted = _select().join(channels, on).where(images.c.name == reference.image)
        why = f"channel {reference.at} of image {reference.image} points at nothing"
    else:
        newest = _newest(view, reference.image)
        if newest is not None:
            return newest
        wanted, why = None, f"image {reference.image} has no generation yet"
    found = _read(view, wanted) if wanted is not None else ()
    if not found:
        raise NotListed(where=f"generation {reference}", why=why)
    return found[0]


def check_usable(view: Reading, generation: Generation) -> None:
    """A generation may be used at this moment.

    Raises: Revoked.
    """
    revoked = generation.revocation
    if revoked is not None and revoked.at <= view.now:
        own = revoked.generation == generation.name
        by = "" if own else f", inherited from {revoked.generation}"
        why = f"{revoked.why}{by} (since {revoked.at:%Y-%m-%d %H:%M} UTC)"
        raise Revoked(where=f"generation {generation.name}", why=why)


def pin_generation(change: Writing, reference: Reference, pinned: bool) -> Generation:
    """Keep a generation whatever the retention says, or let it go again.

    Raises: NotListed.
    """
    generation = resolve(change, reference)
    own = generations.c.id == id_of(change, generation)
    change.connection.execute(update(generations).where(own).values(pinned=pinned))
    tell(change, "generation.pin" if pinned else "generation.unpin", generation.name)
    return find_generation(change, generation.image, generation.number)


def id_of(view: Reading, generation: Generation) -> int:
    """The row of a generation."""
    wanted = (
        select(generations.c.id)
        .join(images, images.c.id == generations.c.image_id)
        .where(images.c.name == generation.image, generations.c.number == generation.number)
    )
    return int(view.connection.execute(wanted).scalar_one())


def names_of(view: Reading, ids: Sequence[int]) -> dict[int, str]:
    """`image@number` by row."""
    wanted = select(generations.c.id, images.c.name, generations.c.number).join(
        images, images.c.id == generations.c.image_id
    )
    rows = (
        row
        for part in in_parts(ids)
        for row in view.connection.execute(wanted.where(generations.c.id.in_(part)))
    )
    return {row.id: f"{row.name}@{row.number}" for row in rows}


def _documents(change: Writing, new: NewGeneration) -> dict[str, int]:
    """The rows of a generation's content, plan and receipt."""
    kept = {}
    if new.content is not None:
        kept["content_id"] = keep_content(change, new.content)
    if new.plan is not None:
        kept["plan_id"] = keep_document(change, "plan", new.plan)[0]
    if new.receipt is not None:
        kept["receipt_id"] = keep_document(change, "receipt", new.receipt)[0]
    return kept


def _newest(view: Reading, image: str) -> Generation | None:
    newest = (
        select(func.max(generations.c.number))
        .join(images, images.c.id == generations.c.image_id)
        .where(images.c.name == image)
    )
    number = view.connection.execute(newest).scalar()
    return None if number is None else find_generation(view, image, number)


def _select() -> Select[Any]:
    content, plan, receipt = (documents.alias(name) for name in ("content", "plan", "receipt"))
    return (
        select(
            generations,
            images.c.name.label("image"),
            content.c.digest.label("content"),
            plan.c.digest.label("plan"),
            receipt.c.digest.label("receipt"),
        )
        .join(images, images.c.id == generations.c.image_id)
        .join(content, content.c.id == generations.c.content_id, isouter=True)
        .join(plan, plan.c.id == generations.c.plan_id, isouter=True)
        .join(receipt, receipt.c.id == generations.c.receipt_id, isouter=True)
    )


def _read(view: Reading, wanted: Select[Any]) -> tuple[Generation, ...]:
    rows = view.connection.execute(wanted).all()
    ids = [row.id for row in rows]
    parents = names_of(view, sorted({row.parent_id for row in rows} - {None}))
    revoked, stored = revocations_of(view, ids), _files(view, ids)
    return tuple(
        Generation(
            image=row.image,
            number=row.number,
            digest=row.digest,
            form=row.form,
            files=stored.get(row.id, ()),
            created=row.created,
            actor=row.actor,
            parent=parents.get(row.parent_id, ""),
            content=row.content,
            plan=row.plan,
            receipt=row.receipt,
            pinned=row.pinned,
            expired=row.expired,
            revocation=revoked.get(row.id),
        )
        for row in rows
    )


def _files(view: Reading, ids: Sequence[int]) -> dict[int, tuple[StoredFile, ...]]:
    wanted = select(files).order_by(files.c.place)
    found: dict[int, list[StoredFile]] = {}
    for part in in_parts(ids):
        for row in view.connection.execute(wanted.where(files.c.generation_id.in_(part))):
            stored = StoredFile(row.name, row.digest, row.bytes)
            found.setdefault(row.generation_id, []).append(stored)
    return {key: tuple(value) for key, value in found.items()}
