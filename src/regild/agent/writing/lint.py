"""`lint` as an answer: what consumers would trip over, and the package with it put right."""

from __future__ import annotations

from pathlib import Path

from regild.agent.writing.inscribe import check_target, output_of
from regild.errors import InputError, NotAnArchive, UnsupportedError
from regild.model.answers import LintAnswer
from regild.model.progress import Progress
from regild.ovf.archive import find_form
from regild.ovf.lint.check import check_package, unreadable
from regild.ovf.lint.repair import repair_package
from regild.ovf.lint.survey import survey_package
from regild.publish.assemble import write_folder, write_ova
from regild.publish.draft import Draft
from regild.publish.stored import Copied


def lint(path: Path, targets: tuple[str, ...]) -> LintAnswer:
    """What the given consumers would trip over; no disk is read.

    A package whose archive or .ovf is damaged has that as its one finding.

    Raises: NotAnArchive, MissingFile, NotPermitted: there is no package to look at.
    """
    if find_form(path) is None:
        raise NotAnArchive(where=str(path), why="it is neither a tar file nor XML")
    try:
        survey = survey_package(path)
    except (InputError, UnsupportedError) as error:
        return LintAnswer(str(path), targets, (unreadable(path, error, targets),))
    return LintAnswer(str(path), targets, check_package(survey, targets))


def fix(
    path: Path, targets: tuple[str, ...], out: Path, force: bool, progress: Progress
) -> LintAnswer:
    """Write the package anew with what is safe to put right put right, and lint the result.

    Raises: UsageError, TargetExists, DigestMismatch, MissingFile; as `survey_package` and the
    writers of `publish`.
    """
    check_target(path, out, force)
    survey = survey_package(path)
    before = check_package(survey, targets)
    repaired = repair_package(survey, progress)
    draft = Draft(
        envelope_name=repaired.envelope_name,
        base=repaired.envelope,
        files={member.name: Copied((member,)) for member in repaired.files},
    )
    if survey.form == "ova" or out.suffix == ".ova":
        published = write_ova(draft, out, progress, replace=force)
    else:
        published = write_folder(draft, out, progress, replace=force)
    after = check_package(survey_package(out), targets)
    broken = {one.rule for one in after}
    return LintAnswer(
        image=str(path),
        targets=targets,
        findings=after,
        fixed=tuple(one for one in before if one.rule not in broken),
        left_out=repaired.notes,
        output=output_of(published),
    )
