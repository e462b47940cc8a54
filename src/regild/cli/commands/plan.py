"""`regild plan`: what needs updating in an image."""

from __future__ import annotations

from regild.cli.options import (
    PLAN_BASES,
    AcceptOlder,
    Advisories,
    Allow,
    AsOf,
    AutoRemove,
    Cache,
    Config,
    Debug,
    Exclude,
    Follow,
    Hold,
    Image,
    Json,
    KeyFile,
    Mirror,
    ModeOption,
    Offline,
    Only,
    PlanBasisOption,
    wanted_site,
)
from regild.cli.outcome import Outcome
from regild.errors import UsageError


def plan(
    image: Image,
    mode: ModeOption = None,
    mirror: Mirror = None,
    offline: Offline = None,
    allow: Allow = None,
    hold: Hold = None,
    only: Only = None,
    exclude: Exclude = None,
    autoremove: AutoRemove = False,
    as_of: AsOf = "",
    config: Config = None,
    cache: Cache = None,
    advisories: Advisories = None,
    accept_older: AcceptOlder = False,
    basis: PlanBasisOption = "auto",
    key_file: KeyFile = None,
    follow: Follow = None,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Say what needs updating, from the image's own repositories. Nothing is changed.

    Ends with 10 when there is something to do, 0 when not, 11 when only skipped or held changes
    remain, or when the plan is from an unsigned claim alone.
    """
    from regild.agent.planning import plan_image
    from regild.cli.progress import open_progress
    from regild.cli.render import plan_text
    from regild.image.keys import read_keys
    from regild.plan.steps import verdict

    if basis not in PLAN_BASES:
        raise UsageError(what=f"--basis is {', '.join(PLAN_BASES)}, not {basis}")
    site = wanted_site(
        config, mode, mirror, offline, allow, hold, cache, advisories, accept_older,
        only=only, exclude=exclude, autoremove=autoremove, as_of=as_of,
    )  # fmt: skip
    keys = read_keys(key_file or ())
    with open_progress(live=not debug) as progress:
        answer = plan_image(image, site, progress, basis, keys)
    code = verdict(answer, bool(answer.unknowns))
    return Outcome(answer=answer, text=lambda width: plan_text(answer, width), code=code)
