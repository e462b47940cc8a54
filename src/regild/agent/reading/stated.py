"""What an image states of itself in its descriptor. Light, because many are asked, and no disk."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from regild.errors import InputError, IntegrityError
from regild.model.appliance import Descriptor
from regild.model.digest import Digest
from regild.ovf.content import read_descriptor

if TYPE_CHECKING:
    from regild.agent.reading.intake import Image, System


def descriptor_of(image: Image, system: System) -> tuple[Descriptor | None, str]:
    """A system's descriptor, and why it cannot be read where one is there that cannot."""
    if not image.envelope_bytes:
        return None, ""
    try:
        return read_descriptor(image.envelope_bytes, system.id or None), ""
    except (InputError, IntegrityError) as error:
        return None, str(error)


def digest_like(promised: Digest, content: bytes) -> Digest:
    """The digest of some bytes by the algorithm of another digest."""
    algorithm = promised.partition(":")[0]
    return Digest(f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}")
