"""`plan` as an answer, and the opened plan that an update goes on with."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec.structs import asdict, replace

from regild.agent.planning.kitchen import Kitchen
from regild.agent.planning.planner import Planner, open_planner, with_maintenance
from regild.agent.reading.claim import read_claims
from regild.agent.reading.inspect import Inspected, open_system
from regild.agent.reading.intake import open_image
from regild.agent.reading.recipes import Recipes, gather, named_in, recipes_for
from regild.agent.reading.verify import DOUBTED
from regild.agent.site import Site
from regild.errors import IntegrityError, PlanMoved, UnsupportedError
from regild.feeds.feed import Offers, read_entries
from regild.feeds.policy import SitePolicy
from regild.host.remote import address_of
from regild.image.keys import NO_KEYS, Keys
from regild.model.answers import PlanAnswer
from regild.model.appliance import Descriptor, DescriptorState, Maintenance
from regild.model.content import Content
from regild.model.digest import Digest
from regild.model.plan import Plan
from regild.model.progress import Progress
from regild.ovf.archive import find_form


class Package(msgspec.Struct, frozen=True):
    """A package file at hand, and what an index says of it."""

    path: Path
    entry: str


class Planned(msgspec.Struct, frozen=True):
    """A plan and what it takes to carry it out."""

    plan: Plan
    available: Offers | None
    """None where no package changes."""
    site: Site
    policy: SitePolicy
    kitchen: Kitchen

    def fetch_packages(self, content: Content, progress: Progress) -> dict[Digest, Package]:
        """All package files of the plan, checked and believed as the image asks, by their digest.

        Raises: FeedUnreachable, NotOffered, DigestMismatch, SourceRefused, DiskFull; as
        `read_entries`.
        """
        archives = [step.archive for step in self.plan.package_steps if step.archive]
        if self.available is None or not archives:
            return {}
        from regild.feeds.archives import fetch_archives

        progress.step("Fetching packages", sum(one.bytes for one in archives))
        files = fetch_archives(archives, self.policy, self.site.cache, progress)
        now = datetime.now(UTC)
        entries = read_entries(self.plan, files, content, self.available, now)
        return {digest: Package(files[digest], entry) for digest, entry in entries.items()}


def plan_image(
    path: Path, site: Site, progress: Progress, basis: str = "auto", keys: Keys = NO_KEYS
) -> PlanAnswer:
    """What needs updating in an image, from its own repositories; nothing is changed.

    From `disk` what the disk holds is planned on, and a descriptor is only compared with it; from
    `descriptor` its claim alone, with no byte of a disk read. `auto` is the disk where the image
    is a local file, and what a package on a server claims where it claims anything.

    Raises: as `open_image`, `open_system`, `read_claims` and `plan_system`; IntegrityError when
    the descriptor is to be planned on and cannot be believed.
    """
    with open_planner(site, progress) as planner:
        return plan_with(planner, path, progress, basis, keys)


def plan_with(
    planner: Planner, path: Path, progress: Progress, basis: str = "auto", keys: Keys = NO_KEYS
) -> PlanAnswer:
    """The same with a planner that serves more than one image.

    Raises: as `plan_image`.
    """
    if basis == "descriptor" or (basis == "auto" and address_of(path) and _claims(path)):
        return _plan_claim(planner, path)
    with open_image(path, keys) as image:
        progress.step(f"Reading {path.name}")
        recipes = recipes_for(image, planner.site)
        with open_system(image, image.only_system, recipes=recipes.used) as inspected:
            found = inspected.descriptor
            plan = planner.plan(inspected.content, "disk", _maker(found), recipes)
            answer = _answer(plan, inspected.content, path, inspected.state)
            from regild.agent.writing.inscribe import created_of

            created = (found.created if found else "") or created_of(path)
            return replace(answer, system=inspected.system.id, created=created)


def _claims(path: Path) -> bool:
    """Whether a package says of itself what it holds."""
    return find_form(path) is not None and any(one.descriptor for one in read_claims(path))


def _plan_claim(planner: Planner, path: Path) -> PlanAnswer:
    """The plan for what an image says of itself."""
    claims = read_claims(path)
    if len(claims) != 1:
        why = f"it holds {len(claims)} virtual systems; one at a time can be planned"
        raise UnsupportedError(where=str(path), why=why)
    (claim,) = claims
    if claim.state.state in DOUBTED:
        raise IntegrityError(where=str(path), why=f"{claim.state.state}: {claim.state.why}")
    recipes = gather(planner.site, claim.image.path, named_in(claim.descriptor))
    plan = planner.plan(claim.content, "descriptor", _maker(claim.descriptor), recipes)
    answer = _answer(plan, claim.content, path, claim.state)
    created = claim.descriptor.created if claim.descriptor else ""
    return replace(answer, system=claim.system, created=created)


def _maker(descriptor: Descriptor | None) -> Maintenance:
    return descriptor.maintenance if descriptor else Maintenance()


def _answer(plan: Plan, content: Content, path: Path, state: DescriptorState) -> PlanAnswer:
    facts = {name: getattr(plan, name) for name in asdict(plan)}
    return PlanAnswer(**facts, image=str(path), unknowns=content.unknowns, descriptor=state)


def plan_system(
    inspected: Inspected,
    site: Site,
    progress: Progress,
    recipes: Recipes,
    given: Plan | None = None,
) -> Planned:
    """Read the repositories that an inspected system names, and work out its plan; one that is
    `given` is only held against them.

    Raises: NoPackageDatabase, and the errors of `feeds` and `plan`; PlanMoved, Malformed when a
    given plan is not for this image and these feeds.
    """
    content, maker = inspected.content, _maker(inspected.descriptor)
    with open_planner(site, progress) as planner:
        kitchen = planner.kitchen(recipes)
        if given is None:
            made = planner.make(content, "disk", maker, recipes)
            return Planned(made.plan, made.available, site, planner.feeds, kitchen)
        if given.base != content.state:  # said before any network is asked
            raise PlanMoved(where="the image", why=f"it is {content.state}, not {given.base}")
        from regild.agent.planning.plan_file import check_errands, check_given, without_errands

        available = planner.available(content)
        policy = with_maintenance(site.policy, maker)
        check_given(given, content, available, policy)
        check_errands(given, kitchen.added(without_errands(given, content), content, policy))
        return Planned(given, available, site, planner.feeds, kitchen)
