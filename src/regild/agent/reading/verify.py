"""`verify` as an answer: the manifest's digests first, then each descriptor against its disk.

Where a file of the package is not what the manifest says, no disk is opened: its bytes are not to
be believed.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from regild.agent.reading.belief import Evidence, believe
from regild.agent.reading.inspect import Inspected, evidence_of, open_system
from regild.agent.reading.intake import Image, StoredDisk, System, open_image
from regild.agent.reading.receipt import receipts_of, refusal_of_receipts
from regild.agent.reading.signature import refusal_of, signature_of
from regild.agent.reading.stated import descriptor_of
from regild.describe.bom_reader import MAX_BYTES as BOM_BYTES_MAX
from regild.errors import DigestMismatch, IntegrityError, NothingRead, RegildError, TooLarge
from regild.host.files import digest_file, name_beside, read_limited
from regild.image.keys import NO_KEYS, Keys
from regild.image.merkle import virtual_digest
from regild.model.answers import ManifestAnswer, SystemState, VerifyAnswer
from regild.model.content import Unknown
from regild.model.digest import Digest, sha256_of
from regild.model.plan import Difference
from regild.model.progress import Progress
from regild.ovf.certificate import ABSENT
from regild.ovf.manifest_check import check_manifest

DOUBTED = ("stale", "detached", "tampered")
NAMED = 3
"""So many differing files are named in a sentence."""


def verify(
    path: Path,
    deep: bool,
    progress: Progress,
    trusted: bytes | None = None,
    keys: Keys = NO_KEYS,
    receipt_keys: bytes | None = None,
) -> VerifyAnswer:
    """Which promises of an image hold. `deep` also computes the digest of each virtual disk,
    `trusted` holds the certificates that a signature must lead to, `receipt_keys` the keys of whom
    a receipt must be signed by (PEM).

    Raises: UsageError when `trusted` holds none; NothingRead when there is neither a manifest nor a
    descriptor to check; as `open_image` and `open_system`.
    """
    with open_image(path, keys) as image:
        described = any(descriptor_of(image, one) != (None, "") for one in image.systems)
        if not image.promised and not described:
            why = "neither a manifest nor a content descriptor stands with it"
            raise NothingRead(where=str(path), why=why)
        broken = _manifest_differences(image, progress)
        stored = {} if broken else _stored_digests(image, progress)
        states: list[SystemState] = []
        unknowns = list(_unlisted(image))
        for system in image.systems:
            if broken:
                states.append(_doubted(image, system))
            else:
                state, unread = _checked(image, system, deep, stored, progress)
                states.append(state)
                unknowns.extend(unread)
        return VerifyAnswer(
            image=str(path),
            manifest=_manifest_answer(image, broken),
            descriptors=tuple(states),
            differences=(*broken, *_bom_differences(image)),
            unknowns=tuple(unknowns),
            hashed_bytes=_hashed_bytes(image),
            signature=signature_of(image, datetime.now(UTC), trusted) if image.appliance else None,
            receipts=() if broken else receipts_of(image, stored, receipt_keys),
        )


def complaint_of(
    answer: VerifyAnswer, trusting: bool = False, trusting_receipts: bool = False
) -> RegildError | None:
    """The error that an answer amounts to; None where every promise holds. `trusting` says that
    a signature was asked for, `trusting_receipts` that one of the receipt was."""
    refused = refusal_of(answer.image, answer.signature or ABSENT, trusting)
    if refused:
        return refused
    differences = (*answer.differences, *(d for one in answer.receipts for d in one.differences))
    if differences:
        return _mismatch(answer.image, differences)
    refused = refusal_of_receipts(answer.image, answer.receipts, trusting_receipts)
    if refused:
        return refused
    for one in answer.descriptors:
        if one.state in DOUBTED:
            return IntegrityError(
                where=answer.image, why=f"its descriptor is {one.state}: {one.why}"
            )
    return None


def require_manifest(image: Image, progress: Progress) -> None:
    """Pass where every file is as the manifest says, or where there is none.

    Raises: DigestMismatch, naming the files.
    """
    differences = _manifest_differences(image, progress)
    if differences:
        raise _mismatch(str(image.path), differences)


def _mismatch(where: str, differences: tuple[Difference, ...]) -> DigestMismatch:
    named = ", ".join(one.what for one in differences[:NAMED])
    more = len(differences) - NAMED
    why = f"{named}{f' and {more} more' if more > 0 else ''} is not as promised"
    return DigestMismatch(where=where, why=why)


def _manifest_differences(image: Image, progress: Progress) -> tuple[Difference, ...]:
    """What of the package is not as its manifest says."""
    if image.appliance is None or not image.promised:
        return ()
    return check_manifest(image.appliance, progress)


def _bom_differences(image: Image) -> Iterator[Difference]:
    """A bill of materials beside the image that is not the one its descriptor speaks of."""
    for system in image.systems:
        descriptor, _ = descriptor_of(image, system)
        bom = descriptor.bom if descriptor else None
        if bom is None or bom.digest is None:
            continue
        if bom.location == "package" and (listed := image.promised.get(bom.name)) != bom.digest:
            yield Difference(f"digest of {bom.name}", bom.digest, listed or "not in the manifest")
        if bom.location != "sidecar":
            continue
        name = name_beside(bom.name)
        beside = image.path.parent / name
        if name and beside.is_file() and (found := _digest_of_bom(beside)) != bom.digest:
            yield Difference(f"digest of {beside.name}", bom.digest, found)


def _digest_of_bom(path: Path) -> str:
    """Its digest; one that is too large to be a bill of materials is not read to its end."""
    try:
        return sha256_of(read_limited(path, BOM_BYTES_MAX))
    except TooLarge as error:
        return error.why


def _stored_digests(image: Image, progress: Progress) -> dict[str, Digest]:
    """The digests of the disks' files by diskId: those of a manifest that holds, or our own."""
    if image.appliance is not None:
        return {
            one.id: image.promised[one.name]
            for one in _disks(image)
            if one.name in image.promised and len(one.parts) == 1
        }
    if not image.envelope_bytes:
        return {}
    (disk,) = image.only_system.disks
    progress.step(f"Hashing {disk.name}", disk.bytes)
    return {disk.id: digest_file(disk.path, progress.advance)}


def _checked(
    image: Image, system: System, deep: bool, stored: dict[str, Digest], progress: Progress
) -> tuple[SystemState, tuple[Unknown, ...]]:
    """A system's descriptor against its disks; without a descriptor no disk is opened."""
    descriptor, broken = descriptor_of(image, system)
    if descriptor is None:
        state = believe(None, Evidence(packaged=image.appliance is not None), broken)
        return SystemState(system.id, state.state, state.why), ()
    progress.step(f"Reading {image.path.name} {system.id}".rstrip())
    with open_system(image, system) as inspected:
        virtual = virtual_digests(inspected, progress) if deep else {}
        seen = evidence_of(image, inspected.disks, inspected.content, stored, virtual)
        state = believe(descriptor, seen)
        computed = virtual.get(inspected.boot.stored.id)
        answer = SystemState(system.id, state.state, state.why, computed)
        return answer, inspected.content.unknowns


def _doubted(image: Image, system: System) -> SystemState:
    """The descriptor of a package whose files are not those of its manifest."""
    descriptor, broken = descriptor_of(image, system)
    state = believe(None, Evidence(packaged=True), broken)
    if descriptor is None:
        return SystemState(system.id, state.state, state.why)
    return SystemState(system.id, "tampered", "the package is not the one that its manifest lists")


def virtual_digests(inspected: Inspected, progress: Progress) -> dict[str, Digest]:
    """The digest of each virtual disk by diskId; `progress` is told bytes of the virtual disks.

    Raises: Truncated, Malformed, HostError.
    """
    digests = {}
    for one in inspected.disks:
        progress.step(f"Hashing the virtual disk {one.stored.id}".rstrip(), one.disk.size)
        digests[one.stored.id] = virtual_digest(one.disk, progress)
    return digests


def _manifest_answer(image: Image, differences: tuple[Difference, ...]) -> ManifestAnswer:
    """The manifest's state in words."""
    if image.appliance is None:
        return ManifestAnswer("absent", "a bare disk has none")
    if not image.promised:
        return ManifestAnswer("absent", "the package has none")
    count = len(image.promised)
    if differences:
        return ManifestAnswer("broken", f"{len(differences)} of {count} entries differ", count)
    unlisted = len(list(_unlisted(image)))
    if unlisted:
        why = f"all {count} entries match, but {unlisted} files have none"
        return ManifestAnswer("partial", why, count)
    return ManifestAnswer("whole", f"all {count} entries match", count)


def _unlisted(image: Image) -> Iterator[Unknown]:
    """The files of a package that its manifest does not speak of."""
    if image.appliance is None or not image.promised:
        return
    for name in dict.fromkeys((image.envelope_name, *image.appliance.member_names())):
        if name not in image.promised:
            yield Unknown(name, "the manifest has no line for it, so its bytes were not checked")


def _hashed_bytes(image: Image) -> int:
    """The bytes of the files that are hashed: those of the manifest, or a described bare disk."""
    if image.appliance is None:
        return sum(one.bytes for one in _disks(image))
    members = image.appliance.members
    return sum(one.bytes for name, one in members.items() if name in image.promised)


def _disks(image: Image) -> list[StoredDisk]:
    return [disk for system in image.systems for disk in system.disks]
