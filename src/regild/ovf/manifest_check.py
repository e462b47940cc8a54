"""Holding a package's files against its manifest (DSP0243, 6.3; rule R5)."""

from __future__ import annotations

from regild.model.plan import Difference
from regild.model.progress import Progress
from regild.ovf.archive import Appliance
from regild.ovf.manifest import digest_member


def check_manifest(appliance: Appliance, progress: Progress) -> tuple[Difference, ...]:
    """Hash every file of the package that the manifest names and return what does not match.

    A missing manifest, lines of absent files and files without a line are told to `progress` as
    notes, as the field's consumers do.

    Raises: Truncated, NotPermitted.
    """
    for note in manifest_notes(appliance):
        progress.note(note)
    # A line that stands there a thousand times is one promise, and hashed once.
    named = [e for e in dict.fromkeys(appliance.manifest) if e.name in appliance.members]
    total = sum(appliance.members[entry.name].bytes for entry in named)
    progress.step("Checking the manifest", total)
    differences = []
    for entry in named:
        found = digest_member(appliance.members[entry.name], entry.digest, progress)
        if found != entry.digest:
            differences.append(
                Difference(what=f"digest of {entry.name}", expected=entry.digest, observed=found)
            )
    return tuple(differences)


def manifest_notes(appliance: Appliance) -> tuple[str, ...]:
    """In what the manifest is not complete, one sentence each (rule R5)."""
    if not appliance.manifest:
        return ("the package has no manifest",)
    listed = {entry.name for entry in appliance.manifest}
    wanted = [appliance.envelope_name, *appliance.member_names()]
    missing = [name for name in dict.fromkeys(wanted) if name not in listed]
    absent = [name for name in sorted(listed) if name not in appliance.members]
    return (
        *(f"the manifest has no line for {name}" for name in missing),
        *(f"the manifest has a line for {name}, which is not there" for name in absent),
    )
