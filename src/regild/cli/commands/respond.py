"""`regild respond`: from a weakness that became known to generations without it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from regild.cli.commands.agent import open_agent
from regild.cli.commands.group import State
from regild.cli.options import Advisories, Cache, Config, Debug, Json, Scratch
from regild.cli.outcome import CHANGES, DONE, LEFT_OUT, UNREAD, Outcome
from regild.cli.store_options import StorePlace

if TYPE_CHECKING:
    from regild.model.agent_answers import RespondAnswer


def respond(
    cve: Annotated[str, typer.Argument(metavar="CVE", help="A CVE id, or that of an advisory.")],
    dry: Annotated[bool, typer.Option("--dry-run", help="Only say who is exposed.")] = False,
    wait_seconds: Annotated[
        float,
        typer.Option(
            "--wait", min=0, metavar="SECONDS", help="Turn groups too, until none has it, so long."
        ),
    ] = 0,
    advisories: Advisories = None,
    scratch: Scratch = None,
    place: StorePlace = None,
    config: Config = None,
    cache: Cache = None,
    state: State = None,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Say who is exposed to a weakness, update and prove their images, and promote by policy.

    Asked is what channels point at, instances run, or is newest. The policy is [agent] of
    regild.toml; without one, results stay in their images' first channels. What still has the
    weakness at the end, and who ends that, is said last, and with exit code 11.
    """
    from regild.agent.minding import responding
    from regild.cli.agent_text import respond_text

    told = place, config, cache, state, scratch, debug
    with open_agent(*told, advisories=advisories, needed=False) as agent:
        answer = responding.respond(agent, cve, dry=dry, wait_seconds=wait_seconds)
    code = _code(answer)
    return Outcome(answer=answer, text=lambda width: respond_text(answer, width), code=code)


def _code(answer: RespondAnswer) -> int:
    """A failure's own; 3 where it cannot be said of all, 10 what --dry-run would do, 11 what is
    still exposed."""
    if answer.failures:
        return answer.failures[0].exit_code
    if answer.unknowns:
        return UNREAD
    unfixed = [one for one in answer.exposed if not one.fixed_in]
    if not unfixed and not answer.left:
        return DONE
    return CHANGES if answer.dry else LEFT_OUT
