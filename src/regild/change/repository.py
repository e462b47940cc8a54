"""The small package repository that a guest is shown: exactly the files of one plan.

Every file is checked against its digest as it is linked or copied in, so what the guest installs
is what the signed index named.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from regild.change.archives import archive_name
from regild.change.errands import FOLDER
from regild.change.family import family_of
from regild.errors import DigestMismatch
from regild.feeds.archives import measure
from regild.model.content import Planning
from regild.model.digest import Digest
from regild.model.plan import Archive, Plan


def write_repository(
    folder: Path,
    plan: Plan,
    files: Mapping[Digest, Path],
    entries: Mapping[Digest, str],
    planning: Planning,
) -> None:
    """Fill an empty folder with the plan's package files, their index, and the settings of the
    guest's package manager.

    `files` and `entries` (what an index says of each package) are found by the archive's digest.

    Raises: DigestMismatch.
    """
    link_archives(folder, plan, files)
    family_of(plan).write_index(folder, plan, entries, planning)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def link_archives(folder: Path, plan: Plan, files: Mapping[Digest, Path]) -> None:
    """Put the plan's package files into a folder, found by the archive's digest.

    Raises: DigestMismatch.
    """
    for step in plan.package_steps:
        if step.archive is not None:
            _copy_checked(files[step.archive.digest], folder / archive_name(step), step.archive)


def write_errands(folder: Path, plan: Plan, files: Mapping[Digest, Path]) -> None:
    """Put the files of the plan's errands beside the packages, each errand's in its own folder.

    Raises: DigestMismatch.
    """
    top = folder / FOLDER
    for number, errand in enumerate(plan.errands):
        place = top / str(number)
        place.mkdir(parents=True)
        for file in errand.files:
            _copy_checked(files[file.digest], place / file.name, file)
        for text in errand.texts:
            (place / text.path).write_text(text.text)
    for path in (top, *top.rglob("*")) if plan.errands else ():
        path.chmod(0o755 if path.is_dir() else 0o644)


def _copy_checked(source: Path, target: Path, archive: Archive) -> None:
    """Take a file in, as a second name where the filesystem allows, and check what was taken."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
    found = measure(target, archive)
    if found != archive.digest:
        raise DigestMismatch(where=str(source), why=f"{archive.digest} was promised, {found} found")
