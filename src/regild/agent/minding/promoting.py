"""Channels moved on by policy, and generations pushed to where the policy wants them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from regild.agent.keeping.engine import Desk
from regild.agent.keeping.pushing import push
from regild.agent.keeping.storing import Store
from regild.agent.minding.story import Story
from regild.agent.policy_file import policy_for
from regild.agent.rotating.groups import HORIZON_DAYS, rotation_of
from regild.errors import NotListed, RegildError, Revoked
from regild.model.agent_answers import ApprovalAnswer
from regild.model.digest import canonical, hex_of, sha256_of
from regild.model.generation import Channel, Generation, Reference
from regild.model.group import Verdict
from regild.model.job import Job
from regild.model.policy import AgentPolicy, ImagePolicy
from regild.model.rotation import Line
from regild.publish.schemes import open_target
from regild.rotate.calendar import read_calendar
from regild.rotate.promote import Follower, Promotions, decide_promotions, question_of
from regild.store import Reading, Writing
from regild.store.channels import list_channels, promote
from regild.store.events import list_events, tell
from regild.store.generations import find_generation, list_generations, resolve
from regild.store.groups import list_groups
from regild.store.images import list_images
from regild.store.instances import ask_approval, decide_approval, list_approvals
from regild.store.jobs import find_job, submit_job

KEY_DIGITS = 32
HALTED = "promotion.halt"
STEPS = 20
"""More than an image has channels."""


def promote_all(store: Store, policy: AgentPolicy, story: Story) -> None:
    """Move every channel that may move now.

    Raises: Unanswered.
    """
    for image, wanted in _images(store, policy):
        try:
            for _ in range(STEPS):
                found = _moved(store, image, wanted)
                _tell(story, image, found)
                if not found.steps:
                    break
        except RegildError as error:
            story.fail(image, error)


def _moved(store: Store, image: str, policy: ImagePolicy) -> Promotions:
    """Move an image's channels by one step each, and ask people what they are to be asked."""
    with store.catalogue.writing(store.actor) as change:
        found = _decided(change, image, policy)
        for step in found.steps:
            promote(change, Reference(image, str(step.number)), step.channel, step.why)
        for question in found.asks:
            ask_approval(change, question)
        for why in found.halted:
            _note_halt(change, image, why)
    return found


def targets_due(store: Store, policy: AgentPolicy, story: Story) -> None:
    """Leave a job for each push that the policy wants and that was not made yet.

    Raises: Unanswered.
    """
    for image, wanted in _images(store, policy):
        if not wanted.targets:
            continue
        try:
            with store.catalogue.writing(store.actor) as change:
                way = way_of(change, image, wanted)
                named = [one for one in way if one.name == wanted.targets_channel] or way[-1:]
                if named and named[0].number is not None:
                    generation = find_generation(change, image, named[0].number)
                    for target in wanted.targets:
                        _submit_push(change, generation, target)
        except RegildError as error:
            story.fail(image, error)


def decide(
    store: Store, reference: Reference, channel: str, verdict: Verdict, why: str
) -> ApprovalAnswer:
    """Say yes or no to a channel's pointing at a generation, where the agent asks.

    Raises: NotListed where nobody asks.
    """
    with store.catalogue.writing(store.actor) as change:
        found = resolve(change, reference)
        question = question_of(found.image, found.number, channel)
        return ApprovalAnswer(decide_approval(change, question, verdict, why))


def push_job(desk: Desk, job: Job) -> Mapping[str, Any]:
    """The job `push`: facts are the image, a generation's number and a target's address.

    Pushing again what is there sends nothing and changes nothing.

    Raises: as `push`.
    """
    facts = job.facts
    reference = Reference(facts["image"], str(facts["number"]))
    target = open_target(facts["target"])
    _, pushed = push(desk.store, reference, target, desk.progress, desk.workplace.scratch)
    return {"where": pushed.where, "digest": pushed.digest, "sent_bytes": pushed.sent_bytes}


def way_of(view: Reading, image: str, policy: ImagePolicy) -> tuple[Channel, ...]:
    """The channels that a generation of an image goes through, first to last.

    Raises: NotListed for a channel that the policy names and the image does not have.
    """
    there = {one.name: one for one in list_channels(view, image)}
    for name in (*policy.channels, *policy.approval, *filter(None, [policy.targets_channel])):
        if name not in there:
            why = f"[agent] names it; there are: {', '.join(there) or 'none'}"
            raise NotListed(where=f"channel {name} of image {image}", why=why)
    return tuple(there[name] for name in policy.channels or there)


def _images(store: Store, policy: AgentPolicy) -> Iterator[tuple[str, ImagePolicy]]:
    with store.catalogue.reading() as view:
        names = [one.name for one in list_images(view)]
    for name in names:
        wanted = policy_for(policy, name)
        if wanted is not None:
            yield name, wanted


def _decided(view: Reading, image: str, policy: ImagePolicy) -> Promotions:
    """What may move of an image, as the catalogue stands."""
    line = list_generations(view, image)
    revoked = {one.number: one.revocation.at for one in line if one.revocation}
    known = tuple(one.number for one in line if one.expired is None)
    verdicts: dict[str, Verdict] = {one.subject: one.verdict for one in list_approvals(view)}
    until = view.now + timedelta(days=HORIZON_DAYS)
    return decide_promotions(
        policy,
        image,
        way_of(view, image, policy),
        Line(0, known, revoked),
        followers_of(view, image),
        verdicts,
        read_calendar(policy.windows, policy.freezes, view.now, until),
        view.now,
    )


def followers_of(view: Reading, image: str) -> list[Follower]:
    """The groups that follow an image's channels, and how far they are."""
    return [
        Follower(one.name, one.channel, rotation_of(view, one.name))
        for one in list_groups(view)
        if one.image == image
    ]


def _tell(story: Story, image: str, found: Promotions) -> None:
    for step in found.steps:
        story.tell("promoted", f"{image}@{step.number} -> {step.channel}", step.why)
    for wait in found.waits:
        story.wait(image, wait, found.again)
    for why in found.halted:
        story.wait(image, f"halted: {why}")


def _note_halt(change: Writing, image: str, why: str) -> None:
    """Note once that something does not go on by itself."""
    before = list_events(change, subject=image, kind=HALTED, limit=1, newest=True)
    if not before or before[-1].facts.get("why") != why:
        tell(change, HALTED, image, {"why": why})


def _submit_push(change: Writing, generation: Generation, target: str) -> None:
    inputs = "push", generation.image, generation.number, generation.digest, target
    key = f"push:{hex_of(sha256_of(canonical(inputs)))[:KEY_DIGITS]}"
    if find_job(change, key) is not None:
        return
    if generation.is_revoked(change.now):
        raise Revoked(where=generation.name, why="it is not pushed")
    facts = {"image": generation.image, "number": generation.number, "target": target}
    submit_job(change, key, "push", generation.name, facts)
