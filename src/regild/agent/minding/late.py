"""The policy `late-patch`: what is handed out on request has today's plan.

The group's settled generation is planned against today's repositories. Where that finds something,
a generation is made of it, proven as every other, which stands aside of the line (`store.aside`).
The instance is made from it, and so is every further one as long as the plan is the same.
"""

from __future__ import annotations

from regild.agent.keeping.engine import Engine, finish
from regild.agent.keeping.storing import Store
from regild.agent.minding.due import KEY_DIGITS
from regild.agent.planning.planner import open_planner
from regild.agent.policy_file import policy_for
from regild.agent.reading.recipes import Recipes, site_recipes
from regild.agent.rotating.groups import group_of, line_of, number_of, rotation_of
from regild.agent.site import Site, with_options
from regild.errors import NothingRead, NotPatched
from regild.model.appliance import Maintenance
from regild.model.content import Content
from regild.model.digest import canonical, hex_of, sha256_of
from regild.model.generation import Generation, Reference
from regild.model.job import Job
from regild.model.plan import Plan
from regild.model.policy import AgentPolicy, ImagePolicy
from regild.model.progress import Progress
from regild.store.aside import LATE
from regild.store.documents import read_document
from regild.store.generations import resolve
from regild.store.jobs import find_job, retry_job, submit_job


def late_generation(
    store: Store, site: Site, policy: AgentPolicy, engine: Engine, group: str, progress: Progress
) -> int:
    """The number of the generation that an instance on request is to be made from: the group's
    own, with today's plan; 0 where the group's policy is another, or it has none to start from.

    Raises: NotListed, GroupRefused; NothingRead where what the group runs is not known; the errors
    of `feeds` and `plan`; NotPatched where the generation could not be made.
    """
    base = _base(store, group)
    if base is None:
        return 0
    wanted = policy_for(policy, base.image) or ImagePolicy(base.image)
    plan = _planned(store, with_options(site, mode=wanted.mode or None), base, progress)
    if not plan.changes_something:
        return base.number
    key = _submitted(store, base, plan, wanted)
    (job,) = finish(engine, store.catalogue, [key])
    if job.state != "done":
        raise NotPatched(where=base.name, why=job.why or "it did not end")
    made = str(job.result.get("generation", ""))
    return number_of(made) if made else base.number


def _base(store: Store, name: str) -> Generation | None:
    """The generation that a group would hand out as it is."""
    with store.catalogue.reading() as view:
        group = group_of(view, name)
        if group.request != "late-patch":
            return None
        line, rotation = line_of(view, group), rotation_of(view, name)
        usable = [one for one in (rotation.current, line.wanted) if line.is_usable(one, view.now)]
        return resolve(view, Reference(group.image, str(usable[0]))) if usable else None


def _planned(store: Store, site: Site, base: Generation, progress: Progress) -> Plan:
    if base.content is None:
        why = "what it holds was not read, so it cannot be said what it lacks"
        raise NothingRead(where=base.name, why=why)
    with store.catalogue.reading() as view:
        content = read_document(view, base.content, Content)
    with open_planner(site, progress) as planner:
        recipes = Recipes(site_recipes(planner.site))
        return planner.plan(content, "disk", Maintenance(), recipes)


def _submitted(store: Store, base: Generation, plan: Plan, policy: ImagePolicy) -> str:
    """The key of the job; one that has failed is tried again, since somebody asks again."""
    inputs = LATE, base.image, base.number, base.digest, plan.id
    key = f"{LATE}:{hex_of(sha256_of(canonical(inputs)))[:KEY_DIGITS]}"
    facts = {"image": base.image, "number": base.number, "plan": plan.id}
    facts |= {"mode": policy.mode or None, "channel": ""}
    with store.catalogue.writing(store.actor) as change:
        known: Job | None = find_job(change, key)
        if known is None:
            submit_job(change, key, LATE, base.name, facts)
        elif known.state == "failed" or known.not_before is not None:
            retry_job(change, key)
    return key
