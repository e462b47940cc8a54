"""Rules about the manifest and its certificate (DSP0243, 5.1; R5, W4)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from regild.model.appliance import ManifestEntry
from regild.model.digest import Digest
from regild.model.progress import Silent
from regild.ovf import certificate
from regild.ovf.certificate import check_certificate
from regild.ovf.lint.archive import Spot
from regild.ovf.lint.survey import Survey
from regild.ovf.manifest import MAX_BYTES, digest_member

HASHED_BYTES = 1 << 20
"""Members up to this size are hashed here; `regild verify` hashes the rest."""

_WRITTEN = re.compile(r"SHA(?:1|256|384|512)\([^\r\n]*\)= [0-9a-f]+\r?\Z")
_FIELD = ("sha1", "sha256")


def is_there(survey: Survey) -> Iterator[Spot]:
    """An OVA has a manifest."""
    if survey.form == "ova" and not survey.manifest_name and not _misnamed(survey, ".mf"):
        yield survey.path.name, f"there is no {survey.stem}.mf"


def is_named_alike(survey: Survey) -> Iterator[Spot]:
    """Manifest and certificate have the name of the .ovf."""
    for ending in (".mf", ".cert"):
        for name in _misnamed(survey, ending):
            yield survey.path.name, f"{name} beside {survey.envelope_name}"


def is_well_written(survey: Survey) -> Iterator[Spot]:
    """Every line is exactly `SHA256(name)= digits`."""
    for line in survey.lines:
        if line.entry is None or not _WRITTEN.match(line.text):
            yield f"{survey.manifest_name}:{line.number}", line.text.strip()[:120]


def is_known_algorithm(survey: Survey) -> Iterator[Spot]:
    """Digests are SHA-1 or SHA-256."""
    for line in survey.lines:
        if line.entry and line.entry.digest.partition(":")[0] not in _FIELD:
            yield f"{survey.manifest_name}:{line.number}", line.text.strip()[:120]


def is_complete(survey: Survey) -> Iterator[Spot]:
    """The .ovf and every referenced file have a line."""
    listed = {line.entry.name for line in survey.lines if line.entry}
    for name in dict.fromkeys((survey.envelope_name, *survey.referenced)):
        if survey.manifest_name and name not in listed:
            yield survey.manifest_name, name


def covers_members(survey: Survey) -> Iterator[Spot]:
    """Every member of the archive but manifest and certificate has a line."""
    listed = {line.entry.name for line in survey.lines if line.entry}
    own = {survey.manifest_name, survey.certificate_name, survey.envelope_name}
    known = {*listed, *own, *survey.referenced}
    for name in survey.members:
        if survey.manifest_name and name not in known:
            yield survey.path.name, name


def names_what_is_there(survey: Survey) -> Iterator[Spot]:
    """No line speaks of a file that is absent."""
    for line in survey.lines:
        if line.entry and line.entry.name not in survey.held:
            yield f"{survey.manifest_name}:{line.number}", line.entry.name[:120]


def has_no_twins(survey: Survey) -> Iterator[Spot]:
    """No file has two lines."""
    seen: set[str] = set()
    for line in survey.lines:
        if line.entry and line.entry.name in seen:
            yield f"{survey.manifest_name}:{line.number}", line.entry.name[:120]
        seen |= {line.entry.name} if line.entry else set()


def is_true(survey: Survey) -> Iterator[Spot]:
    """The digests of the .ovf and of other small files match."""
    tried: set[ManifestEntry] = set()
    for line in survey.lines:
        member = survey.held.get(line.entry.name) if line.entry else None
        if line.entry is None or member is None or member.bytes > HASHED_BYTES:
            continue
        if line.entry in tried:
            continue
        tried.add(line.entry)
        found: Digest = digest_member(member, line.entry.digest, Silent())
        if found != line.entry.digest:
            yield f"{survey.manifest_name}:{line.number}", f"{member.name} has {found}"


def certificate_has_manifest(survey: Survey) -> Iterator[Spot]:
    """There is no certificate without the manifest that it signs."""
    if survey.certificate_name and not survey.manifest_name:
        yield survey.path.name, f"{survey.certificate_name} signs no manifest"


def certificate_holds(survey: Survey) -> Iterator[Spot]:
    """The certificate signs this manifest."""
    if not (survey.certificate_name and survey.manifest_name):
        return
    state = check_certificate(
        survey.members[survey.certificate_name].read(certificate.MAX_BYTES),
        survey.members[survey.manifest_name].read(MAX_BYTES),
        survey.manifest_name,
        datetime.now(UTC),
    )
    if state.state in ("corrupted", "wrong-key", "expired", "weak"):
        yield survey.certificate_name, f"{state.state}: {state.why}"


def _misnamed(survey: Survey, ending: str) -> list[str]:
    """Members with an ending of ours and another name than the .ovf's."""
    if survey.form != "ova" or f"{survey.stem}{ending}" in survey.members:
        return []
    return [name for name in survey.members if name.lower().endswith(ending) and "/" not in name]
