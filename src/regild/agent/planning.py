"""`plan` as an answer, and the opened plan that an update goes on with."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import asdict, replace

from regild.agent.claim import read_claims
from regild.agent.inspect import Inspected, open_system
from regild.agent.intake import open_image
from regild.agent.site import Site, policy_of
from regild.agent.verify import DOUBTED
from regild.describe.reader import require_planning
from regild.errors import IntegrityError, UnsupportedError
from regild.feeds.apt import refresh
from regild.feeds.archives import fetch_archives
from regild.feeds.available import Available
from regild.feeds.changelog import find_changelog, read_cves
from regild.feeds.deb import read_control
from regild.feeds.policy import SitePolicy
from regild.image.keys import NO_KEYS, Keys
from regild.model.answers import PlanAnswer
from regild.model.appliance import DescriptorState
from regild.model.content import Content
from regild.model.digest import Digest
from regild.model.plan import Basis, Plan, Step
from regild.model.progress import Progress
from regild.plan.apt_get import AptGet
from regild.plan.steps import make_plan


@dataclass(frozen=True, slots=True)
class Package:
    """A package file at hand, and its control file's text."""

    path: Path
    control: str


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan and what it takes to carry it out."""

    plan: Plan
    available: Available
    site: Site
    policy: SitePolicy

    def fetch_packages(self, progress: Progress) -> dict[Digest, Package]:
        """All package files of the plan, checked, by their digest.

        Raises: FeedUnreachable, NotOffered, DigestMismatch, SourceRefused, DiskFull.
        """
        archives = [step.archive for step in self.plan.steps if step.archive]
        progress.step("Fetching packages", sum(one.bytes for one in archives))
        files = fetch_archives(archives, self.policy, self.site.cache, progress)
        return {digest: Package(path, read_control(path)) for digest, path in files.items()}


def plan_image(
    path: Path, site: Site, progress: Progress, basis: str = "auto", keys: Keys = NO_KEYS
) -> PlanAnswer:
    """What needs updating in an image, from its own repositories; nothing is changed.

    From `disk` what the disk holds is planned on, and a descriptor is only compared with it; from
    `descriptor` its claim alone, with no byte of a disk read. `auto` is the disk where the image
    is a local file, as it always is here.

    Raises: as `open_image`, `open_system`, `read_claims` and `plan_content`; IntegrityError when
    the descriptor is to be planned on and cannot be believed.
    """
    if basis == "descriptor":
        return _plan_claim(path, site, progress)
    with open_image(path, keys) as image:
        progress.step(f"Reading {path.name}")
        with open_system(image, image.only_system) as inspected:
            planned = plan_system(inspected, site, progress)
            answer = _answer(planned.plan, inspected.content, path, inspected.state)
            return replace(answer, system=inspected.system.id)


def _plan_claim(path: Path, site: Site, progress: Progress) -> PlanAnswer:
    """The plan for what an image says of itself."""
    claims = read_claims(path)
    if len(claims) != 1:
        why = f"it holds {len(claims)} virtual systems; one at a time can be planned"
        raise UnsupportedError(where=str(path), why=why)
    (claim,) = claims
    if claim.state.state in DOUBTED:
        raise IntegrityError(where=str(path), why=f"{claim.state.state}: {claim.state.why}")
    planned = plan_content(claim.content, "descriptor", site, progress)
    answer = _answer(planned.plan, claim.content, path, claim.state)
    return replace(answer, system=claim.system)


def _answer(plan: Plan, content: Content, path: Path, state: DescriptorState) -> PlanAnswer:
    facts = {name: getattr(plan, name) for name in asdict(plan)}
    return PlanAnswer(**facts, image=str(path), unknowns=content.unknowns, descriptor=state)


def plan_system(inspected: Inspected, site: Site, progress: Progress) -> Planned:
    """Read the repositories that an inspected system names, and work out its plan.

    Raises: as `plan_content`.
    """
    return plan_content(inspected.content, "disk", site, progress)


def plan_content(content: Content, basis: Basis, site: Site, progress: Progress) -> Planned:
    """Read the repositories that a content names, and work out what it needs.

    Raises: NoPackageDatabase, and the errors of `feeds` and `plan`.
    """
    require_planning(content)
    policy = policy_of(site)
    now = datetime.now(UTC)
    available = refresh(content, policy, site.cache, now, progress)
    progress.step("Working out what changes")
    plan = _solved(content, basis, available, site)
    if plan.steps:
        progress.step("Looking into the changelogs")
        plan = with_fixes(plan, content, policy, site.cache, progress)
    return Planned(plan, available, site, policy)


def _solved(content: Content, basis: Basis, available: Available, site: Site) -> Plan:
    """The plan for a content, by the machine's apt-get."""
    with tempfile.TemporaryDirectory(prefix="regild-plan-") as folder:
        solve = AptGet(Path(folder))
        return make_plan(
            content, basis, available, site.plan.mode, solve, site.plan.hold, site.plan.wish
        )


def with_fixes(
    plan: Plan, content: Content, policy: SitePolicy, cache: Path, progress: Progress
) -> Plan:
    """The plan with the CVE ids that the packages' own changelogs name since the old version.

    Of each source's packages the smallest are looked into first, until one holds a changelog.
    """
    before = {(one.name, one.arch): one.source_version or one.version for one in content.packages}
    waiting: dict[str, list[Step]] = {}
    for step in plan.steps:
        if step.archive and step.action == "upgrade":
            waiting.setdefault(step.source, []).append(step)
    for steps in waiting.values():
        steps.sort(key=lambda step: step.archive.bytes if step.archive else 0)
    fixes: dict[str, tuple[str, ...]] = {}
    while waiting:
        firsts = {source: steps.pop(0) for source, steps in waiting.items()}
        archives = [step.archive for step in firsts.values() if step.archive]
        files = fetch_archives(archives, policy, cache, progress)
        for source, step in firsts.items():
            changelog = find_changelog(files[step.archive.digest]) if step.archive else None
            if changelog is not None:
                fixes[source] = read_cves(changelog, before.get((step.name, step.arch), step.was))
        waiting = {name: rest for name, rest in waiting.items() if rest and name not in fixes}
    told = (_told(step, fixes.get(step.source, ())) for step in plan.steps)
    return replace(plan, steps=tuple(told))


def _told(step: Step, fixes: tuple[str, ...]) -> Step:
    """A step with what its source's changelog says."""
    if step.action != "upgrade" or not fixes:
        return step
    return replace(step, fixes=fixes, evidence="changelog")
