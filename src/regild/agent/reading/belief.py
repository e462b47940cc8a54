"""How far a content descriptor can be believed: its state, and the reason in words.

Pure: what was seen of the descriptor, the manifest and the disk in, one `DescriptorState` out.
From bad to good: a digest or signature that should
hold does not (`tampered`), the disk beside it is another one
(`detached`), a witness on the disk differs (`stale`), nothing of the disk was read (`claimed`), all
witnesses match (`equivalent`), the disk's bytes were hashed and match (`verified`). The worst that
is true is said.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from regild.model.appliance import Binding, Descriptor, DescriptorState
from regild.model.content import Content, Witness
from regild.model.digest import Digest

NAMED = 3
"""So many differing files are named in a reason."""


class DiskEvidence(msgspec.Struct, frozen=True):
    """What was seen of one disk of the virtual system."""

    bytes: int | None
    """Virtual size; None where the disk was not opened."""
    promised: Digest | None = None
    """The digest of its file in the manifest."""
    stored: Digest | None = None
    """The digest of its file's bytes, where they were hashed."""
    virtual: Digest | None = None
    """The Merkle digest of its virtual bytes, where it was computed."""


class Evidence(msgspec.Struct, frozen=True):
    """What was seen beside a descriptor."""

    packaged: bool
    """It stands in a package whose rules ask for a manifest, not beside a bare disk."""
    has_manifest: bool = False
    envelope_promised: Digest | None = None
    envelope: Digest | None = None
    broken_signature: str = ""
    """Why a signature that stands there is not that of its certificate over this manifest."""
    disks: Mapping[str, DiskEvidence] = msgspec.field(default_factory=dict)
    """By diskId."""
    observed: Content | None = None
    """What the disk holds now; None where it was not opened."""


def believe(descriptor: Descriptor | None, evidence: Evidence, broken: str = "") -> DescriptorState:
    """The state of a descriptor. `broken` says why a section that stands there cannot be read."""
    if broken:
        return DescriptorState(state="tampered", why=broken)
    if descriptor is None:
        return DescriptorState(state="absent", why="the image carries no content descriptor")
    return (
        _tampered(evidence)
        or _detached(descriptor, evidence)
        or _stale(descriptor, evidence)
        or _believed(descriptor, evidence)
    )


def _tampered(evidence: Evidence) -> DescriptorState | None:
    """A digest or signature that should hold does not."""
    if evidence.broken_signature:
        why = f"the signature does not hold: {evidence.broken_signature}"
        return DescriptorState(state="tampered", why=why)
    if evidence.envelope_promised and evidence.envelope_promised != evidence.envelope:
        return DescriptorState(
            state="tampered", why="the .ovf is not the one that the manifest lists"
        )
    for name, disk in evidence.disks.items():
        if disk.stored and disk.promised and disk.stored != disk.promised:
            why = f"the bytes of disk {name} are not those that the manifest lists"
            return DescriptorState(state="tampered", why=why)
    return None


def _detached(descriptor: Descriptor, evidence: Evidence) -> DescriptorState | None:
    """The disk beside the descriptor is not the one that it speaks of, as far as one can tell."""
    if evidence.packaged and not evidence.has_manifest:
        return DescriptorState(state="detached", why="the package's manifest is gone")
    if not descriptor.bindings:
        return DescriptorState(state="detached", why="it names no disk")
    for binding in descriptor.bindings:
        why = _apart(binding, evidence)
        if why:
            return DescriptorState(state="detached", why=why)
    return None


def _apart(binding: Binding, evidence: Evidence) -> str:
    """Why a binding and its disk do not belong together; empty where they do."""
    disk = evidence.disks.get(binding.disk)
    if disk is None:
        return f"it speaks of a disk {binding.disk} that is not there"
    if binding.virtual_bytes and disk.bytes not in (None, binding.virtual_bytes):
        return f"disk {binding.disk} has {disk.bytes} bytes, not {binding.virtual_bytes}"
    if not (evidence.packaged and binding.stored):
        return ""
    if disk.promised is None:
        return f"the manifest does not list the file of disk {binding.disk}"
    if disk.promised.partition(":")[0] != binding.stored.partition(":")[0]:
        return f"the manifest's digest of disk {binding.disk} cannot be compared: it was rewritten"
    if disk.promised != binding.stored:
        return f"the manifest lists another file for disk {binding.disk}"
    return ""


def _stale(descriptor: Descriptor, evidence: Evidence) -> DescriptorState | None:
    """The disk was changed after the descriptor was made."""
    if evidence.observed is None:
        return None
    if not descriptor.content.witnesses:
        return _stale_list(descriptor.content, evidence.observed) or _stale_bytes(
            descriptor, evidence
        )
    differing = _differing(descriptor.content.witnesses, evidence.observed.witnesses)
    if differing:
        named = ", ".join(differing[:NAMED])
        more = f" and {len(differing) - NAMED} more" if len(differing) > NAMED else ""
        return DescriptorState(state="stale", why=f"on the disk these differ: {named}{more}")
    if descriptor.content.state != evidence.observed.state:
        why = "its lists are not what the disk's files say, although the files are the same"
        return DescriptorState(state="stale", why=why)
    return _stale_bytes(descriptor, evidence)


def _stale_list(claimed: Content, observed: Content) -> DescriptorState | None:
    """A descriptor without witnesses, made from a bill of materials: its packages are compared."""
    before, after = (
        {(one.type, one.name, one.version) for one in content.packages}
        for content in (claimed, observed)
    )
    if before == after:
        return None
    named = sorted(f"{name} {version}" for _, name, version in before ^ after)
    more = f" and {len(named) - NAMED} more" if len(named) > NAMED else ""
    why = f"its package list is not the disk's: {', '.join(named[:NAMED])}{more}"
    return DescriptorState(state="stale", why=why)


def _stale_bytes(descriptor: Descriptor, evidence: Evidence) -> DescriptorState | None:
    """The disk's bytes were hashed and are others."""
    for binding in descriptor.bindings:
        if _rewritten(binding, evidence.disks[binding.disk]):
            why = f"the bytes of disk {binding.disk} changed, though nothing that it lists did"
            return DescriptorState(state="stale", why=why)
    return None


def _rewritten(binding: Binding, disk: DiskEvidence) -> bool:
    """Whether hashing showed other bytes; the same virtual disk in another format counts as the
    same."""
    if binding.virtual and disk.virtual:
        return binding.virtual != disk.virtual
    return bool(binding.stored and disk.stored and binding.stored != disk.stored)


def _differing(claimed: tuple[Witness, ...], observed: tuple[Witness, ...]) -> list[str]:
    """Paths of the witnesses that are not the same on both sides."""
    before, after = set(claimed), set(observed)
    return sorted({witness.path for witness in before ^ after})


def _believed(descriptor: Descriptor, evidence: Evidence) -> DescriptorState:
    """Nothing speaks against it: how much was checked."""
    if evidence.observed is None:
        return DescriptorState(
            state="claimed", why="manifest and descriptor agree; the disk was not read"
        )
    if evidence.observed.state != descriptor.content.state:
        why = "it was made without the disk; its packages are the disk's, the rest was not compared"
        return DescriptorState(state="claimed", why=why)
    if all(_hashed(binding, evidence) for binding in descriptor.bindings):
        return DescriptorState(state="verified", why="the disk's bytes match, all of them hashed")
    count = len(descriptor.content.witnesses)
    if count == 0:
        return DescriptorState(state="claimed", why="it has no witnesses to check on the disk")
    why = f"the disk's size and all {count} witnesses on it match"
    return DescriptorState(state="equivalent", why=why)


def _hashed(binding: Binding, evidence: Evidence) -> bool:
    """Whether a disk's bytes were hashed and found equal, in either of the two ways."""
    disk = evidence.disks[binding.disk]
    by_file = binding.stored is not None and disk.stored == binding.stored
    return by_file or (binding.virtual is not None and disk.virtual == binding.virtual)
