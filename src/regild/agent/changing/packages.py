"""A plan's package files in the folder of a job: as they were published, for the proof, and as the
guest is given them."""

from __future__ import annotations

from pathlib import Path

from regild.agent.planning.planning import Planned
from regild.change.archives import archive_name
from regild.change.repository import link_archives, write_repository
from regild.feeds.feed import read_shipped
from regild.feeds.loose import loosen_plan
from regild.feeds.shipped import ShippedPackage
from regild.host.scratch import PACKAGES, REPOSITORY, Scratch
from regild.model.content import Content
from regild.model.plan import Plan
from regild.model.progress import Progress


def write_packages(content: Content, planned: Planned, job: Scratch, progress: Progress) -> Path:
    """Fetch a plan's packages, and make the repository that the guest is shown; where that is.

    Raises: as `Planned.fetch_packages` and `write_repository`.
    """
    packages = planned.fetch_packages(content, progress)
    files = {digest: package.path for digest, package in packages.items()}
    link_archives(job.folder(PACKAGES), planned.plan, files)
    given, names, places = loosen_plan(planned.plan, files, planned.site.cache)
    entries = {names[digest]: package.entry for digest, package in packages.items()}
    repository = job.folder(REPOSITORY)
    write_repository(repository, given, places, entries, content.planning)
    return repository


def shipped_of(plan: Plan, job: Scratch, cache: Path) -> tuple[ShippedPackage, ...]:
    """What the plan's package files hold, as they were published; a removal has none.

    Raises: as `read_shipped`.
    """
    return tuple(
        read_shipped(job.path / PACKAGES / archive_name(step), step, step.archive, cache)
        for step in plan.package_steps
        if step.archive is not None
    )
