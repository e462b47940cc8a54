"""What still points at or runs generations that are exposed to a weakness, and who ends that.

A fix that is proven is no fix of what runs: channels move by policy, groups turn inside of their
windows. Until both are through, that is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

from regild.agent.keeping.storing import Store
from regild.agent.minding.story import Story
from regild.agent.policy_file import policy_for
from regild.agent.rotating.groups import GONE, calendar_of, group_of, instance_of_row
from regild.model.agent_answers import RespondLeft
from regild.model.policy import AgentPolicy
from regild.model.rotation import Group, Instance
from regild.model.store_answers import QueryRow
from regild.store import Reading
from regild.store.instances import list_instances
from regild.store.query import ask

UNFIXED = "nobody: there is no generation without it yet"
MODES = {
    "opportunistic": "when they are made anew for another reason: its mode is opportunistic",
    "staged": "with their next restart: its mode is staged",
}


def what_is_left(
    store: Store, policy: AgentPolicy, story: Story, exposed: Mapping[str, str]
) -> tuple[RespondLeft, ...]:
    """Channels and instances that have an exposed generation at this moment; `exposed` names each
    with the generation that is to follow, empty where there is none.

    Raises: Unanswered, and what a group's file and calendars raise.
    """
    with store.catalogue.reading() as view:
        rows = {row.generation: row for row in ask(view, (), in_use=True)[0]}
        return tuple(
            left
            for name, fixed in sorted(exposed.items())
            if name in rows
            for left in _of(view, policy, story, rows[name], fixed)
        )


def _of(
    view: Reading, policy: AgentPolicy, story: Story, row: QueryRow, fixed: str
) -> Iterator[RespondLeft]:
    image = row.generation.rpartition("@")[0]
    for channel in row.channels:
        where = f"channel {channel} of {image}"
        ends = _channel(policy, story, image, channel, fixed)
        yield RespondLeft(where, f"points at {row.generation}", ends)
    for name in row.groups:
        group = group_of(view, name)
        own = [
            one
            for one in map(instance_of_row, list_instances(view, name))
            if f"{image}@{one.generation}" == row.generation and one.state != GONE
        ]
        if own:
            what = f"{len(own)} instance{'s' * (len(own) > 1)} of {row.generation}"
            follows = group.channel in row.channels
            ends = _group(view, policy, group, own, follows) if fixed else UNFIXED
            yield RespondLeft(f"group {name}", what, ends)


def _channel(policy: AgentPolicy, story: Story, image: str, channel: str, fixed: str) -> str:
    """Who moves a channel on, and what keeps it."""
    if not fixed:
        return UNFIXED
    if policy_for(policy, image) is None:
        return f"somebody: regild promote {fixed} {channel} (no [agent] policy names {image})"
    own = f"-> {channel}: "
    said = [one.text.partition(own)[2] for one in story.waits.values() if own in one.text]
    return f"the agent: {said[0]}" if said else "the agent, after the channels before it"


def _group(
    view: Reading, policy: AgentPolicy, group: Group, own: list[Instance], follows: bool
) -> str:
    """Who replaces a group's instances, and when."""
    by_agent = any(fnmatchcase(group.name, one) for one in policy.groups)
    by_hand = f"regild group rotate {group.name}"
    who = f"the agent (regild agent run), or {by_hand}" if by_agent else f"somebody: {by_hand}"
    if follows:
        return f"{who}, once channel {group.channel} has moved"
    if group.rollout.mode in MODES:
        return MODES[group.rollout.mode]
    opens = calendar_of(view, group).next_open(view.now)
    if opens is None:
        return f"{who}; no window is known to open"
    if opens > view.now:
        who += f"; the next window opens {opens:%F %H:%MZ}"
    users = sorted({one.owner for one in own if one.owner and not one.released})
    return who + (f"; when given back by {', '.join(users)}" if users else "")
