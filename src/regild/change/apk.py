"""What a plan compiles to for a guest of apk, pure but for the index that it writes.

The guest's own apk does the work in one transaction, and finds one repository that holds exactly
the package files of the plan. What the world asks for decides what comes and what goes, as it
decided the plan.
Source: apk(8), apk-upgrade(8), apk-repositories(5), apk-v2(5).
"""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from regild.change.archives import archive_name
from regild.change.script import ENVIRONMENT as COMMON
from regild.change.script import PLACE, GuestCommand
from regild.errors import UnsupportedError
from regild.model.apk_blocks import WORLD, read_relations
from regild.model.content import Planning
from regild.model.digest import Digest
from regild.model.plan import Plan

ENVIRONMENT: Final = {**COMMON, "APK_CONFIG": "/dev/null"}
FOLDERS: Final = ()
EXPLANATIONS: Final = (
    ("apk state", r"(/usr)?/lib/apk/(db|exec)(/.*)?|/var/(lib|cache)/apk(/.*)?"),
    ("apk state", WORLD),
    ("apk state", r".*\.apk-new"),
    ("trigger mkinitfs", r"/boot/initramfs-[^/]+|/boot/boot"),
    ("trigger mkinitfs", r"(/usr)?/lib/modules/[^/]+(/initramfs-suffix)?"),
    ("openrc", r"/etc/(runlevels|local\.d)/.*"),
)
"""What apk, its triggers and openrc's scripts write for themselves."""

FAULTS: Final = r"\s*(ERROR: .*|.*mkinitfs failed!)"
"""apk goes on where a script fails and counts it at the end."""

LINE: Final = (
    "apk",
    f"--repositories-file={PLACE}/repositories",
    "--allow-untrusted",
    "--no-network",
    "--no-cache",
    "--no-progress",
)
"""Untrusted, because every file was held against the signed index before it was put there."""


def compile_plan(plan: Plan) -> tuple[GuestCommand, ...]:
    """The command that turns the plan's base into its expected content."""
    upgrade = (*LINE, "upgrade", "--no-self-upgrade")
    return (GuestCommand(upgrade, "apk upgrade", faults=FAULTS),)


def write_index(
    folder: Path, plan: Plan, entries: Mapping[Digest, str], planning: Planning
) -> None:
    """The index of a plan's package files under the names that apk asks for; `entries` are those
    of the signed index.

    Raises: UnsupportedError for a guest whose architecture is not known.
    """
    if not planning.architectures:
        raise UnsupportedError(where="the guest", why="its architecture is not known")
    place = folder / planning.architectures[0]
    place.mkdir()
    blocks = []
    for step in plan.package_steps:
        if step.archive is not None:
            os.link(folder / archive_name(step), place / f"{step.name}-{step.becomes}.apk")
            blocks.append(entries[step.archive.digest])
    (place / "APKINDEX.tar.gz").write_bytes(_packed("".join(f"{one}\n" for one in blocks)))
    tags = sorted(set(_tags(planning)))
    lines = [PLACE, *(f"@{tag} {PLACE}" for tag in tags)]
    (folder / "repositories").write_text("".join(f"{line}\n" for line in lines))


def _packed(text: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in (("DESCRIPTION", b"regild"), ("APKINDEX", text.encode())):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return gzip.compress(out.getvalue(), mtime=0)


def _tags(planning: Planning) -> Iterator[str]:
    """The tags by which the world asks for packages of some repositories alone."""
    for file in planning.preferences:
        if file.path == WORLD:
            yield from (tag for _, _, tag, _, _ in read_relations(file.text) if tag)
