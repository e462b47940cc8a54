"""Proving a changed disk before anything is written: all that the static proof asks, at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from regild.agent.changing.packages import shipped_of
from regild.agent.reading.inspect import Inspected, with_further
from regild.change.apply import Changed
from regild.change.family import family_of
from regild.describe.boot import read_boot
from regild.describe.licences import Licences, read_licences
from regild.describe.reader import describe_guest
from regild.describe.rpm import read_installed
from regild.errors import ProveError
from regild.feeds.rpm_file import open_package
from regild.host.namespace import View
from regild.host.scratch import PACKAGES, Scratch
from regild.host.stage import run_stage
from regild.image.guest import open_guest
from regild.image.overlay import Overlay
from regild.image.tree import Guest
from regild.model.content import Content, Unknown
from regild.model.json import from_json, to_json
from regild.model.plan import Difference, Plan
from regild.model.progress import Progress
from regild.model.recipe import Recipe
from regild.prove.rpm_database import RpmFiles
from regild.prove.scene import Scene
from regild.prove.static import Found, prove_static
from regild.prove.touched import Area
from regild.prove.windows import Ran

RECORDED: tuple[str, ...] = (
    "every changed path is accounted for by a package, the package manager's state, a trigger or a"
    " script",
    "every changed path was read back from the image",
)
"""What every carrier has checked when it is done, whatever the packages, or there would be no
overlay."""
RUN_TOO = "every changed path is accounted for by a package, or by what was run"
TESTED = "every test of the recipes ended with 0 in the changed guest"
COMPARED = ("ext2", "ext3", "ext4")
SECONDS_MAX = 1800


@dataclass(frozen=True, slots=True)
class Proof:
    """What was observed in the result, what was checked and held, and what was not checked."""

    observed: Content
    checks: tuple[str, ...]
    licences: Licences
    """Of its packages, for the bill of materials."""
    unchecked: tuple[Unknown, ...] = ()
    ran: Ran | None = None
    """What a booted Windows left of its run."""


def prove_result(
    overlay: Overlay,
    inspected: Inspected,
    plan: Plan,
    changed: Changed,
    job: Scratch,
    progress: Progress,
    recipes: tuple[Recipe, ...],
    cache: Path,
) -> Proof:
    """Describe a changed disk afresh and hold it against what the plan promised, and against the
    plan's package files in the job's folder; what they hold is kept in the cache.

    Raises: ProveError, and as `open_guest`.
    """
    progress.step("Describing the result")
    with open_guest(overlay, inspected.boot.stored.name, inspected.image.keys) as guest:
        observed = with_further(describe_guest(guest, recipes=recipes), inspected)
        touched = filesystems = None
        known = frozenset(row.path for row in changed.explained)
        if areas_of(inspected.guest):
            touched, filesystems = compare(inspected, changed.overlay, known, job, progress)
        progress.step("Proving the result")
        scene = Scene(
            guest,
            observed,
            boot=read_boot(guest.tree).entries,
            before=inspected.guest,
            boot_before=read_boot(inspected.guest.tree).entries,
            expected=None if any(one.packages for one in plan.errands) else plan.expected,
            applications=plan.applications,
            shipped=shipped_of(plan, job, cache),
            rpm=rpm_files_of(guest, inspected.guest, job.path / PACKAGES),
            touched=touched,
            filesystems=filesystems,
            changed=known,
            seal=plan.seal,
        )
        proof = prove_static(scene)
        licences = read_licences(guest, observed.packages)
    if proof.found:
        raise ProveError(where="the result", differences=tuple(map(told_of, proof.found)))
    checks = (*_recorded_checks(plan), *proof.held)
    return Proof(observed, checks, licences, (*proof.unchecked, *_uncompared(inspected.guest)))


def rpm_files_of(guest: Guest, before: Guest | None, repository: Path | None) -> RpmFiles | None:
    """What is known of a guest's packages of rpm; None where it has no database of rpm.

    Raises: Malformed, Truncated, TooLarge.
    """
    installed = tuple(read_installed(guest))
    if not installed:
        return None
    files = sorted(repository.glob("*.rpm")) if repository else ()
    planned = tuple(open_package(path) for path in files)
    return RpmFiles(installed, tuple(read_installed(before)) if before else (), planned)


def compare(
    inspected: Inspected, overlay: str, known: frozenset[str], job: Scratch, progress: Progress
) -> tuple[tuple[Difference, ...], tuple[Difference, ...]]:
    """What differs from the disk as it was and is not on record, and what e2fsck finds; without an
    overlay the latter alone.

    Raises: UnsupportedFormat for a disk that is not stored as one piece; as `run_stage`.
    """
    path, offset, length = inspected.boot.stored.whole()
    with path.open("rb") as file:
        request = {
            "disk": file.fileno(),
            "where": str(path),
            "offset": offset,
            "bytes": length,
            "areas": to_json(areas_of(inspected.guest), indent=0),
            "overlay": overlay,
            "known": sorted(known),
            "scratch": str(job.guest / "metadata.img"),
        }
        answer = run_stage(
            "regild.prove.touched",
            request,
            ids=job.ids,
            view=View(writable=(job.guest,)),
            log=job.path / "stages.log",
            progress=progress,
            keep=(file.fileno(),),
            timeout_seconds=SECONDS_MAX,
        )
    kind = tuple[Difference, ...]
    return from_json(kind, answer["touched"]), from_json(kind, answer["filesystems"])


def areas_of(guest: Guest) -> tuple[Area, ...]:
    """The guest's filesystems that can be compared inode by inode."""
    return tuple(
        Area(mount.path, mount.volume.on_disk)
        for mount in guest.mounts
        if mount.volume.filesystem in COMPARED and mount.volume.on_disk
    )


def _uncompared(guest: Guest) -> Iterator[Unknown]:
    """The guest's filesystems of which it cannot be said that nothing else changed."""
    compared = {area.mount for area in areas_of(guest)}
    for mount in guest.mounts:
        if mount.path not in compared:
            why = f"{mount.volume.layer or mount.filesystem} is not compared file by file"
            yield Unknown(mount.path, why)


def told_of(found: Found) -> str:
    """A difference in one line, behind the check that found it."""
    one = found.difference
    return f"{found.check}: {one.what}: {one.expected} != {one.observed}"


def _recorded_checks(plan: Plan) -> Iterator[str]:
    """What held before the result was looked at."""
    told = RUN_TOO if plan.errands else RECORDED[0]
    yield from (told, *RECORDED[1:])
    if plan.seal:
        yield f"cleared as the site wants it: {', '.join(plan.seal)}"
    if plan.package_steps:
        yield from family_of(plan).checked
    if any(one.tests for one in plan.errands):
        yield TESTED
