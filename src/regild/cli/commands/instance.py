"""`regild instance`: single machines of a group, also made for one user on request."""

from __future__ import annotations

from typing import Annotated

import typer

from regild.cli.commands.agent import open_agent
from regild.cli.commands.group import GroupName, State, Wait, open_floor
from regild.cli.options import Cache, Config, Debug, Json, Scratch
from regild.cli.outcome import Outcome
from regild.cli.store_options import StorePlace

app = typer.Typer(help="Running machines, one by one.", rich_markup_mode=None)


@app.command("list")
def list_instances(
    group: Annotated[str, typer.Argument(metavar="[GROUP]", help="Of one group only.")] = "",
    place: StorePlace = None,
    config: Config = None,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """List instances with what each runs."""
    from regild.agent.keeping.storing import open_store
    from regild.agent.rotating import rotating
    from regild.cli.group_text import instances_text

    with open_store(place, config) as store:
        answer = rotating.instances(store, group)
    return Outcome(answer=answer, text=lambda width: instances_text(answer, width))


@app.command()
def request(
    group: GroupName,
    user: Annotated[str, typer.Option("--user", metavar="ID", help="For whom.")],
    wait_seconds: Wait = 0,
    scratch: Scratch = None,
    cache: Cache = None,
    place: StorePlace = None,
    config: Config = None,
    state: State = None,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Make an up-to-date instance for one user; who has one gets that.

    Where the group's policy is late-patch, it has today's plan: that takes as long as an update.
    """
    from regild.agent.minding.late import late_generation
    from regild.agent.rotating import rotating
    from regild.cli.group_text import instance_text

    with open_agent(place, config, cache, state, scratch, debug, needed=False) as agent:
        floor = agent.floor

        def late() -> int:
            told = agent.site, agent.policy, agent.engine, group, floor.progress
            return late_generation(floor.store, *told)

        answer = rotating.request(floor, group, user, wait_seconds, late)
    return Outcome(answer=answer, text=lambda width: instance_text(answer, width))


@app.command()
def release(
    group: GroupName,
    instance: Annotated[str, typer.Argument(metavar="INSTANCE", help="Its name.")],
    place: StorePlace = None,
    config: Config = None,
    state: State = None,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Give a requested instance back; its user's own disk is kept."""
    from regild.agent.rotating import rotating
    from regild.cli.group_text import instance_text

    with open_floor(place, config, state, debug) as floor:
        answer = rotating.release(floor, group, instance)
    return Outcome(answer=answer, text=lambda width: instance_text(answer, width))
