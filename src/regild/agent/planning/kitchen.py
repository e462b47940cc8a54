"""What the recipes that count for an image bring to its plan: versions, files, commands."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from regild.agent.reading.recipes import Recipes
    from regild.agent.site import Site
    from regild.feeds.policy import SitePolicy
    from regild.feeds.recipes import Offered
    from regild.model.content import Content
    from regild.model.digest import Digest
    from regild.model.plan import Plan
    from regild.model.progress import Progress
    from regild.model.recipe import Recipe
    from regild.plan.recipes import Addition
    from regild.plan.wishes import Policy


class Kitchen:
    """What the recipes of one image bring to its plan; one for each plan."""

    def __init__(self, recipes: Recipes, site: Site, feeds: SitePolicy, progress: Progress) -> None:
        self.recipes, self.feeds, self._site, self._progress = recipes, feeds, site, progress

    def added(
        self, plan: Plan, content: Content, policy: Policy, further: tuple[Addition, ...] = ()
    ) -> Plan:
        """A plan with what the recipes bring, and what comes behind them; the same where there is
        nothing.

        Raises: as `read_offered` and `with_additions`.
        """
        if not (self.recipes.used or self.recipes.left or further):
            return plan
        from regild.plan.recipes import Addition, with_additions

        additions = [self._addition(one, content, policy) for one in self.recipes.used]
        left = Addition(skipped=self.recipes.left)
        return with_additions(plan, content, [*additions, left, *further], policy)

    def fetch(self, plan: Plan, progress: Progress) -> dict[Digest, Path]:
        """All files of the plan's errands, checked, by their digest.

        Raises: as `fetch_files`.
        """
        by_name = {one.name: one for one in self.recipes.used}
        wanted = [(file, by_name[one.name]) for one in plan.errands for file in one.files]
        if not wanted:
            return {}
        from regild.feeds.recipes import fetch_files

        progress.step("Fetching files of recipes", sum(file.bytes for file, _ in wanted))
        return fetch_files(wanted, self.feeds, self._site.cache, progress)

    def _addition(self, recipe: Recipe, content: Content, policy: Policy) -> Addition:
        if recipe.pip is not None:
            from regild.feeds.wheels import Wheels
            from regild.plan.pip import plan_environment

            where = self.feeds, self._site.cache, self._progress
            shelf = Wheels(recipe, recipe.pip.index, *where)
            return plan_environment(recipe, recipe.pip, content, shelf, self._site.plan, policy)
        if recipe.npm is not None:
            from regild.feeds.tarballs import Tarballs
            from regild.plan.npm import plan_node

            find = Tarballs(recipe, recipe.npm.tarballs).find
            return plan_node(recipe, recipe.npm, content, find, self._site.plan, policy)
        from regild.feeds.recipes import own_files
        from regild.plan.recipes import Addition, errand_of, plan_application

        if recipe.detect is None:
            return Addition(errands=(errand_of(recipe, own_files(recipe)),))
        offered = self._offered(recipe)
        return plan_application(offered, content, self._site.plan, policy)

    def _offered(self, recipe: Recipe) -> Offered:
        from regild.feeds.recipes import read_offered

        return read_offered(recipe, self.feeds, self._site.cache, datetime.now(UTC))
