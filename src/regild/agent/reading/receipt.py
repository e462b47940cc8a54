"""What the receipt that a descriptor names is worth: the very one, of these disks, and who signed
it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from regild.agent.reading.intake import Image, System
from regild.agent.reading.stated import descriptor_of
from regild.errors import InputError, RegildError, SignatureRefused, UnsupportedError
from regild.host.files import name_beside, read_limited
from regild.model.appliance import Descriptor
from regild.model.digest import Digest
from regild.model.dsse import check_signed
from regild.model.plan import Difference
from regild.model.proof import ReceiptAnswer
from regild.prove.receipt import BYTES_MAX, ReadReceipt, read_receipt


def receipts_of(
    image: Image, stored: Mapping[str, Digest], trusted: bytes | None
) -> tuple[ReceiptAnswer, ...]:
    """The receipts that an image's descriptors name; `stored` are the digests of its disks' files
    by diskId, as far as they are known, `trusted` keys in PEM.

    Raises: UsageError when `trusted` holds no key.
    """
    found = []
    for system in image.systems:
        descriptor, _ = descriptor_of(image, system)
        if descriptor is not None and descriptor.receipt.name:
            found.append(_receipt(image, system, descriptor, stored, trusted))
    return tuple(found)


def refusal_of_receipts(
    where: str, receipts: tuple[ReceiptAnswer, ...], trusting: bool
) -> RegildError | None:
    """The error that receipts amount to; `trusting` says that a signature was asked for."""
    for one in receipts:
        if one.state == "untrusted" or (trusting and one.state != "valid"):
            name = f"the receipt {one.name}"
            return SignatureRefused(where=name, why=one.why, state=one.state)
    if trusting and not receipts:
        why = "the descriptor names no receipt"
        return SignatureRefused(where=f"the receipt of {where}", why=why, state="absent")
    return None


def _receipt(
    image: Image,
    system: System,
    descriptor: Descriptor,
    stored: Mapping[str, Digest],
    trusted: bytes | None,
) -> ReceiptAnswer:
    """One receipt, read and held against the descriptor and the disks."""
    name = name_beside(descriptor.receipt.name)
    try:
        content = _content(image, name)
        if content is None:
            why = "it does not stand beside the image"
            return ReceiptAnswer(system.id, name, "absent", why)
        read = read_receipt(content, name)
    except (InputError, UnsupportedError) as error:
        broken = Difference(name, "a receipt", error.why)
        return ReceiptAnswer(system.id, name, "broken", error.why, differences=(broken,))
    differences = tuple(_differences(name, read, system, descriptor, stored))
    if differences:
        why = f"it is not what the descriptor says, in {len(differences)} points"
        return ReceiptAnswer(system.id, name, "broken", why, differences=differences)
    return _signed(ReceiptAnswer(system.id, name, "unsigned", "nobody signed it"), read, trusted)


def _signed(answer: ReceiptAnswer, read: ReadReceipt, trusted: bytes | None) -> ReceiptAnswer:
    """The same with what its signature is worth."""
    if read.signed is None:
        return answer
    if trusted is None:
        why = "it is signed; --trust-receipt says by whom it has to be"
        return ReceiptAnswer(answer.system, answer.name, "unchecked", why)
    try:
        key = check_signed(read.signed, trusted, answer.name)
    except SignatureRefused as error:
        return ReceiptAnswer(answer.system, answer.name, "untrusted", error.why)
    return ReceiptAnswer(answer.system, answer.name, "valid", f"signed by the key {key}", key)


def _content(image: Image, name: str) -> bytes | None:
    """The bytes of a file beside the image, or in its folder."""
    for folder in (image.path.parent, image.path):
        if name and (place := folder / name).is_file():
            return read_limited(place, BYTES_MAX)
    return None


def _differences(
    name: str,
    read: ReadReceipt,
    system: System,
    descriptor: Descriptor,
    stored: Mapping[str, Digest],
) -> Iterator[Difference]:
    if read.digest != descriptor.receipt.digest:
        yield Difference(f"digest of {name}", descriptor.receipt.digest or "none", read.digest)
    result = descriptor.content.state
    if read.statement.predicate.result != result:
        yield Difference(f"content in {name}", result, read.statement.predicate.result)
    told = {subject.name: subject.digest for subject in read.statement.subject}
    for disk in system.disks:
        digest = stored.get(disk.id)
        if digest is None:
            continue
        kind, _, digits = digest.partition(":")
        said = told.get(disk.name, {}).get(kind)
        if said != digits:
            yield Difference(f"{disk.name} in {name}", digest, f"{kind}:{said}" if said else "none")
