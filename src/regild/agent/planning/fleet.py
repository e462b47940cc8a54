"""Planning many images: each in one of a few processes that read feeds once, and one that cannot be
planned does not keep the others from it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from regild.agent.planning.planner import Planner, open_planner
from regild.agent.planning.planning import plan_with
from regild.agent.reading.many import each
from regild.agent.site import Site
from regild.errors import RegildError
from regild.image.keys import NO_KEYS, Keys
from regild.model.answers import PlanAnswer
from regild.model.progress import Progress


class PlanWork:
    """Plans images one after another with one planner."""

    def __init__(self, site: Site, basis: str, keys: Keys) -> None:
        self._site, self._basis, self._keys = site, basis, keys

    @contextlib.contextmanager
    def open(self, progress: Progress) -> Iterator[PlanDesk]:
        """The planner that serves every image of this process."""
        with open_planner(self._site, progress) as planner:
            yield PlanDesk(planner, self._basis, self._keys, progress)


class PlanDesk:
    """Answers for one image at a time."""

    def __init__(self, planner: Planner, basis: str, keys: Keys, progress: Progress) -> None:
        self._planner, self._basis, self._keys = planner, basis, keys
        self._progress = progress

    def __call__(self, image: Path) -> PlanAnswer:
        """The plan for an image.

        Raises: as `plan_image`.
        """
        return plan_with(self._planner, image, self._progress, self._basis, self._keys)


def plan_many(
    images: tuple[Path, ...], site: Site, progress: Progress, basis: str, keys: Keys = NO_KEYS
) -> Iterator[PlanAnswer | RegildError]:
    """The plan of each image, or why there is none, in the order of the images."""
    return each(PlanWork(site, basis, keys), images, progress)
