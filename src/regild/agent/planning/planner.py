"""One desk for many plans: what their feeds offer, what advisories say and the solver are read or
started once, and a plan whose inputs are as they were is taken from the cache."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from regild import __version__
from regild.agent.planning.cached import using_cache
from regild.agent.planning.evidence import open_known, with_evidence, with_notices
from regild.agent.planning.kitchen import Kitchen
from regild.agent.planning.lists import following_paths
from regild.agent.reading.recipes import Recipes, site_recipes
from regild.agent.site import Site, policy_of
from regild.describe.planned import require_planning
from regild.feeds.advisories.read import Known
from regild.feeds.cache import PLANS
from regild.feeds.feed import Offers, refresh, with_filelists
from regild.feeds.policy import SitePolicy
from regild.host.files import mark_used, translated, write_whole
from regild.model.advisory import Match
from regild.model.appliance import Maintenance
from regild.model.content import Content
from regild.model.digest import Digest, canonical, hex_of, sha256_of
from regild.model.plan import Basis, FeedState, Plan
from regild.model.progress import Progress
from regild.plan.advice import watched
from regild.plan.libsolv import open_libsolv
from regild.plan.solver import Solver
from regild.plan.steps import make_plan
from regild.plan.wishes import Policy

NONE = Recipes()
FORM = 5
"""Raised whenever equal inputs would give another plan."""


class Made(msgspec.Struct, frozen=True):
    """A plan, and the feeds that it was made from."""

    plan: Plan
    available: Offers


class Planner:
    """Plans one content after another for one site; made by `open_planner`."""

    def __init__(self, site: Site, progress: Progress, stack: contextlib.ExitStack) -> None:
        self.site = site
        self.feeds: SitePolicy = policy_of(site)
        self._now = datetime.now(UTC)
        self._progress, self._stack = progress, stack
        self._known: Known | None = None
        self._solver: Solver | None = None
        self._offers: dict[Digest, Offers] = {}
        self._uses_cache = False

    def available(self, content: Content) -> Offers:
        """What the sources of a content offer; equal sources and keys are read once.

        Raises: the errors of `feeds`.
        """
        self._use_cache()
        planning = content.planning
        asked = (content.sources, planning.keyrings, planning.architectures, planning.type)
        key = sha256_of(canonical(asked))
        if key not in self._offers:
            self._offers[key] = refresh(
                content, self.feeds, self.site.cache, self._now, self._progress
            )
        return self._offers[key]

    def wishes(self) -> Digest:
        """A digest of all that plans depend on besides contents and their repositories: what the
        site wants, what advisories say, and this version.

        Raises: the errors of `feeds`.
        """
        feeds = [(feed.place, feed.digest) for feed in self._advisories().feeds]
        recipes = [one.digest for one in site_recipes(self.site)]
        inputs = FORM, __version__, self.site.plan, self.site.policy, feeds, recipes
        return sha256_of(canonical(inputs))

    def about(self, name: str) -> tuple[Match, ...]:
        """What the site's advisories say under an id of theirs, or a CVE id.

        Raises: the errors of `feeds`.
        """
        return self._advisories().about(name)

    def plan(
        self, content: Content, basis: Basis, maintenance: Maintenance, recipes: Recipes = NONE
    ) -> Plan:
        """The plan for a content; for Windows, with feeds of advisories, what it lacks.

        Raises: as `make`.
        """
        if content.platform.family == "windows" and self.feeds.advisories:
            return watched(content, basis, self.site.plan.mode, self._advisories())
        return self.make(content, basis, maintenance, recipes).plan

    def kitchen(self, recipes: Recipes) -> Kitchen:
        """What some recipes bring to plans, read as this site wants it."""
        return Kitchen(recipes, self.site, self.feeds, self._progress)

    def make(
        self, content: Content, basis: Basis, maintenance: Maintenance, recipes: Recipes = NONE
    ) -> Made:
        """The plan for a content, from the cache where nothing that it depends on has changed; what
        recipes bring is looked up each time.

        Raises: NoPackageDatabase, and the errors of `feeds` and `plan`.
        """
        require_planning(content)
        available = self.available(content)
        known = self._advisories()
        allowed = with_maintenance(self.site.policy, maintenance)
        place = self._place(content, basis, allowed, available.feeds, known)
        plan = _kept(place)
        if plan is None:
            self._progress.step("Working out what changes")
            wishes, solve = self.site.plan, self._solve(available)
            plan = make_plan(content, basis, available, wishes, solve, allowed)
            plan = with_notices(plan, available)
            where = self.feeds, self.site.cache, self._progress
            plan = with_evidence(plan, content, known, *where)
            _keep(place, plan)
        # When a feed was fetched is not among what a plan depends on.
        skipped = (*plan.skipped, *available.unread)
        plan = replace(plan, feeds=available.feeds, advisories=known.feeds, skipped=skipped)
        return Made(self.kitchen(recipes).added(plan, content, allowed), available)

    def _use_cache(self) -> None:
        """Use the cache until this planner is closed."""
        if not self._uses_cache:
            self._uses_cache = True
            self._stack.enter_context(using_cache(self.site, at_most_daily=True))

    def _advisories(self) -> Known:
        if self._known is None:
            self._use_cache()
            known = open_known(self.feeds, self.site.cache, self._now, self._progress)
            self._known = self._stack.enter_context(known)
        return self._known

    def _solve(self, available: Offers) -> Solver:
        if self._solver is None:
            self._solver = self._stack.enter_context(open_libsolv())
        where = self.feeds, self.site.cache, self._progress
        return following_paths(self._solver, lambda: with_filelists(available, *where).indexes)

    def _place(
        self,
        content: Content,
        basis: Basis,
        allowed: Policy,
        feeds: tuple[FeedState, ...],
        known: Known,
    ) -> Path:
        """Where the plan for these inputs is kept."""
        inputs: tuple[Any, ...] = (
            FORM,
            __version__,
            content.state,
            [replace(one, volume="") for one in content.volumes],
            basis,
            self.site.plan,
            allowed,
            [(feed.uri, feed.suite, feed.digest) for feed in feeds],
            [(feed.place, feed.digest) for feed in known.feeds],
        )
        digits = hex_of(sha256_of(canonical(inputs)))
        return self.site.cache / PLANS / digits[:2] / f"{digits}.plan"


@contextlib.contextmanager
def open_planner(site: Site, progress: Progress) -> Iterator[Planner]:
    """A planner; what it has open is closed with the block.

    Raises: UsageError.
    """
    with contextlib.ExitStack() as stack:
        yield Planner(site, progress, stack)


def with_maintenance(policy: Policy, maintenance: Maintenance) -> Policy:
    """The site's policy with what the image's maker asks for besides: both must be kept."""
    stated = maintenance.methods or policy.methods
    return replace(
        policy,
        holds=(*policy.holds, *maintenance.holds),
        methods=tuple(method for method in policy.methods if method in stated),
    )


def _kept(place: Path) -> Plan | None:
    """A plan that was made before from the same inputs."""
    try:
        found = msgspec.msgpack.decode(place.read_bytes(), type=Plan)
    except (OSError, msgspec.DecodeError):
        return None
    mark_used(place)
    return found


def _keep(place: Path, plan: Plan) -> None:
    with translated(place.parent):
        place.parent.mkdir(parents=True, exist_ok=True)
    write_whole(place, msgspec.msgpack.encode(plan))
