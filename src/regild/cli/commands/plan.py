"""`regild plan`: what needs updating in an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from regild.cli.options import (
    Allow,
    Cache,
    Config,
    Debug,
    Hold,
    Image,
    Json,
    Mirror,
    ModeOption,
    Offline,
    wanted_site,
)
from regild.cli.outcome import CHANGES, DONE, ONLY_SKIPPED, UNREAD, Outcome

if TYPE_CHECKING:
    from regild.model.answers import PlanAnswer


def plan(
    image: Image,
    mode: ModeOption = None,
    mirror: Mirror = None,
    offline: Offline = None,
    allow: Allow = None,
    hold: Hold = None,
    config: Config = None,
    cache: Cache = None,
    json: Json = False,
    debug: Debug = False,
) -> Outcome:
    """Say what needs updating, from the image's own repositories. Nothing is changed.

    Ends with 10 when there is something to do, 0 when not, 11 when only skipped or held changes
    remain.
    """
    from regild.agent.planning import plan_image
    from regild.cli.progress import open_progress
    from regild.cli.render import plan_text

    site = wanted_site(config, mode, mirror, offline, allow, hold, cache)
    with open_progress(live=not debug) as progress:
        answer = plan_image(image, site, progress)
    return Outcome(answer=answer, text=lambda width: plan_text(answer, width), code=_code(answer))


def _code(answer: PlanAnswer) -> int:
    """What was not read beats what there is to do."""
    if answer.unknowns:
        return UNREAD
    if answer.steps:
        return CHANGES
    only_claimed = answer.basis == "descriptor"
    return ONLY_SKIPPED if answer.skipped or only_claimed else DONE
