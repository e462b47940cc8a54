"""The small package repository that a guest is shown: exactly the files of one plan.

Every file is checked against its digest as it is linked or copied in, so what the guest installs
is what the signed index named.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from regild.change.script import APT_SETTINGS, SOURCES
from regild.errors import DigestMismatch
from regild.model.digest import Digest, hex_of
from regild.model.plan import Archive, Plan, Step

UNWANTED = ("filename", "size", "sha256", "sha1", "md5sum", "phased-update-percentage")


def write_repository(
    folder: Path, plan: Plan, files: Mapping[Digest, Path], stanzas: Mapping[Digest, str]
) -> None:
    """Fill an empty folder with the plan's package files, their index, and apt's settings.

    `files` and `stanzas` (the control file of each package) are found by the archive's digest.

    Raises: DigestMismatch.
    """
    index = []
    for step in plan.steps:
        if step.archive is not None:
            _copy_checked(files[step.archive.digest], folder / archive_name(step), step.archive)
            index.append(_index_entry(step, step.archive, stanzas[step.archive.digest]))
    (folder / "Packages").write_text("\n".join(index))
    (folder / "apt.conf").write_text(APT_SETTINGS)
    (folder / "sources.list").write_text(SOURCES)
    (folder / "none").mkdir()
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)


def _copy_checked(source: Path, target: Path, archive: Archive) -> None:
    """Take a file in, as a second name where the filesystem allows, and check what was taken."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
    with target.open("rb") as file:
        found = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    if found != archive.digest:
        raise DigestMismatch(where=str(source), why=f"{archive.digest} was promised, {found} found")


def _index_entry(step: Step, archive: Archive, stanza: str) -> str:
    """A package's entry for apt: its control fields, and where the file is."""
    lines, skipping = [], False
    for line in stanza.strip().splitlines():
        if not line.startswith((" ", "\t")):
            skipping = line.partition(":")[0].lower() in UNWANTED
        if not skipping:
            lines.append(line)
    lines += [
        f"Filename: ./{archive_name(step)}",
        f"Size: {archive.bytes}",
        f"SHA256: {hex_of(archive.digest)}",
    ]
    return "\n".join(lines) + "\n"


def archive_name(step: Step) -> str:
    """A file name of our own, as the archive's may hold anything; it says which package failed."""
    digits = hex_of(step.archive.digest)[:16] if step.archive else ""
    return f"{re.sub('[^a-z0-9.+-]', '-', step.name)}-{digits}.deb"
