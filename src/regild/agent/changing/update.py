"""One trip: an outdated image in, a proven, up-to-date one out.

Plan, change on an overlay, describe again, compare with what the plan promised, write the new
image with a new descriptor. The image is only read; the result appears when everything held.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import replace as renewed
from pathlib import Path

from msgspec.structs import replace

from regild import __version__
from regild.agent.changing.boot_test import test_change
from regild.agent.changing.booting import boot_of
from regild.agent.changing.journal import Journal, done_before, forget, new_journal, note
from regild.agent.changing.packages import write_packages
from regild.agent.changing.parts import check_writers, parts_of
from regild.agent.changing.proof import Proof, prove_result
from regild.agent.planning.cached import using_cache
from regild.agent.planning.planning import Planned, plan_system
from regild.agent.reading.gather import gathered
from regild.agent.reading.inspect import Inspected, open_system
from regild.agent.reading.intake import open_image
from regild.agent.reading.recipes import Recipes, recipes_for
from regild.agent.reading.verify import require_manifest
from regild.agent.site import Site
from regild.agent.writing.deliver import Delivery, check_deliverable, deliver
from regild.agent.writing.inscribe import check_target, output_of
from regild.agent.writing.inscribe import created_of as image_created
from regild.change.apk_owners import owned_in
from regild.change.apply import BOOTED, Changed, DiskFile, apply_plan
from regild.change.family import FAMILIES, check_carrier
from regild.change.owners import Owned
from regild.change.repository import write_errands
from regild.change.rpm_owners import owned_of
from regild.describe.compare import compare as compare_contents
from regild.describe.planned import require_planning
from regild.describe.rpm import read_installed
from regild.errors import (
    ChangeError,
    InstallPending,
    NoPackageDatabase,
    ProveError,
    UnsupportedError,
)
from regild.host.namespace import find_id_map
from regild.host.scratch import Scratch, default_folder, open_scratch
from regild.image.overlay import Overlay
from regild.model.answers import UpdateAnswer
from regild.model.content import Content
from regild.model.digest import hex_of
from regild.model.dsse import read_private_key
from regild.model.health import Wanted
from regild.model.plan import Action, Plan, Step
from regild.model.progress import Progress
from regild.model.receipt import Receipt
from regild.model.recipe import Recipe
from regild.prove.receipt import make_receipt
from regild.prove.vex import write_vex
from regild.publish.assemble import Published

Change = Callable[[Inspected, Planned, Scratch, float, Progress], Changed]
"""What makes the changed disk, in so many seconds."""
Prove = Callable[
    [Overlay, Inspected, Plan, Changed, Scratch, Progress, tuple[Recipe, ...], Path], Proof
]
"""What holds it against its plan."""


@dataclass(frozen=True, slots=True)
class Trip:
    """What a plan is carried out and proven by."""

    change: Change
    prove: Prove


ACTIONS: dict[str, Action] = {
    "install": "install",
    "upgrade": "upgrade",
    "downgrade": "upgrade",
    "remove": "remove",
}
"""What was seen of a package, as a step has it; the versions say which way it went."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How an update is to be made, apart from what it changes."""

    form: str | None = None
    """`ova`, `ovf`, `vmdk`, `qcow2` or `raw`; None: the image's own."""
    scratch: Path | None = None
    timeout_seconds: float = 1800
    force: bool = False
    keep_job: bool = False
    key: bytes | None = None
    """Signs the receipt (PEM)."""
    argv: tuple[str, ...] = ()
    """The command line, for `regild jobs resume`."""
    test: Wanted | None = None
    """What is wanted of a test boot on a throw-away overlay; None: what the site wants."""


def update_by(
    path: Path,
    output: Path,
    site: Site,
    progress: Progress,
    manner: Manner,
    given: Plan | None = None,
    delivered: Callable[[Plan], object] = lambda plan: None,
) -> tuple[UpdateAnswer, Plan]:
    """Bring an image up to date and write the result to `output`; with a plan that was given,
    exactly so or not at all. What was done, and the plan that was carried out.

    Where there is nothing to do nothing is written. Where an earlier run had changed the disk by
    the same plan before it was ended, no package script runs again. `delivered` is done as soon as
    the output is there, while the job can still go on from what was changed.

    Raises: every error of the rooms; ProveError when the result is not what was promised; what
    `delivered` raises.
    """
    manner = as_site_wants(manner, site)
    with open_for_change(path, output, site, progress, manner) as (inspected, recipes):
        check_known(inspected)
        with using_cache(site):
            planned = plan_system(inspected, site, progress, recipes, given)
            answer = make_change(inspected, planned, output, progress, manner, delivered)
        return answer, planned.plan


def as_site_wants(manner: Manner, site: Site) -> Manner:
    """The same, with the test boot that the site wants of every result.

    Raises: UsageError.
    """
    if manner.test is not None or not site.test.boot:
        return manner
    return renewed(manner, test=site.test.wanted((), None))


@contextmanager
def open_for_change(
    path: Path, output: Path, site: Site, progress: Progress, manner: Manner, ran: bool = False
) -> Iterator[tuple[Inspected, Recipes]]:
    """An image, opened and described, of which a new one can be written to `output`, and the
    recipes that count for it; `ran`: it will have run as a booted Windows.

    Raises: as `open_image`, `open_system`, `recipes_for` and `check_deliverable`.
    """
    check_target(path, output, manner.force)
    if manner.key is not None:
        read_private_key(manner.key)  # a wrong one is said before any work
    with open_image(path) as image:
        require_manifest(image, progress)
        recipes = recipes_for(image, site)
        progress.step(f"Reading {path.name}")
        with (
            open_system(image, image.only_system, recipes=recipes.used) as found,
            gathered(found, manner.scratch or default_folder(), progress) as inspected,
        ):
            kept = manner.test is not None, ran
            check_deliverable(inspected, output, manner.form, manner.force, *kept)
            yield inspected, recipes


def make_change(
    inspected: Inspected,
    planned: Planned,
    output: Path,
    progress: Progress,
    manner: Manner,
    delivered: Callable[[Plan], object] = lambda plan: None,
    trip: Trip | None = None,
) -> UpdateAnswer:
    """Carry a plan out and write the result; nothing is written where nothing is to be done.

    Raises: as `update_by`.
    """
    if not planned.plan.changes_something:
        return _answer(planned.plan, inspected.content, None, None)
    check_install(inspected, planned.plan)
    if trip is None:
        check_carrier(planned.plan)
        check_writers(inspected.guest, planned.plan)
    folder = manner.scratch or default_folder()
    with _open_job(folder, inspected, planned.plan, manner.keep_job) as job:
        journal = new_journal(inspected, planned.plan, output, manner.argv)
        trip = trip or Trip(_change, prove_result)
        seconds = manner.timeout_seconds
        changed = _change_once(inspected, planned, job, journal, seconds, progress, trip)
        answer = _carry_out(inspected, planned, changed, job, output, manner, progress, trip)
        delivered(planned.plan)
        return answer


def check_install(inspected: Inspected, plan: Plan) -> None:
    """Refuse to start a system for its changes that is to install itself at its first start: that
    start is whoever's who deploys it, with the environment that he gives it (DSP0243,
    InstallSection).

    Raises: InstallPending.
    """
    if plan.carrier == "boot" and inspected.system.installs:
        why = f"its InstallSection keeps that for its deployment, and {plan.carrier_why}"
        raise InstallPending(where=f"the system {inspected.system.id}", why=why)


def check_known(inspected: Inspected) -> None:
    """Go on only when the package database and every volume that the guest mounts were read.

    Other unknowns are listed in the receipt.

    Raises: NoPackageDatabase, UnsupportedError.
    """
    if inspected.content.platform.family == "windows":
        why = "its updates are neither planned for nor fetched: give their files with --media FILE"
        raise NoPackageDatabase(where=inspected.image.path.name, why=f"it is a Windows; {why}")
    require_planning(inspected.content, tuple(FAMILIES))
    check_volumes(inspected)


def check_volumes(inspected: Inspected) -> None:
    """Go on only when every volume that the guest mounts was read.

    Raises: UnsupportedError.
    """
    mounted = {mount.volume.name for mount in inspected.guest.mounts}
    for unknown in inspected.guest.unknowns:
        if unknown.where.startswith("/") or unknown.where in mounted:
            raise UnsupportedError(where=unknown.where, why=unknown.why)


@contextmanager
def _open_job(folder: Path, inspected: Inspected, plan: Plan, keep: bool) -> Iterator[Scratch]:
    """The folder of this job: the same image and plan have the same one, so a rerun clears it, or
    goes on."""
    name = f"{inspected.image.path.stem[:40]}-{hex_of(plan.id)[:16]}"

    def goes_on(job: Scratch) -> bool:
        return done_before(job, inspected, plan) is not None

    with open_scratch(folder, name, find_id_map(), keep=keep, goes_on=goes_on) as job:
        yield job


def _change_once(
    inspected: Inspected,
    planned: Planned,
    job: Scratch,
    journal: Journal,
    timeout_seconds: float,
    progress: Progress,
    trip: Trip,
) -> Changed:
    """The changed disk: made now, or by an earlier run that was ended afterwards."""
    changed = done_before(job, inspected, planned.plan)
    if changed is not None:
        progress.note("the disk was changed by a run that was ended later; going on from there")
    else:
        note(job, journal, "planned")
        changed = trip.change(inspected, planned, job, timeout_seconds, progress)
    note(job, journal, "changed", changed)
    return changed


def _carry_out(
    inspected: Inspected,
    planned: Planned,
    changed: Changed,
    job: Scratch,
    output: Path,
    manner: Manner,
    progress: Progress,
    trip: Trip,
) -> UpdateAnswer:
    """Everything after the change."""
    plan = planned.plan
    with Overlay.open(Path(changed.overlay), inspected.boot.disk) as overlay:
        try:
            used = planned.kitchen.recipes.used
            more = used, planned.site.cache
            proof = trip.prove(overlay, inspected, plan, changed, job, progress, *more)
        except (ChangeError, ProveError):
            forget(job)
            raise
        plan = with_observed(plan, inspected.content, proof.observed)
        seen = test_change(overlay, inspected, manner.test, job, progress)
        receipt = make_receipt(
            plan,
            proof.observed,
            carrier=changed.carrier,
            checks=proof.checks,
            tool=f"regild {__version__}",
            unchecked=proof.unchecked,
            boot_test=seen.boot if seen else None,
            media_run=proof.ran.run if proof.ran else None,
            console=changed.console,
        )
        created = created_of(plan) or image_created(inspected.image.path)
        vex = write_vex(plan, proof.observed, created, receipt.tool)
        booted = (job.path / BOOTED).read_bytes() if changed.console else b""
        found = proof.observed, receipt, created, proof.licences, vex, manner.key, seen
        delivery = Delivery(inspected, overlay, *found, ran=proof.ran, booted=booted)
        published = deliver(delivery, output, manner.form, job.path, manner.force, progress)
    return _answer(plan, proof.observed, receipt, published)


def _change(
    inspected: Inspected,
    planned: Planned,
    job: Scratch,
    timeout_seconds: float,
    progress: Progress,
) -> Changed:
    """Fetch the plan's packages and apply them to an overlay of the boot disk."""
    repository = write_packages(inspected.content, planned, job, progress)
    write_errands(repository, planned.plan, planned.kitchen.fetch(planned.plan, progress))
    return apply_plan(
        DiskFile(*inspected.boot.stored.whole()),
        parts_of(inspected.guest),
        planned.plan,
        repository,
        job,
        now_ns=time.time_ns(),
        timeout_seconds=timeout_seconds,
        progress=progress,
        boot=boot_of(inspected, planned.plan, job) if planned.plan.carrier == "boot" else None,
        owned=_owned(inspected, planned.plan),
    )


def _owned(inspected: Inspected, plan: Plan) -> tuple[Owned, ...]:
    """What the database of rpm or apk says of the guest's packages before anything is changed."""
    planned = frozenset(step.name for step in plan.package_steps)
    of_rpm = (owned_of(one, planned) for one in read_installed(inspected.guest))
    return (*of_rpm, *owned_in(inspected.guest.tree, planned))


def created_of(plan: Plan) -> str:
    """When the newest input of a plan was made (RFC 3339, UTC), the same for equal inputs; empty
    where none says so."""
    dates = [feed.date for feed in plan.feeds] + [one.index_date for one in plan.errands]
    return max(dates, default="")


def with_observed(plan: Plan, before: Content, after: Content) -> Plan:
    """A plan whose errands may change packages, with what they did as its steps."""
    if not any(one.packages for one in plan.errands):
        return plan
    moved = tuple(
        Step(ACTIONS[one.action], one.name, one.arch, one.was, one.becomes, one.type)
        for one in compare_contents(before, after).changes
        if one.action in ACTIONS
    )
    return replace(plan, steps=(*plan.steps, *moved))


def _answer(
    plan: Plan, content: Content, receipt: Receipt | None, published: Published | None
) -> UpdateAnswer:
    return UpdateAnswer(
        plan_id=plan.id,
        upgraded=plan.steps if published else (),
        skipped=plan.skipped,
        unknowns=content.unknowns,
        receipt=receipt,
        output=output_of(published) if published else None,
    )
