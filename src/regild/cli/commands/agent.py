"""`regild agent`: the loop that keeps every image current by itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regild.cli.cluster_options import Scheduler, TlsCa, TlsCert, TlsKey, Workers, read_wish
from regild.cli.commands.group import State, open_floor
from regild.cli.options import Cache, Config, Debug, Json, Scratch
from regild.cli.outcome import DONE, Outcome
from regild.cli.store_options import ChannelName, GenerationName, StorePlace, Why

if TYPE_CHECKING:
    from regild.agent.keeping.engine import Engine
    from regild.agent.minding.reconcile import Agent
    from regild.host.cluster import ClusterWish
    from regild.model.agent_answers import AgentAnswer
    from regild.model.group import Verdict

app = typer.Typer(help="The loop that keeps every image current.", rich_markup_mode=None)


@app.command()
def run(
    once: Annotated[
        bool, typer.Option("--once", help="Do what can be done now, and end: for cron.")
    ] = False,
    wait_seconds: Annotated[
        float,
        typer.Option(
            "--wait", min=0, metavar="SECONDS", help="With --once: until nothing moves, so long."
        ),
    ] = 0,
    scratch: Scratch = None,
    place: StorePlace = None,
    config: Config = None,
    cache: Cache = None,
    state: State = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Keep images current as [agent] of regild.toml says: read feeds, plan, update, prove, promote,
    push, rotate.

    Killed at any moment, the next run goes on. Of two at once one waits, or says so with --once.
    Its jobs are done in this process, or by --workers, or by the workers behind --scheduler.
    """
    from regild.agent.minding import reconcile
    from regild.cli.exits import Ended

    wish = read_wish(workers, scheduler, tls_ca, tls_cert, tls_key)
    with open_agent(
        place, config, cache, state, scratch, debug, wish=wish if workers or scheduler else None
    ) as agent:
        if once:
            return _outcome(reconcile.run_once(agent, wait_seconds))
        try:
            reconcile.run(agent)
        except Ended:  # asked to end: what was begun is a row, and goes on with the next start
            agent.floor.progress.note("ended, as asked")
        return Outcome(answer=agent.story.answer(), text=lambda width: "the agent has ended")


@contextmanager
def open_agent(
    place: Path | None,
    config: Path | None,
    cache: Path | None,
    state: Path | None,
    scratch: Path | None,
    debug: bool,
    *,
    advisories: list[str] | None = None,
    needed: bool = True,
    wish: ClusterWish | None = None,
) -> Iterator[Agent]:
    """The agent of this site, with everything that it works with; where its policy is not
    `needed`, none is one that does nothing by itself. Jobs are done in this process, unless
    workers are wished for."""
    from datetime import UTC, datetime

    from regild.agent.keeping.engine import Inline, Workplace
    from regild.agent.minding.reconcile import Agent
    from regild.agent.minding.story import Story
    from regild.agent.policy_file import find_agent_policy, read_agent_policy
    from regild.agent.site import read_site, with_options

    policy = (read_agent_policy if needed else find_agent_policy)(config, datetime.now(UTC))
    site = with_options(read_site(config), cache=cache, advisories=advisories or ())
    workplace = Workplace(site, place, config, scratch)
    with open_floor(place, config, state, debug) as floor, ExitStack() as opened:
        engine: Engine = Inline(workplace, floor.progress)
        if wish is not None:
            from regild.agent.minding.cluster import OnCluster
            from regild.host.cluster import open_cluster

            engine = OnCluster(workplace, opened.enter_context(open_cluster(wish)))
        try:
            yield Agent(floor, site, policy, engine, Story(floor.progress))
        finally:
            engine.close()


@app.command("jobs")
def list_jobs(
    place: StorePlace = None, config: Config = None, json: Json = False, debug: Debug = False
) -> Outcome:
    """List the agent's work that waits, is done right now, or has failed; and who leads."""
    from regild.agent.keeping.storing import open_store
    from regild.agent.minding import reconcile
    from regild.cli.agent_text import jobs_text

    with open_store(place, config) as store:
        answer = reconcile.jobs_of(store)
    return Outcome(answer=answer, text=lambda width: jobs_text(answer, width))


@app.command()
def retry(
    job: Annotated[str, typer.Argument(metavar="JOB", help="Its key, as agent jobs lists it.")],
    place: StorePlace = None,
    config: Config = None,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Have a job that has failed done again with the agent's next turn."""
    from regild.agent.keeping.storing import open_store
    from regild.agent.minding import reconcile
    from regild.cli.agent_text import jobs_text

    with open_store(place, config) as store:
        answer = reconcile.retry(store, job)
    return Outcome(answer=answer, text=lambda width: jobs_text(answer, width))


def _outcome(answer: AgentAnswer) -> Outcome:
    from regild.cli.agent_text import agent_text

    codes = [one.exit_code for one in answer.failures]
    code = codes[0] if codes else DONE
    return Outcome(answer=answer, text=lambda width: agent_text(answer, width), code=code)


def approve(
    generation: GenerationName,
    channel: ChannelName,
    refuse: Annotated[bool, typer.Option("--refuse", help="Say no instead of yes.")] = False,
    why: Why = "",
    place: StorePlace = None,
    config: Config = None,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Say yes to a channel's pointing at a generation, where the agent waits for that."""
    from regild.agent.keeping.storing import open_store
    from regild.agent.minding.promoting import decide
    from regild.cli.agent_text import approval_text
    from regild.model.generation import read_reference

    verdict: Verdict = "refused" if refuse else "approved"
    with open_store(place, config) as store:
        answer = decide(store, read_reference(generation), channel, verdict, why)
    return Outcome(answer=answer, text=lambda width: approval_text(answer))
