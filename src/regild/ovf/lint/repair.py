"""What `lint --fix` changes: the sizes that the .ovf states, the files' order, the manifest.

Only what needs nobody's decision. The bytes of disks are not touched, and nothing is written here.
"""

from __future__ import annotations

from dataclasses import dataclass

from regild.errors import DigestMismatch, Malformed, MissingFile
from regild.model.progress import Progress
from regild.ovf.lint.archive import is_junk
from regild.ovf.lint.references import files_are_others
from regild.ovf.lint.survey import Survey
from regild.ovf.manifest import digest_member
from regild.ovf.markup import Edit, set_attribute, splice
from regild.ovf.member import Member


@dataclass(frozen=True)
class Repaired:
    """A package that is ready to be written anew."""

    envelope_name: str
    envelope: bytes
    files: tuple[Member, ...]
    """In the order of References."""
    notes: tuple[str, ...]
    """What is left out, one sentence each."""


def repair_package(survey: Survey, progress: Progress) -> Repaired:
    """The same package with what is safe to put right put right.

    Every file that the old manifest lists is hashed first: a new manifest over damaged bytes would
    make them look sound.

    Raises: DigestMismatch, MissingFile for a referenced file, Malformed where References speak of
    the manifest itself, Truncated, NotPermitted.
    """
    for file in survey.files:
        if not file.parts:
            raise MissingFile(
                where=file.href or file.id or "a File",
                why=file.wrong or f"{survey.envelope_name} refers to it",
            )
    for where, name in files_are_others(survey):
        raise Malformed(where=where, why=f"References speak of {name}")
    _check_bytes(survey, progress)
    held = {part.name: part for file in survey.files for part in file.parts}
    return Repaired(
        envelope_name=survey.envelope_name,
        envelope=splice(survey.content, _sizes(survey)),
        files=tuple(held[name] for name in survey.referenced),
        notes=tuple(_left_out(survey)),
    )


def _check_bytes(survey: Survey, progress: Progress) -> None:
    entries = dict.fromkeys(line.entry for line in survey.lines if line.entry)
    named = [(survey.held[one.name], one.digest) for one in entries if one.name in survey.held]
    progress.step("Checking the manifest", sum(member.bytes for member, _ in named))
    for member, digest in named:
        found = digest_member(member, digest, progress)
        if found != digest:
            raise DigestMismatch(where=member.name, why=f"it has {found}, the manifest {digest}")


def _sizes(survey: Survey) -> list[Edit]:
    """The edits that state each file's size where a wrong one is stated."""
    edits = []
    for file in survey.files:
        held = str(sum(part.bytes for part in file.parts))
        if file.size and file.size != held:
            edits.append(set_attribute(survey.content, file.element, survey.ovf, "size", held))
    return [edit for edit in edits if edit is not None]


def _left_out(survey: Survey) -> list[str]:
    kept = {survey.envelope_name, *survey.referenced}
    notes = []
    for name in survey.members:
        if name.lower().endswith(".cert"):
            notes.append(f"{name} is left out: it signs the old manifest")
        elif name not in kept and not name.lower().endswith(".mf") and not is_junk(name):
            notes.append(f"{name} is left out: the envelope does not refer to it")
    return notes
