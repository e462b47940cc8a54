"""`plan` as an answer, and the opened plan that an update goes on with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import asdict, replace

from regild.agent.claim import read_claims
from regild.agent.evidence import open_known, with_evidence, with_notices
from regild.agent.inspect import Inspected, open_system
from regild.agent.intake import open_image
from regild.agent.site import Site, policy_of
from regild.agent.verify import DOUBTED
from regild.describe.reader import require_planning
from regild.errors import IntegrityError, UnsupportedError
from regild.feeds.archives import fetch_archives
from regild.feeds.deb import read_control
from regild.feeds.feed import Offers, refresh
from regild.feeds.policy import SitePolicy
from regild.host.remote import address_of
from regild.image.keys import NO_KEYS, Keys
from regild.model.answers import PlanAnswer
from regild.model.appliance import DescriptorState, Maintenance
from regild.model.content import Content
from regild.model.digest import Digest
from regild.model.plan import Basis, Plan
from regild.model.progress import Progress
from regild.ovf.archive import find_form
from regild.plan.libsolv import open_libsolv
from regild.plan.steps import make_plan
from regild.plan.wishes import Policy, Wishes


@dataclass(frozen=True, slots=True)
class Package:
    """A package file at hand, and its control file's text."""

    path: Path
    control: str


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan and what it takes to carry it out."""

    plan: Plan
    available: Offers
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
    is a local file, and what a package on a server claims where it claims anything.

    Raises: as `open_image`, `open_system`, `read_claims` and `plan_content`; IntegrityError when
    the descriptor is to be planned on and cannot be believed.
    """
    if basis == "descriptor" or (basis == "auto" and address_of(path) and _claims(path)):
        return _plan_claim(path, site, progress)
    with open_image(path, keys) as image:
        progress.step(f"Reading {path.name}")
        with open_system(image, image.only_system) as inspected:
            planned = plan_system(inspected, site, progress)
            answer = _answer(planned.plan, inspected.content, path, inspected.state)
            return replace(answer, system=inspected.system.id)


def _claims(path: Path) -> bool:
    """Whether a package says of itself what it holds."""
    return find_form(path) is not None and any(one.descriptor for one in read_claims(path))


def _plan_claim(path: Path, site: Site, progress: Progress) -> PlanAnswer:
    """The plan for what an image says of itself."""
    claims = read_claims(path)
    if len(claims) != 1:
        why = f"it holds {len(claims)} virtual systems; one at a time can be planned"
        raise UnsupportedError(where=str(path), why=why)
    (claim,) = claims
    if claim.state.state in DOUBTED:
        raise IntegrityError(where=str(path), why=f"{claim.state.state}: {claim.state.why}")
    maker = claim.descriptor.maintenance if claim.descriptor else Maintenance()
    planned = plan_content(claim.content, "descriptor", site, progress, maker)
    answer = _answer(planned.plan, claim.content, path, claim.state)
    return replace(answer, system=claim.system)


def _answer(plan: Plan, content: Content, path: Path, state: DescriptorState) -> PlanAnswer:
    facts = {name: getattr(plan, name) for name in asdict(plan)}
    return PlanAnswer(**facts, image=str(path), unknowns=content.unknowns, descriptor=state)


def plan_system(inspected: Inspected, site: Site, progress: Progress) -> Planned:
    """Read the repositories that an inspected system names, and work out its plan.

    Raises: as `plan_content`.
    """
    maker = inspected.descriptor.maintenance if inspected.descriptor else Maintenance()
    return plan_content(inspected.content, "disk", site, progress, maker)


def plan_content(
    content: Content,
    basis: Basis,
    site: Site,
    progress: Progress,
    maintenance: Maintenance = Maintenance(),  # noqa: B008 - a frozen value
) -> Planned:
    """Read the repositories that a content names, and work out what it needs.

    Raises: NoPackageDatabase, and the errors of `feeds` and `plan`.
    """
    require_planning(content)
    policy = policy_of(site)
    now = datetime.now(UTC)
    available = refresh(content, policy, site.cache, now, progress)
    progress.step("Working out what changes")
    allowed = with_maintenance(site.policy, maintenance)
    plan = _solved(content, basis, available, site.plan, allowed)
    plan = with_notices(plan, available)
    with open_known(policy, site.cache, now, progress) as known:
        plan = with_evidence(plan, content, known, policy, site.cache, progress)
    return Planned(plan, available, site, policy)


def _solved(
    content: Content, basis: Basis, available: Offers, wishes: Wishes, policy: Policy
) -> Plan:
    """The plan for a content, by libsolv."""
    with open_libsolv() as solve:
        return make_plan(content, basis, available, wishes, solve, policy)


def with_maintenance(policy: Policy, maintenance: Maintenance) -> Policy:
    """The site's policy with what the image's maker asks for besides: both must be kept."""
    stated = maintenance.methods or policy.methods
    return replace(
        policy,
        holds=(*policy.holds, *maintenance.holds),
        methods=tuple(method for method in policy.methods if method in stated),
    )
