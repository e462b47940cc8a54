"""Which images want a new generation: only those whose repositories, advisories or wishes have
changed since they were planned last are planned again.

What a generation's newest plan was made from stands in the catalogue. Of all generations that
name the same repositories one is asked to read them; what then differs is planned from its content,
with no byte of a disk read, and what has something to do becomes a job in the same transaction that
notes what its plan was made from.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from regild.agent.keeping.storing import Store
from regild.agent.minding.story import Story
from regild.agent.planning.planner import Planner, open_planner
from regild.agent.policy_file import policy_for
from regild.agent.reading.recipes import Recipes, site_recipes
from regild.agent.site import Site, with_options
from regild.errors import NothingRead, NotListed, RegildError, Revoked
from regild.model.appliance import Maintenance
from regild.model.content import Content
from regild.model.digest import Digest, canonical, hex_of, sha256_of
from regild.model.generation import Generation, Reference
from regild.model.plan import FeedState, Plan
from regild.model.policy import AgentPolicy, ImagePolicy
from regild.model.progress import Progress
from regild.store import Reading, Writing
from regild.store.aside import in_line
from regild.store.documents import read_document
from regild.store.feed_uses import feeds_of, keep_feeds, outdated
from regild.store.generations import list_generations
from regild.store.jobs import find_job, submit_job

WISHES = "regild:wishes"
"""The address under which a plan's other inputs stand among its feeds."""
KEY_DIGITS = 32


class Candidate(NamedTuple):
    """A generation that may want a successor."""

    generation: Generation
    content: Digest
    policy: ImagePolicy


@dataclass(frozen=True, slots=True)
class Found:
    """A plan that was made, and the job that carries it out; no key where nothing is to be done."""

    generation: str
    plan: Plan
    key: str = ""


def find_due(
    store: Store, site: Site, policy: AgentPolicy, story: Story, progress: Progress
) -> list[Found]:
    """Read repositories anew, plan what they changed, and leave a job for each image that has
    something to do.

    What cannot be read or planned stands in the story as a failure; the other images go on.

    Raises: Unanswered, and what opening the planner raises.
    """
    found: list[Found] = []
    with store.catalogue.reading() as view:
        candidates = list(_candidates(view, policy, story))
        used = feeds_of(view)
    for mode in sorted({one.policy.mode for one in candidates}):
        of_mode = [one for one in candidates if one.policy.mode == mode]
        with open_planner(with_options(site, mode=mode or None), progress) as planner:
            desk = _Desk(store, planner, story)
            for one in desk.changed(of_mode, used):
                with desk.failing(one):
                    found.append(desk.plan(one))
    return found


def _candidates(view: Reading, policy: AgentPolicy, story: Story) -> Iterable[Candidate]:
    """The newest generation that may be used of each image that is kept up to date."""
    newest: dict[str, Generation | None] = {}
    for one in in_line(view, list_generations(view)):
        if one.expired is None and not one.is_revoked(view.now):
            newest[one.image] = one
        else:
            newest.setdefault(one.image, None)
    for image, generation in newest.items():
        wanted = policy_for(policy, image)
        if wanted is None or not wanted.update:
            continue
        if generation is None:
            story.fail(image, Revoked(where=f"image {image}", why="so is its whole line"))
        elif generation.content is None:
            why = "what it holds was not read, so it cannot be said what it lacks"
            story.fail(generation.name, NothingRead(where=generation.name, why=why))
        else:
            yield Candidate(generation, generation.content, wanted)
    for name in (one.image for one in policy.images):
        if name not in newest and not set(name) & set("*?["):
            why = "[agent] names it, and it has no generation"
            story.fail(name, NotListed(where=f"image {name}", why=why))


class _Desk:
    """Plans for the images of one mode."""

    def __init__(self, store: Store, planner: Planner, story: Story) -> None:
        self._store, self._planner, self._story = store, planner, story
        self._recipes = Recipes(site_recipes(planner.site))
        self._wishes = FeedState(WISHES, "", planner.wishes(), "")

    @contextlib.contextmanager
    def failing(self, one: Candidate) -> Iterator[None]:
        """One image that cannot be planned does not keep the others from it."""
        try:
            yield
        except RegildError as error:
            self._story.fail(one.generation.name, error)

    def changed(
        self, candidates: Sequence[Candidate], used: dict[str, frozenset[tuple[str, str]]]
    ) -> list[Candidate]:
        """Those that were never planned, or whose plan was made from something else than there is
        now."""
        by_feeds: dict[frozenset[tuple[str, str]], list[Candidate]] = {}
        for one in candidates:
            by_feeds.setdefault(used.get(one.generation.name, frozenset()), []).append(one)
        fresh = by_feeds.pop(frozenset(), [])
        states: dict[tuple[str, str], FeedState] = {(WISHES, ""): self._wishes}
        for several in by_feeds.values():
            for state in self._read(several):
                states[state.uri, state.suite] = state
        with self._store.catalogue.reading() as view:
            moved = set(outdated(view, states.values()))
        return fresh + [
            one
            for several in by_feeds.values()
            for one in several
            if one.generation.name in moved and one.generation.name not in self._story.failures
        ]

    def _read(self, several: Sequence[Candidate]) -> tuple[FeedState, ...]:
        """The repositories that some generations name, read through the first of them."""
        try:
            return self._planner.available(self._content(several[0])).feeds
        except RegildError as error:
            for one in several:
                self._story.fail(one.generation.name, error)
            return ()

    def plan(self, one: Candidate) -> Found:
        """The plan for a generation, noted, with the job that carries it out."""
        generation = one.generation
        plan = self._planner.plan(self._content(one), "disk", Maintenance(), self._recipes)
        feeds = (*plan.feeds, self._wishes)
        with self._store.catalogue.writing(self._store.actor) as change:
            keep_feeds(change, Reference(generation.image, str(generation.number)), feeds)
            key = submit_update(change, one, plan) if plan.changes_something else ""
        security = sum(step.security for step in plan.steps)
        text = f"{len(plan.steps)} changes to make, {security} for security"
        self._story.tell(
            "planned", generation.name, text if plan.changes_something else "nothing to change"
        )
        return Found(generation.name, plan, key)

    def _content(self, one: Candidate) -> Content:
        with self._store.catalogue.reading() as view:
            return read_document(view, one.content, Content)


def submit_update(change: Writing, one: Candidate, plan: Plan) -> str:
    """Leave the job that brings a generation up to date by a plan; the same is one job."""
    generation, policy = one.generation, one.policy
    key = update_key(generation, plan.id)
    facts = {"image": generation.image, "number": generation.number, "plan": plan.id}
    facts |= {"mode": policy.mode or None}
    if policy.channels:
        facts["channel"] = policy.channels[0]
    if find_job(change, key) is None:
        submit_job(change, key, "update", generation.name, facts)
    return key


def update_key(generation: Generation, plan: Digest) -> str:
    """The key of the job that makes a generation's successor by a plan: a digest of both."""
    inputs = "update", generation.image, generation.number, generation.digest, plan
    return f"update:{hex_of(sha256_of(canonical(inputs)))[:KEY_DIGITS]}"
