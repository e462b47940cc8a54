"""An answer to a weakness that became known: who is exposed, and what becomes of them.

Exposed is what advisories say of a generation's content, and what the changelogs of the packages in
its plan mention. What is in use is asked about: what a channel points at, an instance runs, or is
newest. The newest generation of each exposed image is brought up to date and proven, as the agent
does it, and goes on by the agent's policy. What is exposed after that is named with who ends it.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from regild.agent.keeping.engine import Engine, finish
from regild.agent.keeping.storing import Store
from regild.agent.minding.due import Candidate, submit_update
from regild.agent.minding.promoting import promote_all
from regild.agent.minding.reconcile import Agent, follow
from regild.agent.minding.remaining import what_is_left
from regild.agent.minding.story import Story
from regild.agent.planning.planner import Planner, open_planner
from regild.agent.policy_file import policy_for
from regild.agent.reading.recipes import Recipes, site_recipes
from regild.agent.site import Site, with_options
from regild.errors import RegildError, UsageError
from regild.model.advisory import Match, gravest
from regild.model.agent_answers import RespondAnswer, RespondLeft, RespondRow
from regild.model.appliance import Maintenance
from regild.model.content import Content, Unknown
from regild.model.generation import Generation
from regild.model.plan import Plan
from regild.model.policy import AgentPolicy, ImagePolicy
from regild.model.progress import Progress
from regild.model.question import Term
from regild.model.store_answers import QueryRow
from regild.store.documents import read_document
from regild.store.generations import list_generations
from regild.store.query import ask

ID = re.compile(r"[A-Z][A-Za-z]*-[A-Za-z0-9][A-Za-z0-9:._-]{0,60}")
NOT_SURE = "only the changelogs of packages that would change were looked into"


@dataclass
class _Case:
    """What is known of one weakness so far."""

    cve: str
    matches: tuple[Match, ...] = ()
    rows: dict[str, QueryRow] = field(default_factory=dict)
    generations: dict[str, Generation] = field(default_factory=dict)
    newest: dict[str, str] = field(default_factory=dict)
    """The newest generation that may be used, by image."""
    exposed: dict[str, str] = field(default_factory=dict)
    """What is to be said of each that is exposed."""
    plans: dict[str, Plan] = field(default_factory=dict)
    """Of those that have a plan which takes it away."""
    because: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unknowns: list[Unknown] = field(default_factory=list)


def respond(
    agent: Agent, cve: str, *, dry: bool = False, wait_seconds: float = 0.0
) -> RespondAnswer:
    """Find who is exposed to a weakness, and bring them past it as far as the policy lets.

    `cve` is a CVE id, or that of an advisory. With `dry` nothing is done. Groups take their turns
    only as long as it is waited for; what is exposed after that is named.

    Raises: UsageError for what is no id; the errors of `feeds`; Unanswered.
    """
    store, policy, story = agent.floor.store, agent.policy, agent.story
    if not ID.fullmatch(cve):
        raise UsageError(what=f"{cve!r} is no id of a weakness, such as CVE-2026-35189")
    case = _Case(cve)
    _survey(store, agent.site, policy, case, story, agent.floor.progress)
    if dry:
        return _answer(case, _rows(case, {}, story), (), story, dry)
    made = _renew(store, policy, agent.engine, case, story)
    promote_all(store, policy, story)
    rows = _rows(case, made, story)
    fixed = {one.row.generation: one.fixed_in for one in rows}

    def left() -> tuple[RespondLeft, ...]:
        return what_is_left(store, policy, story, fixed)

    follow(agent, lambda: not left(), wait_seconds)
    return _answer(case, rows, left(), story, dry)


def _survey(
    store: Store,
    site: Site,
    policy: AgentPolicy,
    case: _Case,
    story: Story,
    progress: Progress,
) -> None:
    """Ask the catalogue who has the packages, and plans who is exposed."""
    modes: dict[str, list[str]] = {}
    with contextlib.ExitStack() as stack:
        planner = stack.enter_context(open_planner(site, progress))
        case.matches = planner.about(case.cve)
        _candidates(store, case, bool(site.feeds.advisories))
        for name, generation in case.generations.items():
            wanted = policy_for(policy, generation.image) or ImagePolicy(generation.image)
            modes.setdefault(wanted.mode, []).append(name)
        for mode, names in modes.items():
            own = with_options(site, mode=mode or None)
            desk = planner if not mode else stack.enter_context(open_planner(own, progress))
            for name in names:
                with _failing(story, name):
                    _look(store, desk, case, name)


def _candidates(store: Store, case: _Case, has_advisories: bool) -> None:
    """Everything in use that has one of the packages; all of it where none is named."""
    named = sorted({(one.affected.by, one.affected.name) for one in case.matches})
    terms = [Term("source" if by == "source" else "package", name) for by, name in named]
    with store.catalogue.reading() as view:
        line = {one.name: one for one in list_generations(view)}
        for one in line.values():
            if one.expired is None and not one.is_revoked(view.now):
                case.newest[one.image] = one.name
        asked = [(term,) for term in terms] if terms else [()]
        for several in asked:
            rows, unknowns = ask(view, several)
            case.rows |= {row.generation: row for row in rows}
            case.unknowns += unknowns
        in_use = {row.generation for row in ask(view, (), in_use=True)[0]}
    in_use |= set(case.newest.values())
    case.rows = {name: row for name, row in case.rows.items() if name in in_use}
    case.unknowns = [one for one in dict.fromkeys(case.unknowns) if one.where in in_use]
    for name in case.rows:
        generation = line[name]
        if generation.content is None:
            case.unknowns.append(Unknown(name, "what it holds was not read"))
        else:
            case.generations[name] = generation
    if not case.matches:
        why = f"none speaks of {case.cve}" if has_advisories else "there are none"
        case.unknowns.append(Unknown("the site's advisories", f"{why}; {NOT_SURE}"))


def _look(store: Store, planner: Planner, case: _Case, name: str) -> None:
    """Whether one generation is exposed, and what would help."""
    content_digest = case.generations[name].content
    if content_digest is None:
        return
    with store.catalogue.reading() as view:
        content = read_document(view, content_digest, Content)
    plan = planner.plan(content, "disk", Maintenance(), Recipes(site_recipes(planner.site)))
    ids = {one.advisory.id for one in case.matches} | {case.cve}
    steps = [one for one in plan.steps if ids & {*one.fixes, *one.advisories}]
    stays = [one for one in plan.unfixed if ids & {*one.cves, one.advisory}]
    case.because[name] = tuple(
        dict.fromkeys(
            [f"{one.name} {one.was}" for one in steps]
            + [f"{one.package} {one.version}" for one in stays]
        )
    )
    if stays:
        case.exposed[name] = f"no fix: {stays[0].why or 'none is known'}"
    elif steps:
        count = len(plan.steps)
        case.exposed[name] = f"{count} change{'s' * (count > 1)} would take it away"
    if steps:
        case.plans[name] = plan


def _renew(
    store: Store, policy: AgentPolicy, engine: Engine, case: _Case, story: Story
) -> dict[str, str]:
    """Bring the newest generation of each exposed image up to date; what it became, by image."""
    keys: dict[str, str] = {}
    with store.catalogue.writing(store.actor) as change:
        for image, name in case.newest.items():
            generation, plan = case.generations.get(name), case.plans.get(name)
            if generation is None or plan is None or generation.content is None:
                continue
            wanted = policy_for(policy, image) or ImagePolicy(image)
            one = Candidate(generation, generation.content, wanted)
            keys[submit_update(change, one, plan)] = image
    made = {}
    for job in finish(engine, store.catalogue, keys):
        if job.state == "done" and job.result.get("generation"):
            made[keys[job.key]] = str(job.result["generation"])
            story.tell("updated", job.subject, made[keys[job.key]])
        else:
            story.failed_job(job)
    return made


def _rows(case: _Case, made: dict[str, str], story: Story) -> tuple[RespondRow, ...]:
    """What becomes of each generation that is exposed."""
    return tuple(
        RespondRow(
            QueryRow(
                generation=name,
                packages=case.because[name],
                channels=case.rows[name].channels,
                groups=case.rows[name].groups,
                instances=case.rows[name].instances,
                revoked=case.rows[name].revoked,
            ),
            *_becomes(case, name, made, story),
        )
        for name in sorted(case.exposed)
    )


def _answer(
    case: _Case,
    rows: tuple[RespondRow, ...],
    left: tuple[RespondLeft, ...],
    story: Story,
    dry: bool,
) -> RespondAnswer:
    told = story.answer()
    questions = [
        f"{'source' if one.affected.by == 'source' else 'package'}:{one.affected.name}"
        + (f" < {one.affected.fixed}" if one.affected.fixed else "")
        for one in case.matches
    ]
    return RespondAnswer(
        cve=case.cve,
        severity=gravest(tuple(one.advisory.severity for one in case.matches)),
        packages=tuple(dict.fromkeys(questions)),
        exposed=rows,
        left=left,
        unknowns=tuple(case.unknowns),
        done=told.done,
        waits=told.waits,
        failures=told.failures,
        dry=dry,
    )


def _becomes(case: _Case, name: str, made: dict[str, str], story: Story) -> tuple[str, str]:
    """What is to be said of an exposed generation, and where it is fixed."""
    image = case.generations[name].image
    newest = case.newest.get(image, "")
    if image in made and name not in _staying(case):
        return f"fixed in {made[image]}", made[image]
    if newest and newest not in case.exposed:
        return f"{newest} does not have it", newest
    failed = story.failures.get(f"update of {name}")
    return (f"not fixed: {failed.why}" if failed else case.exposed[name]), ""


def _staying(case: _Case) -> set[str]:
    """Images whose plan does not take all of it away."""
    return {name for name, text in case.exposed.items() if text.startswith("no fix")}


@contextlib.contextmanager
def _failing(story: Story, name: str) -> Iterator[None]:
    try:
        yield
    except RegildError as error:
        story.fail(name, error)
