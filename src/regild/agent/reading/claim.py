"""What an image says of itself: its descriptor alone, no byte of a disk read.

The disk need not even be there. What comes out is a claim (state `claimed` at best), and whoever
acts on it says so.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec

from regild.agent.reading.belief import DiskEvidence, Evidence, believe
from regild.agent.reading.intake import Image, System
from regild.agent.reading.signature import BROKEN, signature_of
from regild.agent.reading.stated import descriptor_of, digest_like
from regild.errors import NotAnArchive, NothingRead
from regild.model.answers import DescribeAnswer
from regild.model.appliance import Descriptor, DescriptorState, SignatureState
from regild.model.content import Content, Platform, Unknown
from regild.ovf.archive import Appliance, find_form, open_appliance


class Claim(msgspec.Struct, frozen=True):
    """What one virtual system's descriptor says, and how far that goes."""

    image: Image
    system: str
    descriptor: Descriptor | None
    state: DescriptorState
    signature: SignatureState

    @property
    def content(self) -> Content:
        """What the descriptor says the system holds.

        Raises: NothingRead where there is no descriptor that can be read.
        """
        if self.descriptor is None:
            raise NothingRead(where=str(self.image.path), why=self.state.why)
        return self.descriptor.content


def read_claims(path: Path) -> tuple[Claim, ...]:
    """The claim of every virtual system of a package whose disks may be absent.

    A bare disk has no package: name the .ovf beside it.

    Raises: NotAnArchive for a bare disk; as `open_appliance`.
    """
    if find_form(path) is None:
        raise NotAnArchive(where=str(path), why="a disk cannot speak for itself; name its .ovf")
    with open_appliance(path, complete=False) as appliance:
        image = Image(
            path=path,
            form=appliance.form,
            systems=tuple(System(one.id, ()) for one in appliance.envelope.systems),
            appliance=appliance,
            envelope_bytes=appliance.envelope_bytes,
            envelope_name=appliance.envelope_name,
            promised={entry.name: entry.digest for entry in appliance.manifest},
        )
        signature = signature_of(image, datetime.now(UTC))
        return tuple(_claim(image, appliance, one, signature) for one in image.systems)


def describe_claims(path: Path) -> tuple[DescribeAnswer, ...]:
    """`describe` from the descriptors alone.

    Raises: as `read_claims`; NothingRead where no system has a descriptor that can be read.
    """
    claims = read_claims(path)
    if all(one.descriptor is None for one in claims):
        why = claims[0].state.why if claims else "it holds no virtual system"
        raise NothingRead(where=str(path), why=why)
    return tuple(_answer(one) for one in claims)


def _claim(image: Image, appliance: Appliance, system: System, signature: SignatureState) -> Claim:
    descriptor, broken = descriptor_of(image, system)
    promised = image.promised.get(image.envelope_name)
    hrefs = {file.id: file.href for file in appliance.envelope.files}
    evidence = Evidence(
        packaged=True,
        has_manifest=bool(image.promised),
        envelope_promised=promised,
        envelope=digest_like(promised, image.envelope_bytes) if promised else None,
        broken_signature=signature.why if signature.state in BROKEN else "",
        disks={
            disk.id: DiskEvidence(None, image.promised.get(hrefs.get(disk.file, "")))
            for disk in appliance.envelope.disks
            if disk.id in _disks_of(appliance, system.id)
        },
    )
    return Claim(image, system.id, descriptor, believe(descriptor, evidence, broken), signature)


def _disks_of(appliance: Appliance, system_id: str) -> tuple[str, ...]:
    return next((one.disks for one in appliance.envelope.systems if one.id == system_id), ())


def _answer(claim: Claim) -> DescribeAnswer:
    content = claim.descriptor.content if claim.descriptor else Content(Platform())
    image = claim.image
    missing = (Unknown(f"virtual system {claim.system}", claim.state.why),)
    return DescribeAnswer(
        image=str(image.path),
        form=image.form,
        name=image.appliance.name_of(claim.system) if image.appliance else "",
        system=claim.system,
        platform=content.platform,
        packages=content.packages,
        applications=content.applications,
        sources=content.sources,
        unknowns=content.unknowns if claim.descriptor else missing,
        descriptor=claim.state,
        read_bytes=len(image.envelope_bytes),
        state=content.state if claim.descriptor else None,
    )
