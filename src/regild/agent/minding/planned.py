"""Plans for generations of the store, made from what the catalogue says that they hold: no byte of
a disk is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase

from msgspec.structs import asdict

from regild.agent.keeping.storing import Store
from regild.agent.minding.renewing import start_from
from regild.agent.planning.planner import Planner, open_planner
from regild.agent.reading.recipes import Recipes, site_recipes
from regild.agent.site import Site
from regild.errors import NothingRead, NotListed, RegildError
from regild.model.answers import PlanAnswer
from regild.model.appliance import Maintenance
from regild.model.content import Content
from regild.model.generation import Generation, Reference, read_reference
from regild.model.progress import Progress
from regild.store import Reading
from regild.store.documents import read_document
from regild.store.generations import list_generations

PATTERN_SIGNS = frozenset("*?[")

Row = tuple[str, PlanAnswer | RegildError]
"""A generation's name, or the image's where none of its generations may be used, and its plan."""


def plan_generations(
    store: Store, names: Sequence[str], site: Site, progress: Progress
) -> tuple[Row, ...]:
    """The plan for each generation that some names and patterns stand for, once and in their order.

    A name is `IMAGE`, `IMAGE@NUMBER` or `IMAGE@CHANNEL`; a pattern stands for the newest usable
    generation of every image that has one. A generation that cannot be planned does not keep the
    others from it.

    Raises: NotListed where nothing fits, UsageError, Unanswered, and what opening a planner raises.
    """
    with store.catalogue.reading() as view:
        chosen = dict(_chosen(view, names))
    with open_planner(site, progress) as planner:
        desk = _Desk(store, planner, Recipes(site_recipes(site)))
        return tuple((name, desk.plan(one)) for name, one in chosen.items())


class _Desk:
    """Plans one generation after another."""

    def __init__(self, store: Store, planner: Planner, recipes: Recipes) -> None:
        self._store, self._planner, self._recipes = store, planner, recipes

    def plan(self, one: Generation | RegildError) -> PlanAnswer | RegildError:
        """The plan for a generation, or why there is none."""
        if isinstance(one, RegildError):
            return one
        try:
            content = self._content(one)
            plan = self._planner.plan(content, "disk", Maintenance(), self._recipes)
        except RegildError as error:
            return error
        created = f"{one.created:%Y-%m-%dT%H:%M:%SZ}" if one.created else ""
        facts = {name: getattr(plan, name) for name in asdict(plan)}
        return PlanAnswer(**facts, image=one.name, unknowns=content.unknowns, created=created)

    def _content(self, one: Generation) -> Content:
        """What the catalogue says that a generation holds.

        Raises: NothingRead.
        """
        if one.content is None:
            why = "what it holds was not read when it was published"
            raise NothingRead(where=one.name, why=why)
        with self._store.catalogue.reading() as view:
            return read_document(view, one.content, Content)


def _chosen(view: Reading, names: Iterable[str]) -> Iterator[tuple[str, Generation | RegildError]]:
    """The generations that names and patterns stand for, by name.

    Raises: NotListed, UsageError.
    """
    for text in names:
        if not PATTERN_SIGNS & set(text):
            found = start_from(view, read_reference(text))
            yield found.name, found
            continue
        images = sorted({one.image for one in list_generations(view)})
        fitting = [one for one in images if fnmatchcase(one, text)]
        if not fitting:
            raise NotListed(where=f"image {text}", why="no image of the store fits it")
        for image in fitting:
            try:
                found = start_from(view, Reference(image, ""))
            except RegildError as error:
                yield image, error
            else:
                yield found.name, found
