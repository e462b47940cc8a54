"""Somebody's own commands in an image, under the guarantees of an update: apart, recorded, judged,
proven, and written as a new image."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from regild.agent.changing.update import (
    Manner,
    as_site_wants,
    check_volumes,
    make_change,
    open_for_change,
)
from regild.agent.planning.cached import using_cache
from regild.agent.planning.kitchen import Kitchen
from regild.agent.planning.planning import Planned
from regild.agent.reading.recipes import Recipes
from regild.agent.site import RecipeSettings, Site, policy_of
from regild.model.answers import UpdateAnswer
from regild.model.plan import Errand
from regild.model.progress import Progress
from regild.plan.recipes import Addition, bare_plan

NAME = "run"


def run(
    path: Path,
    output: Path,
    site: Site,
    progress: Progress,
    manner: Manner,
    errand: Errand | None = None,
) -> UpdateAnswer:
    """Run the recipes of the command line in an image, then an errand, and write the result.

    No package is brought up to date and no repository is read. Where the recipes find nothing newer
    and there is no errand, nothing is written.

    Raises: as `update_by`.
    """
    own = replace(site, recipes=RecipeSettings(files=site.recipes.files))
    manner = as_site_wants(manner, own)
    with open_for_change(path, output, own, progress, manner) as (inspected, recipes):
        check_volumes(inspected)
        # What came with the image has no say in what somebody runs by hand.
        kitchen = Kitchen(Recipes(recipes.used), own, policy_of(own), progress)
        content = inspected.content
        further = (Addition(errands=(errand,)),) if errand is not None else ()
        plan = kitchen.added(bare_plan(content), content, own.policy, further)
        planned = Planned(plan, None, own, kitchen.feeds, kitchen)
        with using_cache(site):
            return make_change(inspected, planned, output, progress, manner)
