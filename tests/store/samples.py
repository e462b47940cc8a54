"""Generations and contents that tests publish without any bytes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from regild.model.content import Content, Package, Platform
from regild.model.digest import sha256_of
from regild.model.generation import Generation, Reference, StoredFile
from regild.store import Catalogue, Writing
from regild.store.generations import NewGeneration, add_generation
from regild.store.images import add_image

DAY = datetime(2026, 11, 1, 12, tzinfo=UTC)


def later(**parts: float) -> datetime:
    """A moment after the tests' day."""
    return DAY + timedelta(**parts)


def content_of(*packages: tuple[str, str], type: str = "deb") -> Content:
    """A content that holds some packages."""
    held = tuple(Package(type, name, version, "amd64") for name, version in packages)
    return Content(Platform("linux", "debian", "12.15", arch="amd64"), held)


def file_of(seed: object, name: str = "disk.ova") -> StoredFile:
    content = repr(seed).encode()
    return StoredFile(name, sha256_of(content), len(content))


def add(
    change: Writing,
    image: str,
    seed: object,
    parent: str = "",
    content: Content | None = None,
) -> Generation:
    """The next generation of an image; what its bytes are made of is its seed."""
    held, _, at = parent.partition("@")
    reference = Reference(held, at) if parent else None
    new = NewGeneration(image, "ova", (file_of(seed),), reference, content)
    return add_generation(change, new)


def grow(catalogue: Catalogue, image: str, count: int) -> list[Generation]:
    """An image with a chain of generations."""
    with catalogue.writing("tests", DAY) as change:
        add_image(change, image)
        return [
            add(change, image, (image, number), f"{image}@{number - 1}" if number > 1 else "")
            for number in range(1, count + 1)
        ]
